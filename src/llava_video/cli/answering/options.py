"""Options that ``ask`` and ``chat`` have in common, and what they are together."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from llava_video.cli.startup import keep_libraries_quiet, many_imports

if TYPE_CHECKING:
    from llava_video.chat.model_request import ModelRequest
    from llava_video.chat.protocol import AnswerOptions, CheckpointModel

TINY_NOTICE = (
    "tiny knows only toyworld, the small drawn world it was trained on; for videos of the real one "
    "ask again with --model 0.5b, which downloads 1.8 GB (see `llava-video models`)"
)


class Quantization(StrEnum):
    """Ways to give weights fewer bits."""

    INT8 = "int8"


LONG_START_SECONDS = 3.0
"""A start from here on is worth avoiding."""

Model = Annotated[
    str,
    typer.Option(
        help="'tiny', a checkpoint's directory, a short name of `models`, or a name on the hub."
    ),
]
NumFrames = Annotated[
    int | None, typer.Option(help="Frames to sample uniformly; at most T, which is the default.")
]
Representation = Annotated[
    str | None,
    typer.Option(
        help="T,M,s,p or a name from `presets`, evs=0.5 to keep half of the video tokens, or both; "
        "default: the model's own."
    ),
]
Fps = Annotated[float | None, typer.Option(help="Sample at this rate instead, up to T frames.")]
Start = Annotated[
    float, typer.Option(help="Sample from this second on; times stay those of the whole video.")
]
End = Annotated[float | None, typer.Option(help="Sample up to this second.")]
MaxVideoTokens = Annotated[
    int | None,
    typer.Option(help="Take the representation that `plan` picks within so many video tokens."),
]
System = Annotated[str | None, typer.Option(help="System prompt; default: the model's own.")]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[
    float, typer.Option(help="Above 0, sample at this temperature; 0 takes the likeliest token.")
]
TopP = Annotated[
    float, typer.Option(help="Sample among the likeliest tokens of this probability together.")
]
TopK = Annotated[int | None, typer.Option(help="Sample among so many likeliest tokens.")]
Seed = Annotated[int | None, typer.Option(help="Makes sampling repeatable.")]
Stop = Annotated[
    list[str] | None, typer.Option(help="End the answer before this text; may be repeated.")
]
Device = Annotated[
    str,
    typer.Option(help="auto, cpu, cuda, cuda:1 or mps; auto is the first GPU if there is one."),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16 or float16; default: the checkpoint's own, on a CPU the faster of "
        "it and float32."
    ),
]
Quantize = Annotated[
    Quantization | None,
    typer.Option(help="int8: weights of 8 bits, on a CPU; faster, in a quarter of the memory."),
]
Keep = Annotated[
    str | None,
    typer.Option(
        envvar="LLAVA_VIDEO_KEEP",
        metavar="TIME",
        help="Leave the model ready in a process of its own for so long after its last answer "
        "(30s, 5m, 1h); the next call starts at once. 0 also leaves a kept one alone.",
    ),
]


def make_options(
    *,
    num_frames: int | None,
    fps: float | None,
    start: float,
    end: float | None,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int | None,
    seed: int | None,
    stop: list[str] | None,
) -> AnswerOptions:
    """What the options say together.

    Raises:
        InputError: they contradict each other, or one is out of range.
    """
    from llava_video.chat.protocol import AnswerOptions, Sampling

    return AnswerOptions(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        stop=tuple(stop or ()),
        sampling=Sampling(num_frames, fps, start, end),
    )


_OF_SAMPLING = {
    "num_frames": "num_frames",
    "fps": "fps",
    "start": "start_seconds",
    "end": "end_seconds",
}
_OF_ANSWERS = ("max_new_tokens", "temperature", "top_p", "top_k", "seed", "stop")


def change_options(
    saved: AnswerOptions, options: AnswerOptions, context: typer.Context
) -> AnswerOptions:
    """Saved options, and in place of them those that the command line gives.

    Raises:
        InputError: they contradict each other.
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name != "DEFAULT"}
    sampling = {
        field: getattr(options.sampling, field)
        for name, field in _OF_SAMPLING.items()
        if name in given
    }
    if "fps" in given and "num_frames" not in given:  # one takes the place of the other
        sampling["num_frames"] = None
    if "num_frames" in given and "fps" not in given:
        sampling["fps"] = None
    return replace(
        saved,
        sampling=replace(saved.sampling, **sampling),
        **{name: getattr(options, name) for name in _OF_ANSWERS if name in given},
    )


def parse_keep(text: str) -> float:
    """Seconds that a model is to stay ready: ``30s``, ``5m``, ``1h``; 0 for not at all.

    Raises:
        InputError: it is no such time.
    """
    import re

    from llava_video.errors import InputError

    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(s|m|h|)", text.strip().lower())
    if match is None:
        raise InputError(
            f"--keep {text!r} is not a time; write it like 30s, 5m or 1h, and 0 for not at all "
            "(LLAVA_VIDEO_KEEP holds one too)"
        )
    return float(match[1]) * {"s": 1, "": 1, "m": 60, "h": 3600}[match[2]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that is ready to be asked.

    Attributes:
        model: the model, here or in a process that keeps it.
        import_seconds: what importing torch and transformers took.
        seconds: what it took to open it after that.
    """

    model: CheckpointModel
    import_seconds: float
    seconds: float

    def hint(self, weights_seconds: float, keep: str | None) -> str | None:
        """That models can be kept ready, where starting took long and nothing was said of it.

        Args:
            weights_seconds: what loading the weights took.
            keep: what was said.
        """
        from llava_video.chat.keep.client import KeptModel

        seconds = self.import_seconds + self.seconds + weights_seconds
        if keep is not None or isinstance(self.model, KeptModel) or seconds < LONG_START_SECONDS:
            return None
        return f"starting took {seconds:.1f} s; with --keep 5m the next call finds the model ready"


def open_model(request: ModelRequest, keep: str | None, *, asks_again: bool = True) -> Opened:
    """Open a model where it is kept ready, or in this process.

    A kept process that is there is used without being asked for; it is started only where ``keep``
    says how long it is to stay.

    Args:
        request: which model.
        keep: value of ``--keep``, or None.
        asks_again: whether a model here is to keep what an answer computed for the next one.

    Raises:
        LlavaVideoError: nothing usable is there, or nothing fits.
    """
    from llava_video.chat.keep.client import KeptModel
    from llava_video.chat.keep.place import CannotKeepError
    from llava_video.chat.model_request import load_requested

    def say(note: str) -> None:
        typer.echo(note, err=True)

    start = time.perf_counter()
    keep_seconds = None if keep is None else parse_keep(keep)
    if keep_seconds != 0:
        try:
            kept = KeptModel.open(request, keep_seconds, say)
        except CannotKeepError as error:
            say(f"{error}; answering without it")
        else:
            if kept is not None:
                return Opened(kept, 0.0, round(time.perf_counter() - start, 4))
        start = time.perf_counter()
    with many_imports():
        importlib.import_module("llava_video.chat.local_model")
    keep_libraries_quiet()
    imported = time.perf_counter()
    model, note = load_requested(request, asks_again=asks_again)
    if note is not None:
        say(note)
    return Opened(model, imported - start, round(time.perf_counter() - imported, 4))
