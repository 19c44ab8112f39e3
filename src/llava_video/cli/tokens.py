"""``llava-video tokens``: the token tape of a representation, with or without a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from llava_video.representation import TokenLayout
    from llava_video.representation.selection import TokenSelection
    from llava_video.types import Frames


def command(
    video: Annotated[
        str | None, typer.Argument(help="A video whose frames are shown; else T frames.")
    ] = None,
    representation: Annotated[
        str | None,
        typer.Option(
            help="T,M,s,p or a name from `presets`, evs=0.5 to keep half of the tokens, or both; "
            "default: the model's own, without one llava-video-slowfast."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model that looks at the video, to draw which tokens are kept: 'tiny', a "
            "directory, or a name as `ask` takes it."
        ),
    ] = None,
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

    from llava_video.errors import InputError
    from llava_video.representation import make_layout, parse_representation, tape

    if fps is not None and (video is None or num_frames is not None):
        raise InputError("--fps samples a video, and --num-frames does too; give a video and one")
    selection, frames = None, None
    if model is not None:
        layout, frames, selection = _look(model, video, representation, num_frames, fps)
    else:
        wanted = parse_representation(representation or "llava-video-slowfast")
        count = wanted.max_frames if num_frames is None else num_frames
        if video is not None and fps is not None:
            frames = _thumbnails(video, fps=fps, max_frames=wanted.max_frames)
        elif video is not None:
            frames = _thumbnails(video, num_frames=count)
        layout = make_layout(wanted, count if frames is None else len(frames))
    if svg is not None:
        _write(svg, tape.to_svg(layout, frames, selection=selection))
    if html is not None:
        _write(html, tape.to_html(layout, frames, selection))
    if as_json:
        typer.echo(json.dumps(tape.to_dict(layout, frames, selection), ensure_ascii=False))
    elif svg is None and html is None:
        from rich.console import Console

        typer.echo(tape.to_text(layout, Console().width, selection))


def _thumbnails(video: str, **request: Any) -> Frames:
    """Frames as large as the tape shows them."""
    from llava_video.video import probe_video, read_video
    from llava_video.video.contact_sheet import thumbnail_size

    info = probe_video(video)
    return read_video(video, size=thumbnail_size(info.height, info.width), **request)


def _look(
    model: str,
    video: str | None,
    representation: str | None,
    num_frames: int | None,
    fps: float | None,
) -> tuple[TokenLayout, Frames, TokenSelection]:
    """Which tokens a model keeps of a video."""
    import torch

    from llava_video.chat.local_model import LocalModel
    from llava_video.cli.startup import keep_libraries_quiet
    from llava_video.errors import InputError
    from llava_video.representation import make_layout
    from llava_video.representation.dissimilarity import select_tokens

    if video is None:
        raise InputError("--model looks at a video; give one")
    keep_libraries_quiet()
    local = LocalModel.load(model, representation=representation)
    processor, network = local.processor, local.network
    frames = processor.sample_frames(video, num_frames=num_frames, fps=fps)
    layout = make_layout(processor.representation, len(frames))
    with torch.inference_mode():
        pixels = processor.preprocess(frames).to(network.device)
        return layout, frames, select_tokens(network.model.encode_frames(pixels), layout)


def _write(path: Path, text: str) -> None:
    from llava_video.errors import InputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    typer.echo(f"wrote {path}", err=True)
