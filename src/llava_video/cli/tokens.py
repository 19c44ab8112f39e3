"""``llava-video tokens``: the token tape of a representation, with or without a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    video: Annotated[
        str | None, typer.Argument(help="A video whose frames are shown; else T frames.")
    ] = None,
    representation: Annotated[
        str, typer.Option(help="T,M,s,p or a name from `presets`.")
    ] = "llava-video-slowfast",
    num_frames: Annotated[
        int | None, typer.Option(help="Frames to lay out, at most T; default: T.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Sample the video at this rate instead, up to T frames.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Write the tape as an SVG picture.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the tape as an HTML page.")] = None,
) -> None:
    """Draw the video tokens of a representation: every frame at its width, and the total."""
    import json

    from llava_video.representation import make_layout, parse_representation, tape
    from llava_video.video import read_video

    wanted = parse_representation(representation)
    count = wanted.max_frames if num_frames is None else num_frames
    frames = None
    if video is not None and fps is not None:
        frames = read_video(video, fps=fps, max_frames=wanted.max_frames)
    elif video is not None:
        frames = read_video(video, num_frames=count)
    layout = make_layout(wanted, count if frames is None else len(frames))
    for path, draw in ((svg, tape.to_svg), (html, tape.to_html)):
        if path is not None:
            _write(path, draw(layout, frames))
    if as_json:
        typer.echo(json.dumps(tape.to_dict(layout, frames), ensure_ascii=False))
    elif svg is None and html is None:
        from rich.console import Console

        typer.echo(tape.to_text(layout, width=Console().width))


def _write(path: Path, text: str) -> None:
    from llava_video.errors import InputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    typer.echo(f"wrote {path}", err=True)
