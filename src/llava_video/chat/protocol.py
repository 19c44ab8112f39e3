"""What everything that answers speaks: conversations in, pieces of their answers out.

`ChatModel` is the one way to an answer for the command line, evaluation, serving and training's
predictions. This module needs no torch, so that those who only call a model start fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llava_video.errors import InputError
from llava_video.representation import VideoRepresentation

if TYPE_CHECKING:  # a shell that asks a kept model imports no numpy
    from llava_video.types import Frames

Conversation = Sequence[Mapping[str, Any]]
"""Messages as transformers writes them: ``{"role", "content": text or list of parts}``; the last
is the user's. A video part holds a file, an address or `Frames` under ``"video"``, an image part
a file, an address or a picture under ``"image"``."""

FinishReason = Literal["stop", "length", "cancelled"]
"""The model ended its answer; it reached ``max_new_tokens``; the caller closed the stream."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames to take of each video file; the default is T of the representation, spread.

    Attributes:
        num_frames: frames, spread evenly.
        fps: frames per second instead, up to T.
        start_seconds: take frames that appear from here on; times stay those of the whole video.
        end_seconds: take frames that appear before this; None for the end.

    Raises:
        InputError: the numbers contradict each other.
    """

    num_frames: int | None = None
    fps: float | None = None
    start_seconds: float = 0.0
    end_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.num_frames is not None and self.fps is not None:
            raise InputError("num_frames or fps, not both: one says how many, one how often")
        if self.num_frames is not None and self.num_frames < 1:
            raise InputError(f"num_frames must be at least 1, got {self.num_frames}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InputError(f"fps must be positive, got {self.fps}")
        if not 0 <= self.start_seconds < math.inf:
            raise InputError(f"a video starts at 0 s, not at {self.start_seconds:g} s")
        if self.end_seconds is not None and not self.end_seconds > self.start_seconds:
            raise InputError(
                f"a span from {self.start_seconds:g} to {self.end_seconds:g} s holds no frame; "
                "end it after its start"
            )


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How to answer.

    Attributes:
        max_new_tokens: the longest answer, in tokens.
        temperature: 0 takes the likeliest token each time (greedy).
        top_p: sample among the likeliest tokens that have this probability together.
        top_k: sample among this many likeliest tokens; None for all.
        seed: makes sampling repeatable; each row of a batch samples as it would alone.
        stop: texts before which an answer ends.
        repetition_penalty: over the answer's own tokens; None for the checkpoint's.
        sampling: which frames of each video file.
        representation: how frames become tokens; None for the model's own.

    Raises:
        InputError: a value is outside its range.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    repetition_penalty: float | None = None
    sampling: Sampling = field(default_factory=Sampling)
    representation: VideoRepresentation | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"temperature must be 0 or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k must be at least 1, got {self.top_k}")
        if self.repetition_penalty is not None and not 0 < self.repetition_penalty < math.inf:
            raise InputError(f"repetition_penalty must be positive, got {self.repetition_penalty}")


@dataclass(frozen=True, slots=True)
class ShownVideo:
    """A video as the model saw it.

    Attributes:
        source: its file, address or name.
        duration_seconds: length of the whole video.
        timestamps_seconds: when each of the T frames was shown, from the start of the video; none
            where a server chose them.
        num_tokens: V; 0 where a server does not say.
        representation: how frames became tokens; empty where a server chose it.
        warnings: what is wrong with the file, one sentence each.
    """

    source: str
    duration_seconds: float
    timestamps_seconds: tuple[float, ...]
    num_tokens: int
    representation: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, frames: Frames, num_tokens: int = 0, representation: str = "") -> ShownVideo:
        """A video of which a model saw these frames."""
        return cls(
            source=frames.source,
            duration_seconds=frames.duration_seconds,
            timestamps_seconds=tuple(map(float, frames.timestamps_seconds)),
            num_tokens=num_tokens,
            representation=representation,
            warnings=frames.warnings,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took, and what caches saved.

    Attributes:
        num_prompt_tokens: L, video and image tokens included.
        num_new_tokens: of the answer.
        num_frames_decoded: frames read from files for this answer; reused ones do not count.
        num_frames_encoded: frames and tiles that went through the vision encoder.
        num_tokens_prefilled: prompt tokens that went through the language model.
    """

    num_prompt_tokens: int = 0
    num_new_tokens: int = 0
    num_frames_decoded: int = 0
    num_frames_encoded: int = 0
    num_tokens_prefilled: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that was added to the answer of conversation ``row``."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer of conversation ``row`` is complete.

    Attributes:
        row: index among the conversations of the call.
        text: the whole answer, which is all its pieces together.
        finish_reason: why it ended.
        usage: what it took.
        seconds: wall time of the call up to here, by stage; ``first_token`` since its start.
        videos: as the model saw them, in the order of the conversation.
        warnings: what was changed or judged on the way, one sentence each.
    """

    row: int
    text: str
    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    seconds: Mapping[str, float] = field(default_factory=dict)
    videos: tuple[ShownVideo, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpanInfluence:
    """A span of frames, and what leaving it out does to an answer.

    Attributes:
        video: index among the videos of the conversation.
        first_frame: index among the T frames.
        num_frames: of the span.
        start_seconds: when its first frame is shown.
        end_seconds: when its last frame is shown.
        log_probability: of the answer without the tokens of the span.
        influence: by how much that is less than with all frames, in nats; negative where the
            answer is likelier without the span.
    """

    video: int
    first_frame: int
    num_frames: int
    start_seconds: float
    end_seconds: float
    log_probability: float
    influence: float


@dataclass(frozen=True, slots=True)
class Influence:
    """What an answer is based on.

    Attributes:
        log_probability: of the answer, its end included, with all frames; natural logarithm.
        spans: in the order of the frames.
    """

    log_probability: float
    spans: tuple[SpanInfluence, ...]

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        return {
            "log_probability": self.log_probability,
            "spans": [
                {name: getattr(span, name) for name in span.__dataclass_fields__}
                for span in self.spans
            ],
        }


class ChatModel(Protocol):
    """Answers conversations."""

    @property
    def name(self) -> str:
        """Its name for people: a checkpoint's name or directory, or that of an endpoint's model."""
        ...

    def answer(
        self, conversations: Sequence[Conversation], options: AnswerOptions
    ) -> Iterator[Piece | Answered]:
        """Answer several conversations at once.

        Yields:
            Pieces of each row in order, rows interleaved; one `Answered` ends each row.

        Raises:
            LlavaVideoError: a conversation cannot be answered; nothing was yielded before, unless
                the model fails on the way.
        """
        ...


class CheckpointModel(ChatModel, Protocol):
    """A checkpoint on this machine that answers: in this process, or kept ready in another."""

    @property
    def device(self) -> Any:
        """Where it runs; its text is the name of the device."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in: a dtype, or ``int8``."""
        ...

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become tokens unless the options say otherwise."""
        ...

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """What ``"T,M,s,p"`` or the name of a preset means for this model.

        Raises:
            RepresentationError: it does not fit the model.
        """
        ...

    def influence(
        self,
        conversation: Conversation,
        answer: str,
        options: AnswerOptions | None = None,
        *,
        span_frames: int = 1,
    ) -> Influence:
        """How much each span of frames mattered for an answer.

        Raises:
            LlavaVideoError: the conversation shows no video, or one that cannot be read.
        """
        ...

    def load_ahead(
        self, conversations: Sequence[Conversation], options: AnswerOptions, *, encode: bool = False
    ) -> None:
        """Load the media of the next conversations while others are answered.

        What fails here fails again, and is said, when the conversations are answered.
        """
        ...


def answer_one(
    model: ChatModel, conversation: Conversation, options: AnswerOptions | None = None
) -> Answered:
    """The whole answer of one conversation."""
    for piece in model.answer([conversation], options or AnswerOptions()):
        if isinstance(piece, Answered):
            return piece
    raise InputError(f"{model.name}: the model ended without an answer; ask again")
