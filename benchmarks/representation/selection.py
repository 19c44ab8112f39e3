"""The time that a selection of video tokens takes, beside the prefill that it saves.

A video of released size is packed with and without a selection: 64 frames of 27 x 27 features of
the vision encoder's width, projected tokens as wide as the language model. What is saved is the
work of the prompt (`budget.latency.count_work`) at the rate that a layer of the language model
reaches on this device. Rounds alternate, so that other load touches all rows alike.

Run: python benchmarks/representation/selection.py [--device cpu] [--dtype float32] [--threads 2]
     [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor

from llava_video.budget.latency import count_work, measure_rates
from llava_video.budget.units import parse_dtype
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.representation import PRESETS, VideoRepresentation, make_layout
from llava_video.representation.dissimilarity import keep_tokens, select_tokens

NUM_TEXT_TOKENS = 256
NAMES = ("released-7b", "released-72b")
"""The layouts of both releases, here before a language model of 7B."""
SHARES = (0.5, 0.25)
METHODS = ("random", "evs", "tstm")
QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    device, dtype = torch.device(options.device), parse_dtype(options.dtype)
    assert dtype is not None
    config = LlavaVideoConfig(text_config=QWEN2_7B, has_separator=True)
    rates = measure_rates(config, dtype, device)
    print(
        f"{device}, {options.dtype}, {options.threads} threads, best of {options.rounds}; ", end=""
    )
    print(f"prompt at {rates.prefill_flops / 1e12:.3g} TFLOP/s\n")
    columns = ("layout", "selection", "tokens", "prefill saved, s", "choose, ms", "keep, ms")
    print("|", " | ".join([*columns, "share of what is saved"]), "|")
    print("|---" * (len(columns) + 1) + "|")
    for name in NAMES:
        base = PRESETS[name].representation
        whole = prefill_seconds(config, dtype, base, rates.prefill_flops)
        chosen = [
            replace(base, selection=method, keep_ratio=share)
            for share in SHARES
            for method in METHODS
        ]
        for representation, (choose, keep) in measure(chosen, dtype, device, options.rounds):
            layout = make_layout(representation, representation.max_frames)
            saved = whole - prefill_seconds(config, dtype, representation, rates.prefill_flops)
            share = f"{representation.selection}={representation.keep_ratio}"
            print(
                f"| {name} | {share} | {layout.num_tokens:,} of {layout.num_packed_tokens:,} "
                f"| {saved:.3g} | {choose * 1e3:.1f} | {keep * 1e3:.1f} "
                f"| {(choose + keep) / saved:.2%} |",
                flush=True,
            )


def prefill_seconds(
    config: LlavaVideoConfig,
    dtype: torch.dtype,
    representation: VideoRepresentation,
    flops_per_second: float,
) -> float:
    """Seconds of the prompt, projector included, at a rate."""
    layout = make_layout(representation, representation.max_frames)
    work = count_work(
        config,
        dtype,
        num_frames=layout.num_frames,
        num_video_tokens=layout.num_packed_tokens,
        num_prompt_tokens=layout.num_tokens + NUM_TEXT_TOKENS,
        num_new_tokens=1,
    )
    return work.prefill_flops / flops_per_second


def measure(
    representations: list[VideoRepresentation],
    dtype: torch.dtype,
    device: torch.device,
    rounds: int,
) -> list[tuple[VideoRepresentation, tuple[float, float]]]:
    """Fastest seconds to choose tokens and to keep them, for each representation."""
    first = representations[0]
    features = smooth_features(first).to(device, dtype)
    num_packed = make_layout(first, first.max_frames).num_packed_tokens
    tokens = torch.randn(num_packed, QWEN2_7B["hidden_size"]).to(device, dtype)
    best: dict[VideoRepresentation, tuple[float, float]] = {}
    for _ in range(rounds + 1):  # the first warms up
        for representation in representations:
            layout = make_layout(representation, representation.max_frames)
            start = now(device)
            selection = select_tokens(features, layout)
            middle = now(device)
            keep_tokens(tokens, selection)
            found = middle - start, now(device) - middle
            before = best.get(representation, found)
            best[representation] = min(before[0], found[0]), min(before[1], found[1])
    return list(best.items())


def smooth_features(representation: VideoRepresentation) -> Tensor:
    """Features of a video of which a part changes from frame to frame."""
    generator = torch.Generator().manual_seed(0)
    shape = (representation.max_frames, representation.tokens_per_frame, 1152)
    moving = torch.rand(shape[:2], generator=generator)[..., None] < 0.3
    still = torch.randn(shape[1:], generator=generator)
    return still + moving * torch.randn(shape, generator=generator)


def now(device: torch.device) -> float:
    """The time when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
