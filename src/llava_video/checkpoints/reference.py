"""Reference implementation of the stages before the language model, to compare with.

Slow on purpose: every frame is decoded, one frame after the other is pooled, on copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2Config, SiglipImageProcessorPil

from llava_video.errors import InputError
from llava_video.representation import VideoRepresentation
from llava_video.representation.video_representation import Newline
from llava_video.types import Frames
from llava_video.video import probe_video
from llava_video.video.opening import has_alpha_pictures

_NOT_OF_QWEN2 = ("architectures", "model_type", "vision_config", "auto_map")


def text_config_reference(values: dict[str, Any]) -> Qwen2Config:
    """The language model's configuration as transformers reads it, by itself, from config.json."""
    text = values.get("text_config") or values
    return Qwen2Config(**{key: text[key] for key in text if key not in _NOT_OF_QWEN2})


def representation_reference(
    values: dict[str, Any], ours: VideoRepresentation
) -> VideoRepresentation:
    """How config.json says that frames become tokens, read anew: T and M are ours.

    Of our own layout, the values of the file; of the released one, as llava_arch.py reads it.
    """
    own = values.get("video_representation")
    if own is not None:
        return VideoRepresentation.from_dict({"grid_side": ours.grid_side, **own})
    if values.get("model_type") == "llava_onevision":
        plain = VideoRepresentation(grid_side=ours.grid_side, pooling="bilinear", newline="end")
    else:
        fast = values.get("add_faster_video", False)
        position = values.get("mm_newline_position", "one_token")
        merges = "unpad" in (values.get("mm_patch_merge_type") or "flat")
        plain = VideoRepresentation(
            grid_side=ours.grid_side,
            pooling=values.get("mm_spatial_pool_mode", "bilinear"),
            pool_stride=values.get("mm_spatial_pool_stride") or 2,
            slow_stride=values.get("faster_token_stride", 10) if fast else 1,
            separator=bool(fast),
            newline=_NEWLINES[position] if merges else "none",
        )
    return replace(plain, max_frames=ours.max_frames)


_NEWLINES: dict[str, Newline] = {
    "grid": "grid",
    "frame": "frame",
    "one_token": "end",
    "no_token": "none",
}


def check_plain(video: str | Path) -> None:
    """Refuse a video that plain decoding, as the reference does it, shows otherwise.

    Raises:
        VideoError: the file cannot be read.
        InputError: it is turned, of variable rate, transparent or damaged.
    """
    info = probe_video(video)
    try:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            is_transparent = any(component.is_alpha for component in stream.format.components)
            is_transparent |= has_alpha_pictures(stream)
    except av.FFmpegError as error:
        raise InputError(
            f"{video}: is none that FFmpeg reads, as the reference does; give another --video"
        ) from error
    reasons = {
        "is turned or mirrored": info.rotation_degrees or info.is_mirrored,
        "has a variable rate": info.is_variable_rate,
        "is transparent": is_transparent,
        "is damaged": info.warnings,
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(
                f"{video}: {reason}, which the reference does not see; give another --video, or "
                "none for a sample"
            )


def decode_reference(video: str | Path, ours: Frames) -> tuple[NDArray[np.uint8], str]:
    """Decode all frames and keep as many as ours: (T, H, W, 3), and a note on differences."""
    wanted_count = len(ours)
    with av.open(str(video)) as container:
        num_total = sum(1 for _ in container.decode(video=0))
    wanted = np.linspace(0, num_total - 1, wanted_count, dtype=int).tolist()
    kept: dict[int, NDArray[np.uint8]] = {}
    with av.open(str(video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                kept[index] = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    found = ours.indices.tolist()
    note = "" if found == wanted else f"frames {found} were read, the reference reads {wanted}"
    return np.stack([kept[index] for index in wanted]), note


def preprocess_reference(frames_THWC: NDArray[np.uint8], size: int) -> Tensor:
    """Pixels by transformers' image processor of SigLIP: (T, H, W, 3) -> (T, 3, S, S)."""
    processor = SiglipImageProcessorPil(
        size={"height": size, "width": size}, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3
    )
    return processor(list(frames_THWC), return_tensors="pt")["pixel_values"]  # type: ignore[no-any-return]


def project_reference(
    features_TMC: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
) -> Tensor:
    """Linear, exact GELU, linear, on every token: (T, M, C) -> (T, M, D)."""
    return functional.linear(functional.gelu(functional.linear(features_TMC, *first)), *second)


def arrange_reference(
    projected_TMD: Tensor,
    representation: VideoRepresentation,
    newline_D: Tensor | None,
    separator_D: Tensor | None,
) -> Tensor:
    """Video tokens by a loop over frames, in the order that the words describe: (V, D)."""
    num_frames = len(projected_TMD)
    stride, phase = representation.slow_stride, representation.slow_phase
    slow = [index for index in range(num_frames) if index % stride == phase]
    if representation.arrangement == "interleaved":
        order = [(index, index in slow) for index in range(num_frames)]
    else:
        fast_pass = [(index, False) for index in range(num_frames)]
        slow_pass = [(index, True) for index in slow]
        slow_first = representation.arrangement == "slow_then_fast"
        order = slow_pass + fast_pass if slow_first else fast_pass + slow_pass
    pieces = []
    for index, is_slow in order:
        grid = _pool_reference(projected_TMD[index], representation, is_slow)
        for row in grid:
            pieces.append(row)
            if representation.newline == "grid" and newline_D is not None:
                pieces.append(newline_D[None])
        if representation.newline == "frame" and newline_D is not None:
            pieces.append(newline_D[None])
        if representation.separator and separator_D is not None:
            pieces.append(separator_D[None])
    if representation.newline == "end" and newline_D is not None:
        pieces.append(newline_D[None])
    return torch.cat(pieces)


def _pool_reference(
    tokens_MD: Tensor, representation: VideoRepresentation, is_slow: bool
) -> Tensor:
    """Pool one frame on a channels-first copy: (rows, columns, D)."""
    side = representation.grid_side
    grid = representation.slow_grid if is_slow else representation.fast_grid
    stride = representation.pool_stride if is_slow else representation.fast_stride
    pooling = representation.pooling
    if not is_slow and representation.fast_pooling is not None:
        pooling = representation.fast_pooling
    image = tokens_MD.view(side, side, -1).permute(2, 0, 1)[None].contiguous()
    size = (grid.rows, grid.columns)
    pool: dict[str, Callable[[Tensor], Tensor]] = {
        "average": lambda x: functional.avg_pool2d(x, stride),
        "max": lambda x: functional.max_pool2d(x, stride),
        "max_1d": lambda x: functional.max_pool2d(x, (1, stride)),
        "bilinear": lambda x: functional.interpolate(x, size=size, mode="bilinear"),
        "adaptive": lambda x: functional.adaptive_avg_pool2d(x, size),
    }
    return pool[pooling](image)[0].permute(1, 2, 0)
