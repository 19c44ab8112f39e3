"""``llava-video ask``: a question about a video, and its answer."""

from __future__ import annotations

from typing import Annotated

import typer

from llava_video.cli.startup import keep_libraries_quiet, many_imports

TINY_NOTICE = (
    "tiny knows only toyworld, the small drawn world it was trained on; "
    "use --model for videos of the real one"
)


def command(
    video: Annotated[str, typer.Argument(help="Any video file that FFmpeg reads.")],
    question: Annotated[str, typer.Argument(help="What to ask.")],
    model: Annotated[
        str, typer.Option(help="'tiny', a checkpoint's directory, or its name on the model hub.")
    ] = "tiny",
    num_frames: Annotated[
        int | None,
        typer.Option(help="Frames to sample uniformly; at most T, which is the default."),
    ] = None,
    representation: Annotated[
        str | None, typer.Option(help="T,M,s,p or a name from `presets`; default: the model's own.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Sample at this rate instead, up to T frames.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    device: Annotated[
        str,
        typer.Option(help="auto, cpu, cuda, cuda:1 or mps; auto is the first GPU if there is one."),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Answer a question about a video, and report which frames the model saw.

    Where the model's own representation does not fit into the device's free memory, one that fits
    is taken, and said; one that was asked for is refused instead.
    """
    import json

    with many_imports():
        from llava_video.chat.answer import answer_question
    keep_libraries_quiet()

    answer = answer_question(
        video,
        question,
        model=model,
        num_frames=num_frames,
        fps=fps,
        representation=representation,
        max_new_tokens=max_new_tokens,
        device=device,
    )
    for warning in answer.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), ensure_ascii=False))
        return
    typer.echo(answer.answer)
    typer.echo(f"\nmodel   {answer.model} on {answer.device}")
    times = ", ".join(f"{seconds:.2f}" for seconds in answer.timestamps_seconds)
    typer.echo(f"frames  {answer.num_frames} at {times} s")
    typer.echo(f"tokens  {answer.num_video_tokens} video tokens, V = {answer.representation}")
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in answer.seconds.items())
    typer.echo(f"seconds {stages}")
    if model == "tiny":
        typer.echo(f"\n{TINY_NOTICE}", err=True)
