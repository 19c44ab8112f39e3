"""The penalty over the answer alone: both processors against transformers'."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; see make test-vllm")

import numpy as np
import torch
from transformers import RepetitionPenaltyLogitsProcessor
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

from llava_video.plugins.vllm.penalty import (
    KEY,
    AnswerPenalty,
    AnswerPenaltyRunner2,
    penalty_of,
)

VOCABULARY = 50
PROMPTS = [[1, 2, 3, 4], [5, 6], [7, 8, 9], [1, 1, 1]]
ANSWERS = [[3, 9, 9, 40], [], [8, 41, 0], [1, 2, 49, 48, 47]]
PENALTIES = [1.3, 1.2, 1.0, 0.8]


def params(penalty: float) -> SamplingParams:
    made = SamplingParams(repetition_penalty=penalty)
    AnswerPenalty.validate_params(made)
    return made


def expected(logits: torch.Tensor) -> torch.Tensor:
    rows = []
    for row, answer, penalty in zip(logits, ANSWERS, PENALTIES, strict=True):
        process = RepetitionPenaltyLogitsProcessor(penalty)
        ids = torch.tensor([answer], dtype=torch.long)
        rows.append(process(ids, row[None].clone())[0] if answer else row)
    return torch.stack(rows)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(len(PROMPTS), VOCABULARY, generator=torch.Generator().manual_seed(0))


def test_the_penalty_is_taken_from_vllm_once() -> None:
    made = SamplingParams(repetition_penalty=1.3, extra_args={"other": 1})
    for _ in range(2):  # the parameters of several requests may be one object
        AnswerPenaltyRunner2.validate_params(made)
        assert made.repetition_penalty == 1.0
        assert penalty_of(made) == 1.3
        assert made.extra_args == {"other": 1, KEY: 1.3}
    assert penalty_of(SamplingParams()) == 1.0


def test_first_runner(logits: torch.Tensor) -> None:
    processor = AnswerPenalty(None, torch.device("cpu"), False)
    assert not processor.is_argmax_invariant()
    answers: list[list[int]] = [[] for _ in ANSWERS]  # which the runner goes on writing
    added = [(row, params(p), PROMPTS[row], answers[row]) for row, p in enumerate(PENALTIES)]
    processor.update_state(BatchUpdate(batch_size=4, removed=[], added=added, moved=[]))
    assert torch.equal(processor.apply(logits.clone()), logits)
    for answer, tokens in zip(answers, ANSWERS, strict=True):
        answer.extend(tokens)
    assert torch.equal(processor.apply(logits.clone()), expected(logits))
    swap = [(0, 3, MoveDirectionality.SWAP)]
    processor.update_state(BatchUpdate(batch_size=4, removed=[], added=[], moved=swap))
    order = [3, 1, 2, 0]
    assert torch.equal(processor.apply(logits[order].clone())[order], expected(logits))
    processor.update_state(BatchUpdate(batch_size=2, removed=[3, 0], added=[], moved=[]))
    assert torch.equal(processor.apply(logits.clone()), logits)


def test_second_runner(logits: torch.Tensor) -> None:
    slots = [5, 0, 3, 2]  # where the runner keeps each request
    tokens = torch.full((6, 32), 13)
    lengths = np.zeros(6, np.int64)
    for slot, prompt, answer in zip(slots, PROMPTS, ANSWERS, strict=True):
        tokens[slot, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        lengths[slot] = len(prompt)
    requests: Any = SimpleNamespace(
        device=torch.device("cpu"),
        max_num_reqs=6,
        all_token_ids=SimpleNamespace(gpu=tokens),
        prompt_len=SimpleNamespace(np=lengths, gpu=torch.from_numpy(lengths)),
    )
    processor = AnswerPenaltyRunner2(None, requests)
    total = np.array([len(p) + len(a) for p, a in zip(PROMPTS, ANSWERS, strict=True)])
    context = SimpleNamespace(
        idx_mapping_np=np.array(slots),
        expanded_idx_mapping=torch.tensor(slots),
        pos=torch.from_numpy(total) - 1,
        seq_lens_upper_bound_np=total,
    )
    assert torch.equal(processor.apply(logits.clone(), context), logits)
    takes = [processor.add_request(s, params(p)) for s, p in zip(slots, PENALTIES, strict=True)]
    assert takes == [True, True, False, True]
    assert torch.equal(processor.apply(logits.clone(), context), expected(logits))
    for slot in slots:  # another request comes to the same place
        assert not processor.add_request(slot, params(1.0))
    assert torch.equal(processor.apply(logits.clone(), context), logits)
