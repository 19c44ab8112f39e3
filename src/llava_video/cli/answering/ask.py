"""``llava-video ask``: questions about videos, and their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.answering import options as o


def command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO... QUESTION",
            help="Video files that FFmpeg reads, images, addresses, - for standard input; folders "
            "and quoted patterns, whose videos are asked about one by one; and the question.",
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(help="File of questions: one a line, or JSON lines with id, question, video."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write answers there as JSON lines; a stopped run resumes."),
    ] = None,
    model: o.Model = "tiny",
    num_frames: o.NumFrames = None,
    representation: o.Representation = None,
    fps: o.Fps = None,
    start: o.Start = 0.0,
    end: o.End = None,
    max_video_tokens: o.MaxVideoTokens = None,
    subtitles: Annotated[
        Path | None, typer.Option(help="SubRip or WebVTT file; shown before the question.")
    ] = None,
    system: o.System = None,
    max_new_tokens: o.MaxNewTokens = 256,
    temperature: o.Temperature = 0.0,
    top_p: o.TopP = 1.0,
    top_k: o.TopK = None,
    seed: o.Seed = None,
    stop: o.Stop = None,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    keep: o.Keep = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the answer as it is made.")
    ] = False,
    why: Annotated[
        bool, typer.Option("--why", help="Show how much each frame mattered for the answer.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: an object, or one a line.")
    ] = False,
) -> None:
    """Answer a question about videos and images, and report which frames the model saw.

    Several videos are shown together. With --questions, --out, a folder or a pattern, each video is
    asked about alone, all questions about it at once.

    Where the model's own representation does not fit into the device's free memory, one that fits
    is taken, and said; one that was asked for is refused instead.
    """
    from llava_video.cli.answering.request import Together, read_request, standard_input_as_file
    from llava_video.errors import InputError

    if as_json and (stream or why):
        raise InputError("--json prints everything at the end; leave out --stream and --why")
    with standard_input_as_file(words or [], has_out=out is not None) as names:
        request = read_request(names, questions, has_out=out is not None)
        from llava_video.cli.answering.one_answer import Ask, answer_together

        ask = Ask(
            o.make_options(
                num_frames=num_frames, fps=fps, start=start, end=end,
                max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, top_k=top_k,
                seed=seed, stop=stop,
            ),
            model, device, dtype, quantize is not None, representation, max_video_tokens, system,
            subtitles, keep,
        )  # fmt: skip
        if isinstance(request, Together):
            answer_together(ask, request, stream=stream, why=why, as_json=as_json)
        elif stream or why:
            raise InputError("--stream and --why are for one question; leave out --out and folders")
        else:
            from llava_video.cli.answering.many_answers import answer_jobs

            answer_jobs(ask, request, out, as_json=as_json)
