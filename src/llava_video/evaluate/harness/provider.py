"""inspect_ai's provider ``llava_video/NAME``: any `ChatModel` answers, video by video."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ContentImage,
    ContentText,
    ContentVideo,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from llava_video.chat.protocol import Answered, AnswerOptions, ChatModel, Conversation, Sampling
from llava_video.errors import InputError, LlavaVideoError
from llava_video.evaluate.asked import Part
from llava_video.evaluate.harness.batcher import Batcher
from llava_video.types import Frames

if TYPE_CHECKING:
    from llava_video.chat.endpoint import VideosAs

_KEY = "llava_video"

NUM_WAITING = 64
"""Questions under way at a time: enough that whole batches wait while one is answered."""

SHOWN = ("all", "first-frame", "shuffled")


@dataclass(frozen=True, slots=True)
class Together:
    """What goes to the provider beside a message of text, in ``extra_body``.

    inspect_ai lets no path through to a provider, only base64.

    Attributes:
        file: the video that the first message is about; empty for none.
        batch: questions of one batch are answered together.
        size: how many these are.
        part: where the part of the video begins and ends that is shown, in seconds.
    """

    file: str
    batch: str
    size: int
    part: Part = (0.0, None)

    def config(self) -> dict[str, Any]:
        """As arguments of ``generate``."""
        return {"extra_body": {_KEY: asdict(self)}}

    @classmethod
    def of(cls, config: GenerateConfig) -> Together | None:
        """From the configuration of a call; None for messages of somebody else's task."""
        found = (config.extra_body or {}).get(_KEY)
        return cls(**{**found, "part": tuple(found["part"])}) if found else None


class LlavaVideoAPI(ModelAPI):
    """A model of this project.

    Args:
        model_name: a checkpoint's name or directory, or the address of an endpoint.
        base_url: not used.
        api_key: not used.
        config: of inspect_ai.
        device: see `LocalModel.load`.
        dtype: see `LocalModel.load`.
        int8: see `LocalModel.load`.
        representation: see `LocalModel.load`, or JSON of `VideoRepresentation.to_dict`.
        num_frames: frames of each video, spread; T by default.
        shown: which frames: ``all``, ``first-frame`` or ``shuffled``.
        videos_as: how an endpoint gets videos: ``data_url``, ``file_url`` or ``frames``.
        chat_model: takes the place of the named model.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        device: str = "auto",
        dtype: str | None = None,
        int8: bool = False,
        representation: str | None = None,
        num_frames: int | None = None,
        shown: str = "all",
        videos_as: VideosAs = "data_url",
        chat_model: ChatModel | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        if shown not in SHOWN:
            raise InputError(f"there is no way {shown!r} to show frames; use {', '.join(SHOWN)}")
        self.device = device
        self.dtype = dtype
        self.int8 = int8
        self.representation = representation
        self.num_frames = num_frames
        self.shown = shown
        self.videos_as = videos_as
        self._model = chat_model
        self._opening = threading.Lock()
        self._shuffled: tuple[tuple[str, Part], Frames] | None = None
        self._batcher = Batcher(self.open)

    def open(self) -> ChatModel:
        """The model, loaded when it is first needed.

        Raises:
            LlavaVideoError: it cannot be used.
        """
        with self._opening:
            if self._model is None:
                from llava_video.evaluate.harness.models import open_chat_model

                self._model = open_chat_model(
                    self.model_name,
                    device=self.device,
                    dtype=self.dtype,
                    int8=self.int8,
                    representation=self.representation,
                    videos_as=self.videos_as,
                )
            return self._model

    def max_connections(self) -> int:
        """Questions under way at a time."""
        return NUM_WAITING

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer a conversation, together with the others of its batch."""
        conversation = [_message(message) for message in input]
        together = Together.of(config)
        part: Part = (0.0, None)
        if together is None:
            batch, size = _video_of(conversation), 1
        else:
            batch, size, part = together.batch, together.size, together.part
            if together.file:
                shown = {"type": "video", "video": self._shown_of(together.file, part)}
                conversation[0]["content"].insert(0, shown)
        answered = await self._batcher.ask(conversation, self._options(config, part), batch, size)
        return _output(self.model_name, answered)

    def _options(self, config: GenerateConfig, part: Part) -> AnswerOptions:
        start, end = part
        if self.shown == "shuffled":
            start, end = 0.0, None  # its frames are taken already
        num_frames = 1 if self.shown == "first-frame" else self.num_frames
        defaults = AnswerOptions()
        return AnswerOptions(
            max_new_tokens=config.max_tokens or defaults.max_new_tokens,
            temperature=config.temperature or 0.0,
            top_p=1.0 if config.top_p is None else config.top_p,
            top_k=config.top_k,
            seed=config.seed,
            stop=tuple(config.stop_seqs or ()),
            sampling=Sampling(num_frames, start_seconds=start, end_seconds=end),
        )

    def _shown_of(self, file: str, part: Part) -> Any:
        return self._shuffled_of(file, part) if self.shown == "shuffled" else file

    def _shuffled_of(self, path: str, part: Part) -> Frames:
        """The frames of a video in another order, at the times of before; the last is kept."""
        start, end = part
        if self._shuffled is None or self._shuffled[0] != (path, part):
            model = self.open()
            if not hasattr(model, "processor"):
                raise InputError(
                    f"{model.name}: its frames are not chosen here; use another baseline"
                )
            frames = model.processor.sample_frames(
                path, num_frames=self.num_frames, start_seconds=start, end_seconds=end
            )
            self._shuffled = ((path, part), shuffle(frames))
        return self._shuffled[1]


def shuffle(frames: Frames) -> Frames:
    """Frames in another order, the same in every run, at the times of before."""
    order = np.random.default_rng(len(frames)).permutation(len(frames))
    return replace(frames, pixels=frames.pixels[order])


def _message(message: ChatMessage) -> dict[str, Any]:
    content = message.content
    if isinstance(content, str):
        return {"role": message.role, "content": [{"type": "text", "text": content}]}
    return {"role": message.role, "content": [_part(part) for part in content]}


def _part(part: object) -> dict[str, Any]:
    if isinstance(part, ContentText):
        return {"type": "text", "text": part.text}
    if isinstance(part, ContentVideo):
        return {"type": "video", "video": part.video}
    if isinstance(part, ContentImage):
        return {"type": "image", "image": part.image}
    raise InputError(f"a message has a part {type(part).__name__}; send text, videos and images")


def _video_of(conversation: Conversation) -> str:
    parts = [part for message in conversation for part in message["content"]]
    return " ".join(str(part["video"]) for part in parts if part["type"] == "video")


def _output(name: str, answered: Answered) -> ModelOutput:
    usage = answered.usage
    return ModelOutput(
        model=name,
        choices=[
            ChatCompletionChoice(
                message=ChatMessageAssistant(content=answered.text, model=name, source="generate"),
                stop_reason="max_tokens" if answered.finish_reason == "length" else "stop",
            )
        ],
        usage=ModelUsage(
            input_tokens=usage.num_prompt_tokens,
            output_tokens=usage.num_new_tokens,
            total_tokens=usage.num_prompt_tokens + usage.num_new_tokens,
        ),
        metadata={
            "videos": [asdict(video) for video in answered.videos],
            "usage": asdict(usage),
            "seconds": dict(answered.seconds),
            "warnings": list(answered.warnings),
        },
    )


NUM_PARTS_OF_WEIGHTS = 256
"""That are hashed of a file: training may leave its beginning and its end as they were."""


@lru_cache
def fingerprint(model: str) -> str:
    """What tells the weights behind a name from others of the same name, if they are here."""
    from llava_video.checkpoints.load import find_checkpoint
    from llava_video.evaluate.asked import digest_of

    try:
        folder = find_checkpoint(model)
    except LlavaVideoError:  # an endpoint, or a model that was given
        return ""
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.json"))
    return " ".join(digest_of(file, num_parts=NUM_PARTS_OF_WEIGHTS) for file in files)
