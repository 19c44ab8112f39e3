"""The repetition penalty over the tokens of the answer alone, as in the official code.

vLLM's own counts the prompt too, where the question and the placeholders are. A request's
``repetition_penalty`` is taken over by a logits processor: of vLLM's first model runner
(`AnswerPenalty`), or of its second one (`AnswerPenaltyRunner2`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as LogitsProcessor2

KEY = "llava_video_answer_penalty"
"""Under which the penalty is in the ``extra_args`` of a request."""


def take_over(params: SamplingParams) -> None:
    """Move the penalty of a request to where vLLM's own does not see it."""
    if params.repetition_penalty != 1.0:
        params.extra_args = {**(params.extra_args or {}), KEY: params.repetition_penalty}
        params.repetition_penalty = 1.0


def penalty_of(params: SamplingParams) -> float:
    """The penalty that was taken over; 1 for none."""
    return float((params.extra_args or {}).get(KEY, 1.0))


def penalise(logits: Tensor, ids: Tensor, penalties: Tensor) -> Tensor:
    """Make tokens less likely: logits (B, vocabulary), ids (B, L) of which some may repeat.

    Args:
        logits: of the next token.
        ids: tokens of each row.
        penalties: (B,) above 1.
    """
    scores = logits.gather(1, ids)
    factors = penalties[:, None].to(scores)
    return logits.scatter(1, ids, torch.where(scores < 0, scores * factors, scores / factors))


class AnswerPenalty(LogitsProcessor):
    """For vLLM's first model runner, which hands over the lists of tokens of each answer."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        take_over(sampling_params)

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._rows: dict[int, tuple[float, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(
            self._rows,
            batch_update,
            lambda params, prompt, answer: (
                (penalty, answer) if (penalty := penalty_of(params)) != 1.0 else None
            ),
        )

    def apply(self, logits: Tensor) -> Tensor:
        """(B, vocabulary) logits, changed where a row has a penalty and an answer."""
        answers = {row: answer for row, (_, answer) in self._rows.items() if answer}
        if not answers:
            return logits
        longest = max(map(len, answers.values()))
        padded = [answer + answer[:1] * (longest - len(answer)) for answer in answers.values()]
        rows = torch.tensor(list(answers), device=logits.device)
        ids = torch.tensor(padded, device=logits.device)
        penalties = torch.tensor([self._rows[row][0] for row in answers], device=logits.device)
        logits[rows] = penalise(logits[rows], ids, penalties)
        return logits


class AnswerPenaltyRunner2(LogitsProcessor2):
    """For vLLM's second model runner, which keeps the tokens of all requests on the device."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        take_over(sampling_params)

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        self._requests = req_states
        self._penalties = torch.ones(req_states.max_num_reqs, device=req_states.device)
        self._has_penalty = [False] * req_states.max_num_reqs

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        penalty = penalty_of(sampling_params)
        self._penalties[req_idx] = penalty
        self._has_penalty[req_idx] = penalty != 1.0
        return self._has_penalty[req_idx]

    def apply(self, logits: Tensor, ctx: Any) -> Tensor:
        """(rows, vocabulary) logits, changed where a row has a penalty and an answer."""
        slots = ctx.idx_mapping_np
        if not any(self._has_penalty[slot] for slot in slots):
            return logits
        starts = self._requests.prompt_len.np[slots]
        width = int((ctx.seq_lens_upper_bound_np - starts).max())
        if width < 1:
            return logits
        requests = ctx.expanded_idx_mapping.long()
        first = self._requests.prompt_len.gpu[requests].long()
        length = ctx.pos.long() + 1 - first  # tokens of the answer before each row
        offsets = torch.arange(width, device=logits.device)
        places = first[:, None] + offsets.minimum((length[:, None] - 1).clamp(min=0))
        ids = self._requests.all_token_ids.gpu[requests[:, None], places].long()
        penalties = torch.where(length > 0, self._penalties[requests], 1.0)
        return penalise(logits, ids, penalties)
