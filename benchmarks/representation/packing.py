"""Packing features into video tokens, against copying the same bytes and a loop over frames.

The floor is one plain memory copy that reads and writes as many bytes as packing must: features
that the pooling uses are read once, video tokens are written once. Packing returns a new tensor,
whose memory the system hands out page by page; so the floor is given twice, with a copy that only
writes to memory in use, and with one that writes as many bytes as there are video tokens to a new
tensor too. The loop does what the official code does, frame by frame.

Run: python benchmarks/representation/packing.py [--width 3584] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from llava_video.representation import VideoRepresentation, make_layout
from llava_video.representation.packing import pack_video

REPRESENTATIONS = {
    "(64,729,3,2)": VideoRepresentation(max_frames=64, slow_stride=3),
    "(110,729,1,2)": VideoRepresentation(max_frames=110),
    "(64,729,1,2) bilinear, grid newlines": VideoRepresentation(pooling="bilinear", newline="grid"),
}


def best_of(work: Callable[[], object], repeats: int = 7) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def loop_over_frames(
    features: Tensor, representation: VideoRepresentation, newline: Tensor
) -> Tensor:
    """One frame at a time through a channels-first copy, then one concatenation."""
    parts = []
    side = representation.grid_side
    for index, frame in enumerate(features):
        slow = index % representation.slow_stride == 0
        stride = representation.pool_stride if slow else representation.fast_stride
        image = frame.view(side, side, -1).permute(2, 0, 1).unsqueeze(0).contiguous()
        if representation.pooling == "average":
            pooled = functional.avg_pool2d(image, stride)
        else:
            size = -(-side // stride)
            pooled = functional.interpolate(image, (size, size), mode="bilinear")
        grid = pooled[0].permute(1, 2, 0)
        if representation.newline == "grid":
            grid = torch.cat([grid, newline.expand(len(grid), 1, -1)], dim=1)
        parts.append(grid.flatten(0, 1))
    return torch.cat(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=3584, help="features per token")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    print(f"width {options.width}, {options.threads} threads, best of 7\n")
    columns = ("representation", "dtype", "MB moved", "copy, ms", "copy to new memory, ms")
    columns += ("ours, ms", "x copy", "x copy to new", "loop, ms", "x ours")
    print("|", " | ".join(columns), "|")
    print("|---" * len(columns) + "|")
    for name, representation in REPRESENTATIONS.items():
        layout = make_layout(representation, representation.max_frames)
        for dtype in (torch.float32, torch.bfloat16):
            report(name, representation, layout.num_tokens, dtype, options.width)


def report(
    name: str, representation: VideoRepresentation, num_tokens: int, dtype: torch.dtype, width: int
) -> None:
    layout = make_layout(representation, representation.max_frames)
    features = torch.randn(layout.num_frames, representation.tokens_per_frame, width).to(dtype)
    newline = torch.randn(width).to(dtype)
    num_bytes = (used_tokens(representation) + num_tokens) * width * features.element_size()
    source = torch.ones(num_bytes // 2, dtype=torch.uint8)
    target = torch.ones_like(source)
    packed = pack_video(features, layout, newline_D=newline)
    torch.testing.assert_close(
        packed, loop_over_frames(features, representation, newline), rtol=2e-2, atol=2e-2
    )
    num_new = num_tokens * width * features.element_size()

    def copy_to_new_memory() -> Tensor:
        target[num_new:].copy_(source[num_new:])
        return source[:num_new].clone()

    copy = best_of(lambda: target.copy_(source))
    copy_to_new = best_of(copy_to_new_memory)
    ours = best_of(lambda: pack_video(features, layout, newline_D=newline))
    loop = best_of(lambda: loop_over_frames(features, representation, newline), repeats=3)
    kind = str(dtype).removeprefix("torch.")
    print(
        f"| {name} | {kind} | {num_bytes / 1e6:.0f} | {copy * 1e3:.1f} | {copy_to_new * 1e3:.1f} "
        f"| {ours * 1e3:.1f} | {ours / copy:.2f} | {ours / copy_to_new:.2f} "
        f"| {loop * 1e3:.0f} | {loop / ours:.1f} |",
        flush=True,
    )


def used_tokens(representation: VideoRepresentation) -> int:
    """Tokens of all frames that the pooling reads; average pooling drops rows that do not fit."""
    if representation.pooling == "bilinear":
        return representation.max_frames * representation.tokens_per_frame
    side = representation.grid_side
    num_slow = -(-representation.max_frames // representation.slow_stride)
    slow = (side // representation.pool_stride * representation.pool_stride) ** 2
    fast = (side // representation.fast_stride * representation.fast_stride) ** 2
    return num_slow * slow + (representation.max_frames - num_slow) * fast


if __name__ == "__main__":
    main()
