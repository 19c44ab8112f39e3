"""Samples as tokens, labels and frames, read when they are needed, in the data loader's workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from llava_video.errors import InputError, VideoError
from llava_video.processing.media import (
    Medium,
    name_of,
    picture_size,
    read_picture,
    sample_folder_times,
    show_tiles,
)
from llava_video.processing.processor import LlavaVideoProcessor, LoadedMedia
from llava_video.processing.prompt import ImageSlot, Prompt, PromptRenderer, Slot, VideoSlot
from llava_video.records.json_lines import append_line
from llava_video.representation.image_layout import make_image_layout
from llava_video.train.data.frames_cache import FramesCache
from llava_video.train.data.packing import LABEL_IGNORED, pack
from llava_video.train.data.samples import Sample
from llava_video.train.data.webdataset import is_file, on_disk
from llava_video.train.recipe import Recipe
from llava_video.types import Frames
from llava_video.video import sample_times

SKIPPED_FILE = "skipped.jsonl"
"""In the run folder: samples whose video failed after training had begun, with the reason."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample as tokens and labels.

    Attributes:
        name: of the sample.
        input_ids: (L,) ids, one placeholder per video token.
        labels: (L,) the same, ``LABEL_IGNORED`` where the loss is masked.
        token_types: (L,) text, image or video; see `processing.prompt.Prompt`.
        seen: its frames and images.
    """

    name: str
    input_ids: list[int]
    labels: list[int]
    token_types: list[int]
    seen: LoadedMedia


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes samples as tokens, labels, frames and tiles.

    Attributes:
        processor: processor of the model.
        recipe: frames per video, and what is supervised.
    """

    processor: LlavaVideoProcessor
    recipe: Recipe
    _renderer: PromptRenderer = field(init=False)
    _outlines: dict[str, VideoSlot] = field(init=False, default_factory=dict)
    _sizes: dict[str, tuple[int, int]] = field(init=False, default_factory=dict)
    _cache: FramesCache | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_renderer", self.processor.renderer)
        if self.recipe.frames_cache is not None:
            most_gb = self.recipe.frames_cache_gb
            limit_bytes = None if most_gb is None else int(most_gb * 1e9)
            object.__setattr__(self, "_cache", FramesCache(self.recipe.frames_cache, limit_bytes))

    def encode(self, sample: Sample) -> Encoded:
        """Load the media of a sample and render its conversation.

        Raises:
            VideoError: a video or an image cannot be read.
            InputError: there is no room in the cache of frames.
        """
        slots, seen = self._load_media(sample)
        prompt = self._render(sample, slots)
        labels = label(prompt, self.recipe.labels, self.processor.tokenizer)
        return Encoded(sample.name, prompt.input_ids, labels, prompt.token_types, seen)

    def encode_question(self, sample: Sample) -> Encoded:
        """Encode a sample up to the last turn of the assistant, without labels."""
        slots, seen = self._load_media(sample)
        prompt = self._renderer.render(sample.messages[:-1], slots, add_generation_prompt=True)
        labels = [LABEL_IGNORED] * len(prompt.input_ids)
        return Encoded(sample.name, prompt.input_ids, labels, prompt.token_types, seen)

    def open(self, medium: Medium) -> Slot:
        """The slot of a video or an image, without decoding it; cached.

        Raises:
            VideoError: a video cannot be opened.
            InputError: an image cannot be opened.
        """
        return self._room(medium, tiled=False)

    def measure(self, sample: Sample) -> int:
        """Tokens of a sample, without decoding its videos and images.

        Exact but for damaged videos, of which other frames may have to be taken.

        Raises:
            VideoError: a video cannot be opened.
            InputError: an image cannot be opened.
        """
        media = sample.media
        slots = [self._room(medium, tiled=show_tiles(media)) for medium in media]
        prompt = self._render(sample, [replace(slot, num_tokens=1) for slot in slots])
        return len(prompt.input_ids) + sum(slot.num_tokens - 1 for slot in slots)

    def _load_media(self, sample: Sample) -> tuple[list[Slot], LoadedMedia]:
        seen = LoadedMedia()
        media = [Medium(medium.kind, self._read(medium)) for medium in sample.media]
        return self.processor.load_media(media, seen), seen

    def _read(self, medium: Medium) -> Frames | NDArray[np.uint8]:
        source = str(medium.source)
        if medium.kind == "video" and self._cache is not None and is_file(source):
            most = self.processor.representation.max_frames
            request = [self.recipe.num_frames, self.recipe.fps, most, self.processor.image_size]
            return self._cache.get(Path(source), request, lambda: self._sample(source))
        if medium.kind == "video":
            return self._sample(source)
        with on_disk(source) as file:
            try:
                return read_picture(file)
            except InputError as error:
                raise VideoError(str(error)) from error

    def _sample(self, source: str) -> Frames:
        with on_disk(source) as file:
            return self.processor.sample_frames(
                file, num_frames=self.recipe.num_frames, fps=self.recipe.fps
            )

    def _room(self, medium: Medium, *, tiled: bool) -> Slot:
        source = str(medium.source)
        if medium.kind == "video":
            if source not in self._outlines:
                self._outlines[source] = self._outline(source)
            return self._outlines[source]
        if source not in self._sizes:
            with on_disk(source) as file:
                self._sizes[source] = picture_size(file)
        layout = make_image_layout(self.processor.images, *self._sizes[source], tiled=tiled)
        return ImageSlot(layout.num_tokens)

    def _outline(self, source: str) -> VideoSlot:
        """The slot of a video, from frames with times but without pictures."""
        fps, most = self.recipe.fps, self.processor.representation.max_frames
        with on_disk(source) as file:
            sample = sample_folder_times if file.is_dir() else sample_times
            times_seconds, duration_seconds = sample(
                file,
                num_frames=None if fps else self.recipe.num_frames or most,
                fps=fps,
                max_frames=most if fps else None,
            )
        return self.processor.slot_of(
            Frames(
                pixels=np.zeros((len(times_seconds), 1, 1, 3), np.uint8),
                timestamps_seconds=times_seconds,
                indices=np.arange(len(times_seconds)),
                duration_seconds=duration_seconds,
                source=name_of(source),
            )
        )

    def _render(self, sample: Sample, slots: Sequence[Slot]) -> Prompt:
        return self._renderer.render(sample.messages, slots, add_generation_prompt=False)


def label(prompt: Prompt, style: str, tokenizer: Any) -> list[int]:
    """The labels of a rendered conversation: (L,) ids, ``LABEL_IGNORED`` where masked.

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


@contextmanager
def unwrapped() -> Iterator[None]:
    """Reduce errors of data loader workers, which carry a traceback, to their one line."""
    try:
        yield
    except (VideoError, InputError) as error:
        *traceback, last = str(error).strip().split("\n")
        message = last.partition(": ")[2] if traceback else last
        raise type(error)(message) from error


class RowDataset(Dataset[list[Encoded]]):
    """The rows of a run, in order; a row is a list of samples.

    Args:
        samples: all samples.
        rows: indices of the samples of each row; see `packing.plan_rows`.
        encoder: encodes them.
        skipped: file for samples whose video or image fails; None makes that an error.
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
                append_line(self._skipped, {"sample": sample.name, "reason": str(error)})
        return found


@dataclass(frozen=True, slots=True)
class RowCollator:
    """Collates rows.

    Attributes:
        processor: preprocesses pixels.
    """

    processor: LlavaVideoProcessor

    def __call__(self, rows: list[list[Encoded]]) -> dict[str, Any]:
        """Inputs of the model, with ``sample_names`` and their ``num_tokens`` for the log.

        Where every sample was skipped, there is one padding token that asks for nothing.
        """
        samples = [encoded for row in rows for encoded in row]
        padding = ([int(self.processor.tokenizer.pad_token_id)], [LABEL_IGNORED])
        batch: dict[str, Any] = pack([(e.input_ids, e.labels) for e in samples] or [padding])
        seen = LoadedMedia(
            [frames for encoded in samples for frames in encoded.seen.frames],
            [tiles for encoded in samples for tiles in encoded.seen.tiles],
            [size for encoded in samples for size in encoded.seen.image_sizes],
        )
        batch |= self.processor.pixels(seen, as_bytes=True)  # batches wait in shared memory
        if seen.tiles:
            types = [kind for encoded in samples for kind in encoded.token_types]
            batch["mm_token_type_ids"] = torch.tensor([types])
        batch["sample_names"] = [encoded.name for encoded in samples]
        batch["num_tokens"] = sum(len(encoded.input_ids) for encoded in samples)
        return batch
