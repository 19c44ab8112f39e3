"""``llava-video toyworld``: make videos with known truth, and look at them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llava_video.toyworld.script import Script
    from llava_video.types import Frames

app = typer.Typer(help="Make videos with known truth.", no_args_is_help=True)

_LEVELS = "simple, standard, crowded or long"


@app.command()
def make(
    num_videos: Annotated[int, typer.Option(min=1, help="How many videos.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; a started one is completed.")],
    *,
    seed: Annotated[int, typer.Option(help="Seed of the first video; the others follow.")] = 0,
    level: Annotated[str, typer.Option(help=f"{_LEVELS}.")] = "standard",
    size: Annotated[str, typer.Option(help="Side in pixels, or WIDTHxHEIGHT.")] = "224",
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 10.0,
    seconds: Annotated[
        float | None, typer.Option(help="Length of each video. [default: as the level has it]")
    ] = None,
    num_workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that draw. [default: one per processor]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make videos, their scripts, and questions about them in the LLaVA JSON format."""
    from rich.console import Console
    from rich.progress import track

    from llava_video.toyworld.dataset import DatasetSettings, make_dataset

    width, height = _parse_size(size)
    settings = DatasetSettings(seed, level, width, height, fps, seconds)
    workers = min(num_workers or os.cpu_count() or 1, num_videos)
    made = track(
        make_dataset(out, num_videos, settings, num_workers=workers),
        description="Drawing",
        total=num_videos,
        console=Console(stderr=True),
    )
    num_made = sum(made)
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "num_videos": num_videos, "num_made": num_made}))
    else:
        typer.echo(f"{out}: {num_videos} videos, {num_made} of them made now")


@app.command()
def play(
    video_or_seed: Annotated[str, typer.Argument(help="A video with its script, or a seed.")],
    *,
    level: Annotated[str, typer.Option(help=f"With a seed: {_LEVELS}.")] = "standard",
    out: Annotated[Path, typer.Option(help="The picture to draw.")] = Path("toyworld.png"),
    num_frames: Annotated[int, typer.Option(min=1, help="How many frames to show.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a video with its script and questions about it, as one picture."""
    from llava_video.errors import InputError
    from llava_video.toyworld import make_questions
    from llava_video.toyworld.draw.sheet import draw_sheet

    script, frames = _load(video_or_seed, level, num_frames)
    questions = make_questions(script)
    try:
        draw_sheet(frames, script, questions).save(out)
    except (OSError, ValueError) as error:
        raise InputError(f"{out}: cannot be written as a picture: {error}") from error
    if as_json:
        result = {
            "script": str(script),
            "questions": [question.to_dict() for question in questions],
        }
        typer.echo(json.dumps({"contact_sheet": str(out), **result}, indent=2))
    else:
        typer.echo(script)
        typer.echo(f"contact sheet: {out}")


def _load(video_or_seed: str, level: str, num_frames: int) -> tuple[Script, Frames]:
    from llava_video.errors import InputError
    from llava_video.toyworld import generate_script, parse_script, render, script_path_of
    from llava_video.video import read_video

    if video_or_seed.lstrip("-").isdigit():
        script = generate_script(int(video_or_seed), level)
        return script, render(script, num_frames, 192)
    path = script_path_of(video_or_seed)
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such script; give a video that `llava-video toyworld make` wrote"
        )
    try:
        script = parse_script(path.read_text(encoding="utf-8", errors="replace"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return script, read_video(video_or_seed, num_frames=num_frames)


def _parse_size(text: str) -> tuple[int, int]:
    from llava_video.errors import InputError

    width, _, height = text.partition("x")
    if not width.isdigit() or not (height or width).isdigit():
        raise InputError(f"--size {text}: use a number of pixels, or WIDTHxHEIGHT such as 320x180")
    return int(width), int(height or width)
