"""From videos and conversations to the inputs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from llava_video.errors import InputError
from llava_video.model.prompt import Message, PromptRenderer, VideoSlot, describe_sampling
from llava_video.representation import VideoRepresentation, make_layout
from llava_video.types import Frames
from llava_video.video import read_video
from llava_video.video.resize import resize

Video = Frames | str | Path | np.ndarray[Any, Any]
"""Frames, a file to read them from, or an array (T, H, W, 3) uint8 of pictures one second apart."""

PIXEL_MEAN = PIXEL_STD = 0.5
"""SigLIP's normalisation: pixels from 0..255 to -1..1."""


class LlavaVideoProcessor(ProcessorMixin):
    """Makes model inputs: samples and resizes frames, renders the prompt, counts the placeholders.

    Args:
        tokenizer: a tokenizer with the control tokens of Qwen2.
        image_size: side of the square that frames are resized to, in pixels.
        video_token_id: the placeholder for one video token.
        video_representation: values of a `VideoRepresentation`.
        add_time_instruction: whether the prompt says how long the video is and when its frames are.
        max_positions: the longest prompt that the model takes, in tokens.
        chat_template: not used; conversations are rendered by `PromptRenderer`.
    """

    def __init__(
        self,
        tokenizer: Any,
        image_size: int = 384,
        video_token_id: int = 151646,
        video_representation: dict[str, Any] | None = None,
        add_time_instruction: bool = True,
        max_positions: int = 32768,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template)
        self.image_size = image_size
        self.video_token_id = video_token_id
        self.video_representation = dict(video_representation or {})
        self.add_time_instruction = add_time_instruction
        self.max_positions = max_positions

    @property
    def renderer(self) -> PromptRenderer:
        """The renderer of prompts for this tokenizer."""
        return PromptRenderer(self.tokenizer, self.video_token_id)

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become video tokens; the model must have the same."""
        return VideoRepresentation.from_dict(self.video_representation)

    @representation.setter
    def representation(self, representation: VideoRepresentation) -> None:
        self.video_representation = representation.to_dict()

    def __call__(
        self,
        text: str | Sequence[str],
        videos: Video | Sequence[Video | None] | None = None,
        *,
        num_frames: int | None = None,
        fps: float | None = None,
    ) -> BatchFeature:
        """Inputs for one question per video, each a conversation of one turn.

        Args:
            text: a question, or one per row.
            videos: a video, or one per row; None where a question is about no video.
            num_frames: frames to sample from files; by default as many as the representation takes.
            fps: sample files at this rate instead, up to that many frames.

        Returns:
            What `apply_chat_template` returns.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if videos is None:
            videos = [None] * len(texts)
        rows = (
            list(videos)
            if isinstance(videos, Sequence) and not isinstance(videos, str)
            else [videos]
        )
        if len(rows) != len(texts):
            raise InputError(f"{len(texts)} questions need as many videos, got {len(rows)}")
        conversations = [
            [{"role": "user", "content": [*_video_part(video), {"type": "text", "text": question}]}]
            for question, video in zip(texts, rows, strict=True)
        ]
        return self.apply_chat_template(conversations, num_frames=num_frames, fps=fps)

    def apply_chat_template(
        self,
        conversation: Sequence[Message] | Sequence[Sequence[Message]],
        *,
        add_generation_prompt: bool = True,
        num_frames: int | None = None,
        fps: float | None = None,
    ) -> BatchFeature:
        """Inputs for conversations.

        Args:
            conversation: messages, or a list of conversations for a batch; see `model.prompt`. A
                video part holds ``"video"``: `Frames`, a path or an array, or ``"path"``.
            add_generation_prompt: whether the assistant is to speak next.
            num_frames: frames to sample from files.
            fps: sample files at this rate instead, up to ``max_frames`` of the representation.

        Returns:
            ``input_ids`` and ``attention_mask`` (B, L), padded on the left; with videos also
            ``pixel_values_videos`` (N, 3, S, S) float32 and ``num_frames_per_video``.

        Raises:
            InputError: parts that do not fit, or a prompt that is longer than the model's context.
            VideoError: a file cannot be read.
        """
        conversations = _as_batch(conversation)
        renderer = self.renderer
        rows, videos = [], []
        for messages in conversations:
            frames = [
                self.sample_frames(video, num_frames=num_frames, fps=fps)
                for video in _videos_of(messages)
            ]
            slots = [self._slot(video) for video in frames]
            prompt = renderer.render(messages, slots, add_generation_prompt=add_generation_prompt)
            self._check_length(len(prompt.input_ids), slots)
            rows.append(prompt.input_ids)
            videos += frames
        data = self._pad_left(rows)
        if videos:
            data["pixel_values_videos"] = torch.cat([self.preprocess(video) for video in videos])
            data["num_frames_per_video"] = torch.tensor([len(video) for video in videos])
        return BatchFeature(data)

    def sample_frames(
        self, video: Video, *, num_frames: int | None = None, fps: float | None = None
    ) -> Frames:
        """Frames of a video at the size that the model sees, at most ``max_frames``.

        Files are sampled uniformly (``linspace``, as the checkpoints were trained) or at a rate;
        frames and arrays are taken as they are.
        """
        most = self.representation.max_frames
        if isinstance(video, Frames):
            frames = video
        elif isinstance(video, np.ndarray):
            frames = Frames.from_array(video)
        elif fps is not None:
            frames = read_video(video, fps=fps, max_frames=most, size=self.image_size)
        else:
            wanted = most if num_frames is None else num_frames
            frames = read_video(video, num_frames=wanted, size=self.image_size)
        if len(frames) > most:
            raise InputError(
                f"{frames.source}: {len(frames)} frames are more than T = {most} of the video "
                "representation; sample fewer frames or pass a representation with a larger T"
            )
        return frames

    def preprocess(self, frames: Frames) -> Tensor:
        """Pixels as the vision encoder wants them: (T, H, W, 3) uint8 -> (T, 3, S, S) float32.

        Direct resize to a square with PIL's bicubic filter, then from 0..255 to -1..1
        (siglip_encoder.py).
        """
        size = (self.image_size, self.image_size)
        pixels = frames.pixels
        if pixels.shape[1:3] != size:
            pixels = np.stack([resize(picture, size, exact=True) for picture in pixels])
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32)
        return values.mul_(1 / 255).sub_(PIXEL_MEAN).div_(PIXEL_STD)

    def decode_answer(self, output_ids: Tensor, num_prompt_tokens: int) -> str:
        """The text that follows a prompt: (L,) ids -> answer."""
        answer = self.tokenizer.decode(output_ids[num_prompt_tokens:], skip_special_tokens=True)
        return str(answer).strip()

    def _slot(self, frames: Frames) -> VideoSlot:
        num_tokens = make_layout(self.representation, len(frames)).num_tokens
        return VideoSlot(num_tokens, describe_sampling(frames) if self.add_time_instruction else "")

    def _check_length(self, num_tokens: int, slots: Sequence[VideoSlot]) -> None:
        if num_tokens >= self.max_positions:
            num_video = sum(slot.num_tokens for slot in slots)
            raise InputError(
                f"the prompt has {num_tokens} tokens ({num_video} of them video), the model takes "
                f"{self.max_positions}; sample fewer frames or take a representation with fewer "
                "tokens"
            )

    def _pad_left(self, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Pad on the left, so that every row ends where its answer begins."""
        longest = max(len(row) for row in rows)
        padding = self.tokenizer.pad_token_id
        if padding is None:
            raise InputError("the tokenizer has no padding token; set tokenizer.pad_token")
        ids = torch.full((len(rows), longest), padding, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, longest - len(row) :] = torch.tensor(row)
            mask[index, longest - len(row) :] = 1
        return {"input_ids": ids, "attention_mask": mask}


def _video_part(video: Video | None) -> list[dict[str, Any]]:
    return [] if video is None else [{"type": "video", "video": video}]


def _as_batch(
    conversation: Sequence[Message] | Sequence[Sequence[Message]],
) -> Sequence[Sequence[Message]]:
    if not conversation:
        raise InputError("a conversation needs at least one message")
    if isinstance(conversation[0], Sequence):
        return conversation  # type: ignore[return-value]
    return [conversation]  # type: ignore[list-item]


def _videos_of(messages: Sequence[Message]) -> list[Video]:
    """What the video parts of a conversation hold, in order."""
    videos = []
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list | tuple) else []:
            if isinstance(part, dict) and part.get("type") == "video":
                video = part.get("video", part.get("path"))
                if video is None:
                    raise InputError("a part of type 'video' needs frames or a path under 'video'")
                videos.append(video)
    return videos
