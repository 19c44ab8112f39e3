"""Options that ``ask`` and ``chat`` have in common, and what they are together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llava_video.chat.local_model import LocalModel
    from llava_video.chat.protocol import AnswerOptions

TINY_NOTICE = (
    "tiny knows only toyworld, the small drawn world it was trained on; "
    "use --model for videos of the real one"
)

Model = Annotated[
    str, typer.Option(help="'tiny', a checkpoint's directory, or its name on the model hub.")
]
NumFrames = Annotated[
    int | None, typer.Option(help="Frames to sample uniformly; at most T, which is the default.")
]
Representation = Annotated[
    str | None, typer.Option(help="T,M,s,p or a name from `presets`; default: the model's own.")
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


def load_model(
    model: str,
    device: str,
    representation: str | None,
    max_video_tokens: int | None = None,
    *,
    num_frames: int | None = None,
    num_videos: int = 1,
    num_new_tokens: int = 256,
    asks_again: bool = True,
) -> LocalModel:
    """Load a model, and say which representation a limit of video tokens leads to.

    Args:
        model: see `load`.
        device: see `parse_device`.
        representation: what is asked for, or None.
        max_video_tokens: of all videos of a conversation together.
        num_frames: that will be sampled, if fewer than T.
        num_videos: of a conversation.
        num_new_tokens: the longest answer.
        asks_again: whether to keep what an answer computed for the next one.

    Raises:
        LlavaVideoError: nothing usable is there, or nothing fits.
    """
    from llava_video.budget.devices import parse_device
    from llava_video.budget.planner import fit_video_tokens
    from llava_video.chat.local.limits import CacheLimits
    from llava_video.chat.local_model import LocalModel
    from llava_video.checkpoints.load import find_checkpoint, load_config
    from llava_video.errors import InputError
    from llava_video.representation import VideoRepresentation, make_layout

    wanted: VideoRepresentation | str | None = representation
    if max_video_tokens is not None:
        if representation is not None:
            raise InputError("--representation or --max-video-tokens, not both")
        limit = max_video_tokens // max(1, num_videos)
        place = parse_device(device)
        directory = find_checkpoint(model)
        wanted, reason = fit_video_tokens(
            load_config(directory), directory, place, limit, num_new_tokens=num_new_tokens
        )
        num_tokens = make_layout(wanted, wanted.max_frames).num_tokens
        each = " for each video" if num_videos > 1 else ""
        typer.echo(f"at most {num_tokens:,} video tokens{each}: V = {wanted} ({reason})", err=True)
    return LocalModel.load(
        model,
        device=device,
        representation=wanted,
        num_frames=num_frames,
        num_new_tokens=num_new_tokens,
        limits=None if asks_again else CacheLimits(0, 0, 0),
    )
