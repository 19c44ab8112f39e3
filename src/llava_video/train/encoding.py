"""Samples as tokens, labels and frames, read when they are needed, in the data loader's workers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from llava_video.errors import InputError, VideoError
from llava_video.model import LlavaVideoProcessor
from llava_video.model.prompt import Prompt, PromptRenderer
from llava_video.train.recipe import Recipe
from llava_video.train.rows import LABEL_IGNORED, join, stack
from llava_video.train.samples import Sample
from llava_video.types import Frames
from llava_video.video import sample_times

SKIPPED_FILE = "skipped.jsonl"
"""In the run folder: samples whose video failed after training had begun, with the reason."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample as the model learns it.

    Attributes:
        name: of the sample.
        input_ids: (L,) ids, one placeholder per video token.
        labels: (L,) the same, ``LABEL_IGNORED`` where nothing is learnt.
        videos: its frames.
    """

    name: str
    input_ids: list[int]
    labels: list[int]
    videos: tuple[Frames, ...]


@dataclass(frozen=True, slots=True)
class Encoder:
    """Makes tokens, labels and frames of samples.

    Attributes:
        processor: the model's.
        recipe: frames per video, and what is supervised.
    """

    processor: LlavaVideoProcessor
    recipe: Recipe
    _renderer: PromptRenderer = field(init=False)
    _outlines: dict[Path, Frames] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_renderer", self.processor.renderer)

    def encode(self, sample: Sample) -> Encoded:
        """Read the videos of a sample and render its conversation.

        Raises:
            VideoError: a video cannot be read.
            InputError: nothing in the sample would be supervised.
        """
        num_frames, fps = self.recipe.num_frames, self.recipe.fps
        videos = tuple(
            self.processor.sample_frames(path, num_frames=num_frames, fps=fps)
            for path in sample.videos
        )
        prompt = self._render(sample, videos)
        labels = label(prompt, self.recipe.labels, self.processor.tokenizer)
        if all(value == LABEL_IGNORED for value in labels):
            raise InputError(f"{sample.name}: nothing in it is supervised; it needs an answer")
        return Encoded(sample.name, prompt.input_ids, labels, videos)

    def measure(self, sample: Sample) -> int:
        """Tokens of a sample, without decoding its videos.

        Exact but for damaged videos, of which other frames may have to be taken.

        Raises:
            VideoError: a video cannot be opened.
        """
        return len(self._render(sample, [self._outline(path) for path in sample.videos]).input_ids)

    def _outline(self, path: Path) -> Frames:
        """Frames of the right number and times, without pictures; many samples share a video."""
        if path in self._outlines:
            return self._outlines[path]
        fps, most = self.recipe.fps, self.processor.representation.max_frames
        times_seconds, duration_seconds = sample_times(
            path,
            num_frames=None if fps else self.recipe.num_frames or most,
            fps=fps,
            max_frames=most if fps else None,
        )
        self._outlines[path] = Frames(
            pixels=np.zeros((len(times_seconds), 1, 1, 3), np.uint8),
            timestamps_seconds=times_seconds,
            indices=np.arange(len(times_seconds)),
            duration_seconds=duration_seconds,
            source=str(path),
        )
        return self._outlines[path]

    def _render(self, sample: Sample, videos: Sequence[Frames]) -> Prompt:
        slots = [self.processor.slot_of(frames) for frames in videos]
        return self._renderer.render(sample.messages, slots, add_generation_prompt=False)


def label(prompt: Prompt, style: str, tokenizer: Any) -> list[int]:
    """What is learnt of a rendered conversation: (L,) ids, ``LABEL_IGNORED`` elsewhere.

    Args:
        prompt: the conversation.
        style: ``assistant``: the assistant's text and the end of its turn. ``llava_next``: what the
            official code supervises (``preprocess_qwen``): also the header of the assistant's
            turns, and every newline and turn marker of the whole conversation.
        tokenizer: the one that the prompt was rendered with.
    """
    ids, wanted = prompt.input_ids, list(prompt.supervised)
    if style == "llava_next":
        start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
        newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
        everywhere = {start, end, *newline}
        for position, said in enumerate(prompt.supervised):
            if said and not prompt.supervised[position - 1]:
                turn = position - 1 - ids[position - 1 :: -1].index(start)
                wanted[turn:position] = [True] * (position - turn)
        wanted = [keep or i in everywhere for keep, i in zip(wanted, ids, strict=True)]
    return [i if keep else LABEL_IGNORED for i, keep in zip(ids, wanted, strict=True)]


class RowDataset(Dataset[list[Encoded]]):
    """The rows of a run, in order; a row is the samples that stand in it.

    Args:
        samples: all samples.
        rows: which of them stand in each row; see `train.rows.plan_rows`.
        encoder: reads them.
        skipped: file for samples whose video fails; None makes that an error.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        rows: Sequence[tuple[int, ...]],
        encoder: Encoder,
        skipped: Path | None,
    ) -> None:
        self._samples = samples
        self._rows = rows
        self._encoder = encoder
        self._skipped = skipped

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> list[Encoded]:
        found = []
        for number in self._rows[index]:
            sample = self._samples[number]
            try:
                found.append(self._encoder.encode(sample))
            except VideoError as error:
                if self._skipped is None:
                    raise VideoError(
                        f"{sample.name}: {error} (or set on_bad_video=skip_and_report)"
                    ) from error
                line = json.dumps({"sample": sample.name, "reason": str(error)}, ensure_ascii=False)
                with self._skipped.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
        return found


@dataclass(frozen=True, slots=True)
class RowCollator:
    """Makes batches of rows.

    Attributes:
        processor: prepares pixels.
    """

    processor: LlavaVideoProcessor

    def __call__(self, rows: list[list[Encoded]]) -> dict[str, Any]:
        """Inputs of the model, with ``names`` of the samples and their ``num_tokens`` for the log.

        A row of which every sample was skipped is one padding token that asks for nothing.
        """
        padding = int(self.processor.tokenizer.pad_token_id)
        nothing = [([padding], [LABEL_IGNORED])]
        joined = [join([(e.input_ids, e.labels) for e in row] or nothing) for row in rows]
        batch: dict[str, Any] = stack(joined, padding)
        videos = [video for row in rows for encoded in row for video in encoded.videos]
        if videos:
            pixels: list[Tensor] = [self.processor.preprocess(video) for video in videos]
            batch["pixel_values_videos"] = torch.cat(pixels)
            batch["num_frames_per_video"] = torch.tensor([len(video) for video in videos])
        batch["names"] = [encoded.name for row in rows for encoded in row]
        batch["num_tokens"] = sum(len(encoded.input_ids) for row in rows for encoded in row)
        return batch
