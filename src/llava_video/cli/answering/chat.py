"""``llava-video chat``: a conversation about videos on a terminal, or line by line from a pipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.answering import options as o
from llava_video.errors import InputError


def command(
    context: typer.Context,
    videos: Annotated[
        list[str] | None,
        typer.Argument(help="Videos and images, shown together with the first question."),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(help="Continue the session that /save wrote; its options stay unless given."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="'tiny', a checkpoint's directory, or its name on the model hub; default: tiny, "
            "or that of the session."
        ),
    ] = None,
    num_frames: o.NumFrames = None,
    representation: o.Representation = None,
    fps: o.Fps = None,
    start: o.Start = 0.0,
    end: o.End = None,
    max_video_tokens: o.MaxVideoTokens = None,
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
) -> None:
    """Talk about videos; every answer says what it took, and what was there from before.

    Lines that begin with / are commands: /help lists them. Ctrl-C stops an answer and keeps the
    conversation. Where standard input is not a terminal, its lines are the questions.
    """
    from llava_video.chat.media_files import kind_of
    from llava_video.chat.model_request import ModelRequest
    from llava_video.chat.session import Session
    from llava_video.chat.session_file import load_transcript
    from llava_video.cli.answering.terminal import Terminal

    options = o.make_options(
        num_frames=num_frames, fps=fps, start=start, end=end, max_new_tokens=max_new_tokens,
        temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, stop=stop,
    )  # fmt: skip
    if session is not None and system is not None:
        raise InputError(f"--system: {session} has its own; leave it out")
    files = videos or []
    saved = None if session is None else load_transcript(session)
    if saved is not None:
        options = o.change_options(saved.options, options, context)
        if max_video_tokens is None and saved.options.representation is not None:
            representation = representation or str(saved.options.representation)
    request = ModelRequest(
        model or ("tiny" if saved is None else saved.model),
        device,
        dtype=dtype,
        int8=quantize is not None,
        representation=representation,
        max_video_tokens=max_video_tokens,
        num_frames=options.sampling.num_frames,
        num_videos=sum(kind_of(file) == "video" for file in files),
        num_new_tokens=options.max_new_tokens,
    )
    loaded = o.open_model(request, keep).model
    if representation is not None or max_video_tokens is not None:
        options = replace(options, representation=loaded.representation)  # /save notes it
    if saved is None:
        talk = Session(loaded, files, system=system, options=options)
    else:
        talk = Session.continuing(replace(saved, options=options), loaded)
        talk.show(*files)
    if not Terminal(talk, loaded).run():
        raise typer.Exit(1)
