"""``llava-video frames``: which frames of a video are sampled, and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from llava_video.video import Sample


def command(
    video: Annotated[str, typer.Argument(help="A video file.")],
    *,
    num_frames: Annotated[
        int | None, typer.Option(help="Spread so many frames over the video. [default: 64]")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Take so many frames per second.")] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="With --fps: never more than so many, spread if need be.")
    ] = None,
    start_seconds: Annotated[float, typer.Option(help="Sample from this time on.")] = 0.0,
    end_seconds: Annotated[float | None, typer.Option(help="Sample up to this time.")] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option(help="Draw the frames, labelled, into this picture file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which frames of a video are sampled, and when."""
    from llava_video.errors import InputError
    from llava_video.video import read_video, sample_video
    from llava_video.video.contact_sheet import draw_contact_sheet, thumbnail_size

    if contact_sheet is not None and contact_sheet.suffix.lower() not in _PICTURE_SUFFIXES:
        raise InputError(f"{contact_sheet}: name the contact sheet .png, .jpg or .webp")
    request: dict[str, Any] = {
        "num_frames": num_frames,
        "fps": fps,
        "max_frames": max_frames,
        "start_seconds": start_seconds,
        "end_seconds": end_seconds,
    }
    sample = sample_video(video, **request)
    if contact_sheet is not None:
        frames = read_video(video, size=thumbnail_size(sample.height, sample.width), **request)
        try:
            draw_contact_sheet(frames).save(contact_sheet)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or f"{error}; take fewer frames, or .png"
            raise InputError(f"{contact_sheet}: cannot be written: {reason}") from error
    if as_json:
        typer.echo(json.dumps(_describe(video, sample), indent=2))
    else:
        _print_table(video, sample, contact_sheet)


_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def _describe(video: str, sample: Sample) -> dict[str, Any]:
    return {
        "source": video,
        "num_frames": len(sample.indices),
        "width": sample.width,
        "height": sample.height,
        "duration_seconds": round(sample.duration_seconds, 6),
        "indices": sample.indices.tolist(),
        "timestamps_seconds": [round(t, 6) for t in sample.timestamps_seconds.tolist()],
        "warnings": list(sample.warnings),
    }


def _print_table(video: str, sample: Sample, contact_sheet: Path | None) -> None:
    typer.echo(
        f"{video}: {len(sample.indices)} frames of {sample.width} x {sample.height} pixels "
        f"from {sample.duration_seconds:.2f} s"
    )
    cells = [
        f"{index:>7} {seconds:>9.2f} s"
        for index, seconds in zip(sample.indices, sample.timestamps_seconds, strict=True)
    ]
    per_line = 4
    typer.echo("   ".join([f"{'frame':>7} {'time':>11}"] * min(per_line, len(cells))))
    for start in range(0, len(cells), per_line):
        typer.echo("   ".join(cells[start : start + per_line]))
    if contact_sheet is not None:
        typer.echo(f"contact sheet: {contact_sheet}")
    for warning in sample.warnings:
        typer.echo(f"warning: {warning}", err=True)
