"""Greedy ids that the official implementation recorded, from the real engine.

vLLM's attention on a CPU takes heads of at least 32 channels, those of the recorded checkpoint have
12. `widen` makes the same function of wider matrices: what is added is zero, the norms' weights and
epsilon make up for a mean over more channels, the queries for the scale of the attention, and only
the first 12 channels of a head are rotated.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; see make test-vllm")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from llava_video.checkpoints.released import translate_representation
from tests.model.released import CASES, CONFIG, GOLDENS, UPSTREAM_PLACEHOLDER
from tests.model.small import small_processor
from tests.plugins.vllm.engines import engine

WIDTH, HEADS, KEY_HEADS = 48, CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
HEAD, WIDE_HEAD = WIDTH // HEADS, 32
WIDE = HEADS * WIDE_HEAD


def pad(tensor: Tensor, *shape: int) -> Tensor:
    """Zeros after the values, in each dimension."""
    wide = torch.zeros(shape, dtype=tensor.dtype)
    wide[tuple(slice(size) for size in tensor.shape)] = tensor
    return wide


def widen(name: str, tensor: Tensor) -> Tensor:
    """A tensor of the recorded checkpoint, for a language model of width `WIDE`."""
    if "vision_tower" in name:
        return tensor
    part = name.split(".")[-2]
    if part in ("q_proj", "k_proj", "v_proj"):
        heads = HEADS if part == "q_proj" else KEY_HEADS
        scale = math.sqrt(WIDE_HEAD / HEAD) if part == "q_proj" else 1.0
        split = tensor.reshape(heads, HEAD, -1) * scale
        rows = pad(split, heads, WIDE_HEAD, split.shape[-1]).reshape(heads * WIDE_HEAD, -1)
        return rows[:, 0] if tensor.ndim == 1 else pad(rows, len(rows), WIDE)
    if part == "o_proj":
        split = tensor.reshape(WIDTH, HEADS, HEAD)
        return pad(split, WIDE, HEADS, WIDE_HEAD).reshape(WIDE, WIDE)
    if "norm" in part:
        return pad(tensor, WIDE) * math.sqrt(WIDTH / WIDE)
    return pad(tensor, *(WIDE if size == WIDTH else size for size in tensor.shape))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "golden.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def placeholder(golden: dict[str, np.ndarray]) -> int:
    """An id that no recorded text has, since a model cannot write its placeholder."""
    texts = [golden[f"{name}/greedy_ids"].tolist() for name in CASES["cases"]]
    used = {*CASES["input_ids"], *chain.from_iterable(texts)}
    return next(number for number in reversed(range(CONFIG["vocab_size"])) if number not in used)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory, placeholder: int) -> Iterator[Any]:
    directory = tmp_path_factory.mktemp("widened")
    for file in GOLDENS.glob("*.safetensors"):
        tensors = {name: widen(name, tensor) for name, tensor in load_file(file).items()}
        save_file(tensors, directory / file.name)
    for file in GOLDENS.glob("*.index.json"):
        shutil.copy(file, directory)
    eps = CONFIG.get("rms_norm_eps", 1e-6) * WIDTH / WIDE
    values = {"hidden_size": WIDE, "rms_norm_eps": eps, "image_token_index": placeholder}
    values["add_time_instruction"] = False  # the recorded prompts have none
    (directory / "config.json").write_text(json.dumps({**CONFIG, **values}))
    small_processor().tokenizer.save_pretrained(directory)
    rope = {
        "rope_type": "default",
        "rope_theta": CONFIG.get("rope_theta", 1_000_000.0),
        "partial_rotary_factor": HEAD / WIDE_HEAD,
    }
    with engine(
        directory, hf_overrides={"text_config": {"rope_parameters": rope}}, max_model_len=None
    ) as started:
        yield started


@pytest.mark.parametrize("name", CASES["cases"])
def test_greedy_ids(name: str, llm: Any, placeholder: int, golden: dict[str, np.ndarray]) -> None:
    from vllm import SamplingParams

    settings = CASES["cases"][name]
    grid_side = CONFIG["vision_config"]["image_size"] // CONFIG["vision_config"]["patch_size"]
    representation = translate_representation(
        {**CONFIG, **settings}, grid_side, has_newline=True, where=str(GOLDENS)
    )
    recorded = golden[f"{name}/greedy_ids"].tolist()
    ids = [placeholder if i == UPSTREAM_PLACEHOLDER else i for i in CASES["input_ids"]]
    (output,) = llm.generate(
        {
            "prompt_token_ids": ids,
            "multi_modal_data": {"video": [(golden["frames"], {})]},
            "mm_processor_kwargs": {"representation": representation.to_dict()},
        },
        SamplingParams(max_tokens=len(recorded), temperature=0.0, ignore_eos=True),
        use_tqdm=False,
    )
    assert output.prompt_token_ids.count(placeholder) == settings["num_visual_tokens"]
    assert list(output.outputs[0].token_ids) == recorded
