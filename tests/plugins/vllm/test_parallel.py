"""One model over several workers: the language model is split, and the ids stay the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; see make test-vllm")

from llava_video.plugins.vllm import model  # noqa: F401  what is tested
from tests.plugins.vllm.engines import Own, engine, turn


def allocate(worker: Any) -> None:
    """What vLLM 0.32 does on GPUs as it warms up, and forgets on CPUs without compilation."""
    runner = worker.model_runner
    if runner.intermediate_tensors is None:
        runner.intermediate_tensors = runner.model.make_empty_intermediate_tensors(
            batch_size=runner.max_num_tokens, dtype=runner.dtype, device=runner.device
        )


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a processor for each of two workers")
@pytest.mark.parametrize("kind", ["tensor", "pipeline"])
def test_two_workers(
    kind: str, checkpoint: Path, videos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")  # one processor each
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # of `allocate`
    own = Own(checkpoint)
    picture = np.random.default_rng(7).integers(0, 256, (80, 40, 3), dtype=np.uint8)
    rows = [turn("What happens?", video) for video in videos]
    rows += [turn("Which is it?", picture, videos[1]), turn("Hello")]
    with engine(checkpoint, **{f"{kind}_parallel_size": 2}) as llm:
        llm.collective_rpc(allocate)
        for _ in range(2):  # the second time from the caches
            assert own.ask(llm, rows) == own.answer(rows)
