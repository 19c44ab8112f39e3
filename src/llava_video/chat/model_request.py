"""Which model is wanted for which conversations, and that model in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llava_video.errors import InputError

if TYPE_CHECKING:
    from llava_video.chat.local_model import LocalModel
    from llava_video.representation import VideoRepresentation


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model, and what conversations with it will be like.

    Attributes:
        model: see `llava_video.load`.
        device: see `parse_device`.
        dtype: see `LocalModel.load`.
        int8: whether linear layers are to have int8 weights.
        representation: how frames become tokens; None for the model's own.
        max_video_tokens: of all videos of a conversation together; instead of a representation.
        num_frames: that will be sampled, if fewer than T.
        num_videos: of a conversation.
        num_new_tokens: the longest answer.

    Raises:
        InputError: a representation is wanted, and a limit of video tokens.
    """

    model: str
    device: str
    dtype: str | None = None
    int8: bool = False
    representation: str | None = None
    max_video_tokens: int | None = None
    num_frames: int | None = None
    num_videos: int = 1
    num_new_tokens: int = 256

    def __post_init__(self) -> None:
        if self.representation is not None and self.max_video_tokens is not None:
            raise InputError("--representation or --max-video-tokens, not both")


def load_requested(
    request: ModelRequest,
    *,
    directory: Path | None = None,
    shares: LocalModel | None = None,
    asks_again: bool = True,
) -> tuple[LocalModel, str | None]:
    """Load the model that is wanted in this process.

    Args:
        request: which one.
        directory: of its checkpoint, where that is known.
        shares: the same checkpoint on the same device, whose weights and caches it uses.
        asks_again: whether to keep what an answer computed for the next one.

    Returns:
        The model, and which representation a limit of video tokens led to.

    Raises:
        LlavaVideoError: nothing usable is there, or nothing fits.
    """
    from llava_video.budget.devices import parse_device
    from llava_video.budget.dtypes import settle_dtype
    from llava_video.budget.planner import fit_video_tokens
    from llava_video.chat.local.limits import CacheLimits
    from llava_video.chat.local_model import LocalModel
    from llava_video.checkpoints.load import find_checkpoint, load_config
    from llava_video.representation import make_layout

    wanted: VideoRepresentation | str | None = request.representation
    note = None
    if request.max_video_tokens is not None:
        place = parse_device(request.device)
        directory = directory or find_checkpoint(request.model)
        config = load_config(directory)
        if shares is not None:
            config.dtype = shares.config.dtype
        else:
            settle_dtype(config, directory, place, request.dtype, int8=request.int8)
        wanted, reason = fit_video_tokens(
            config,
            directory,
            place,
            request.max_video_tokens // max(1, request.num_videos),
            num_new_tokens=request.num_new_tokens,
            held_bytes=0 if shares is None else shares.weights_bytes,
            int8=request.int8,
        )
        num_tokens = make_layout(wanted, wanted.max_frames).num_tokens
        each = " for each video" if request.num_videos > 1 else ""
        note = f"at most {num_tokens:,} video tokens{each}: V = {wanted} ({reason})"
    model = LocalModel.load(
        directory or request.model,
        device=request.device,
        dtype=request.dtype,
        int8=request.int8,
        representation=wanted,
        num_frames=request.num_frames,
        num_new_tokens=request.num_new_tokens,
        limits=None if asks_again else CacheLimits(0, 0, 0),
        shares=shares,
    )
    model.name = request.model
    return model, note
