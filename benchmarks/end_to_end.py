"""One answer from frames to the last token, against transformers' LlavaOnevision in the same run.

A random model in the shape of the released 7B (or a small one), whose weights both classes share.
Where they compute the same function (bilinear pooling, one newline at the end) their logits are
compared first. Then, for each row: seconds until frames are video tokens, seconds until the first
token, video tokens per second of that, tokens per second after it, and the peak of GPU memory.
Below each of ours stands what `llava-video plan` would have said (rates measured on this device).

Static rows use transformers' static cache, with which `generate` compiles decoding on a GPU.

Run: python benchmarks/end_to_end.py                      the 7B with 64 frames, on a GPU of 40 GB
     python benchmarks/end_to_end.py --shape small --num-frames 8 --new-tokens 16      on any CPU
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from transformers import LlavaOnevisionForConditionalGeneration

from llava_video.budget.devices import parse_device
from llava_video.budget.inference_memory import MemoryModel
from llava_video.budget.latency import count_work, measure_rates
from llava_video.checkpoints import layouts
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.model.grouped_attention import GROUPED
from llava_video.representation import VideoRepresentation, make_layout

NUM_TEXT_TOKENS = 128
SHAPES: dict[str, dict[str, Any]] = {
    "7b": {
        "text_config": {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "max_position_embeddings": 32768,
        },
    },
    "small": {
        "vision_config": {
            "hidden_size": 288,
            "intermediate_size": 1076,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "image_size": 384,
            "patch_size": 14,
        },
        "text_config": {
            "hidden_size": 448,
            "intermediate_size": 2368,
            "num_hidden_layers": 8,
            "num_attention_heads": 7,
            "num_key_value_heads": 1,
            "vocab_size": 32768,
            "max_position_embeddings": 32768,
        },
    },
}


def make_models(shape: str, device: torch.device) -> tuple[Any, Any]:
    """Ours and transformers', with the same weights, in the default dtype."""
    own = VideoRepresentation(pooling="bilinear", newline="end")
    config = LlavaVideoConfig(
        **SHAPES[shape],
        video_token_id=1,
        video_representation=own.to_dict(),
        dtype=torch.get_default_dtype(),
    )
    reason = layouts.why_not_onevision(config)
    assert reason is None, reason
    torch.manual_seed(0)
    with device:
        theirs = LlavaOnevisionForConditionalGeneration(layouts.onevision_config(config, 0, 1))
        ours = LlavaVideoForConditionalGeneration(config)
    weights = {layouts.onevision_name(name): tensor for name, tensor in ours.state_dict().items()}
    theirs.load_state_dict(weights, assign=True)
    if device.type == "cpu":
        ours.set_attn_implementation({"text_config": GROUPED})  # as `load` does
    return ours.eval(), theirs.eval()


class Row:
    """One way of answering, and how long its parts took."""

    def __init__(
        self,
        name: str,
        model: Any,
        pixels: torch.Tensor,
        num_video_tokens: int,
        representation: VideoRepresentation | None,
        **options: Any,
    ) -> None:
        self.name, self.model, self.options = name, model, options
        self.representation = representation
        self.num_video_tokens = num_video_tokens
        ids = torch.full((1, num_video_tokens + NUM_TEXT_TOKENS), 2, device=pixels.device)
        ids[0, 4 : 4 + num_video_tokens] = 1
        self.pixels = pixels if representation else pixels[None]
        self.inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        self.seconds: dict[str, list[float]] = {"vision": [], "first": [], "all": []}
        self.peak_bytes = 0

    def generate(self, num_tokens: int) -> torch.Tensor:
        """Answer with exactly that many tokens: ids."""
        self._show()
        ids: torch.Tensor = self.model.generate(
            **self.inputs,
            pixel_values_videos=self.pixels,
            max_new_tokens=num_tokens,
            min_new_tokens=num_tokens,
            do_sample=False,
            pad_token_id=0,
            **self.options,
        )
        return ids

    def encode(self) -> Any:
        """Frames to video tokens."""
        self._show()
        count = () if self.representation is None else ([len(self.pixels)],)
        return self.model.get_video_features(self.pixels, *count)

    def logits(self) -> torch.Tensor:
        """What follows the prompt: (vocabulary,)."""
        self._show()
        output = self.model(**self.inputs, pixel_values_videos=self.pixels, logits_to_keep=1)
        return output.logits[0, -1].float()  # type: ignore[no-any-return]

    def measure(self, num_new_tokens: int) -> None:
        """Time every stage once more."""
        device = self.pixels.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        for stage, work in (
            ("vision", self.encode),
            ("first", lambda: self.generate(1)),
            ("all", lambda: self.generate(num_new_tokens)),
        ):
            self.seconds[stage].append(seconds_of(work, device))
        if device.type == "cuda":
            self.peak_bytes = torch.cuda.max_memory_allocated(device)

    def _show(self) -> None:
        if self.representation is not None:
            self.model.config.representation = self.representation


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def foresee(row: Row, rates: Any, num_new_tokens: int) -> str:
    """What the plan says of a row, in its columns."""
    config, dtype = row.model.config, row.model.dtype
    counts = {
        "num_frames": len(row.pixels),
        "num_video_tokens": row.num_video_tokens,
        "num_prompt_tokens": row.inputs["input_ids"].shape[1],
        "num_new_tokens": num_new_tokens,
    }
    time_told = count_work(config, dtype, **counts).at(rates)
    first = time_told.vision_seconds + time_told.prefill_seconds
    memory = MemoryModel.of(config, dtype, row.pixels.device.type).estimate(**counts)
    return (
        f"| (plan) | | {time_told.vision_seconds:.2f} | {first:.2f} | "
        f"{row.num_video_tokens / first:,.0f} | "
        f"{(num_new_tokens - 1) / time_told.decode_seconds:.1f} | {memory.peak / 2**30:.2f} |"
    )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--num-frames", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--static", action="store_true", help="static rows on a CPU too")
    options = parser.parse_args()
    device = parse_device(options.device)
    torch.set_default_dtype(torch.bfloat16)
    ours, theirs = make_models(options.shape, device)
    size = ours.config.tile_size
    pixels = torch.randn(options.num_frames, 3, size, size, device=device)
    end = replace(ours.config.representation, max_frames=options.num_frames)
    grid, slowfast = replace(end, newline="grid"), replace(end, newline="grid", slow_stride=3)
    num_tokens = {r: make_layout(r, options.num_frames).num_tokens for r in (end, grid, slowfast)}
    rows = [
        Row("LlavaOnevision", theirs, pixels, num_tokens[end], None),
        Row("ours, same tokens", ours, pixels, num_tokens[end], end),
        Row("ours, as released (grid)", ours, pixels, num_tokens[grid], grid),
        Row("ours, slow and fast (s = 3)", ours, pixels, num_tokens[slowfast], slowfast),
    ]
    if device.type == "cuda" or options.static:
        static = {"cache_implementation": "static"}
        rows.insert(
            1, Row("LlavaOnevision, static", theirs, pixels, num_tokens[end], None, **static)
        )
        rows.insert(
            3, Row("ours, same tokens, static", ours, pixels, num_tokens[end], end, **static)
        )
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(
        f"{options.shape}, {ours.num_parameters() / 1e9:.2f} billion parameters, "
        f"bfloat16, {options.num_frames} frames, {options.new_tokens} new tokens, {where}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    same = next(row for row in rows if row.name == "ours, same tokens")
    plain, own = rows[0].logits(), same.logits()
    print(
        f"logits of the same function: {(plain - own).abs().max() / plain.abs().max():.1e} apart\n"
    )
    for row in rows:
        row.generate(options.new_tokens)  # warms up, and compiles where that is done
    for _ in range(options.rounds):
        for row in rows:  # in turns, so that other work on the machine meets all
            row.measure(options.new_tokens)
    rates = measure_rates(ours.config, torch.bfloat16, device)
    print("| | video tokens | vision s | first token s | video tokens/s | tokens/s | peak GiB |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        vision, first, whole = (statistics.median(seconds) for seconds in row.seconds.values())
        per_second = (options.new_tokens - 1) / (whole - first)
        peak = f"{row.peak_bytes / 2**30:.2f}" if row.peak_bytes else "-"
        print(
            f"| {row.name} | {row.num_video_tokens:,} | {vision:.2f} | {first:.2f} | "
            f"{row.num_video_tokens / first:,.0f} | {per_second:.1f} | {peak} |"
        )
        if row.representation is not None and not row.options:
            print(foresee(row, rates, options.new_tokens))


if __name__ == "__main__":
    main()
