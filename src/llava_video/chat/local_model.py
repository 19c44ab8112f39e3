"""`LocalModel`: a checkpoint that answers conversations here, and keeps what it computed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock

import torch
from transformers.utils import logging as transformers_logging

from llava_video.budget.devices import AUTO, free_memory_bytes, parse_device
from llava_video.budget.planner import fit_memory
from llava_video.chat.local.answer_text import AnswerText
from llava_video.chat.local.generation import Ended, Watcher, decode, end_ids_of
from llava_video.chat.local.limits import CacheCounts, CacheLimits
from llava_video.chat.local.media import DecodedCount, LoadedVideo, MediaLoader
from llava_video.chat.local.prefill import embed, pad_left, prefill
from llava_video.chat.local.rows import Row, make_row
from llava_video.chat.local.vision import VisionFeatures
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Conversation,
    Piece,
    Sampling,
    ShownVideo,
    Usage,
)
from llava_video.checkpoints.load import (
    TINY,
    find_checkpoint,
    fit_representation,
    load_config,
    load_model,
    load_processor,
)
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation

LARGE_BYTES = 1 << 30
"""Weights from here on take long enough to load for a bar."""


class Stopwatch:
    """Wall time between calls, by stage."""

    def __init__(self) -> None:
        self.start = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """End a stage that began where the last one ended."""
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._last, 4)
        self._last = now


class LocalModel:
    """A checkpoint that answers conversations on this machine; made by `load`.

    Weights are loaded with the first answer, after its videos: a file that cannot be read should
    not wait for gigabytes.

    Attributes:
        name: that of the checkpoint, or its directory.
        config: of the model; its representation is the default.
        device: where it runs.
        limits: of the caches.
        counts: what was computed and what was saved since the model was loaded.
        warnings: what was changed to fit the memory.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        config: LlavaVideoConfig,
        device: torch.device,
        limits: CacheLimits,
        warnings: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.config = config
        self.device = device
        self.limits = limits
        self.warnings = tuple(warnings)
        self.counts = CacheCounts()
        self.processor = load_processor(directory, config)
        self._directory = directory
        self._media = MediaLoader(limits.frames_bytes)
        self._features = VisionFeatures(limits.features_bytes)
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load-ahead")
        self._ahead: Future[None] | None = None
        self._loading = Lock()

    @classmethod
    def load(
        cls,
        model: str | Path = TINY,
        *,
        device: str = AUTO,
        representation: VideoRepresentation | str | None = None,
        num_frames: int | None = None,
        num_new_tokens: int = 256,
        limits: CacheLimits | None = None,
    ) -> LocalModel:
        """Read the configuration of a checkpoint, and see whether its answers fit into memory.

        Args:
            model: see `llava_video.load`.
            device: where to run; see `parse_device`.
            representation: see `llava_video.load`. Where the checkpoint's own does not fit into
                what is free on the device, another is taken, and ``warnings`` says which and why;
                one that was asked for is never changed.
            num_frames: frames that will be sampled, if fewer than T.
            num_new_tokens: the longest answer.
            limits: of the caches; by default shares of the memory that an answer leaves free.

        Raises:
            LlavaVideoError: the model or the representation cannot be used.
        """
        place = parse_device(device)
        directory = find_checkpoint(model)
        config = load_config(directory, representation)
        config.representation, changed = fit_memory(
            config,
            directory,
            place,
            num_frames=num_frames,
            num_new_tokens=num_new_tokens,
            may_change=representation is None,
        )
        if limits is None:
            limits = CacheLimits.within(
                free_memory_bytes(torch.device("cpu")), free_memory_bytes(place)
            )
        return cls(str(model), directory, config, place, limits, [changed] if changed else [])

    @property
    def network(self) -> LlavaVideoForConditionalGeneration:
        """The model itself; its weights are loaded when it is first asked for."""
        with self._loading:
            return self._network

    @cached_property
    def _network(self) -> LlavaVideoForConditionalGeneration:
        weights = self._directory.glob("*.safetensors")
        if sum(file.stat().st_size for file in weights) < LARGE_BYTES:
            transformers_logging.disable_progress_bar()  # it loads in a blink
        return load_model(self._directory, self.config).to(self.device)  # type: ignore[no-any-return]

    def answer(
        self, conversations: Sequence[Conversation], options: AnswerOptions
    ) -> Iterator[Piece | Answered]:
        """Answer several conversations at once; see `ChatModel.answer`."""
        watch = Stopwatch()
        count = DecodedCount()
        processor, sampling = self._for(options)
        loaded = [self._media.load(row, processor, sampling, count) for row in conversations]
        watch.stage("frames")
        rows = [
            make_row(row, media, processor)
            for row, media in zip(conversations, loaded, strict=True)
        ]
        watch.stage("prepare")
        network = self.network
        watch.stage("weights")
        with torch.inference_mode():
            tokens = [
                [
                    self._features.tokens_of(medium, network, processor.representation)
                    for medium in row.loaded
                ]
                for row in rows
            ]
            watch.stage("vision")
            prompts = [
                prefill(network, embed(network, row, row_tokens)[:-1])[0]
                for row, row_tokens in zip(rows, tokens, strict=True)
            ]
            cache, mask = pad_left(prompts)
            last_ids = torch.tensor([[int(row.ids[-1])] for row in rows], device=network.device)
            mask = torch.cat([mask, torch.ones_like(last_ids)], dim=1)
        watch.stage("prefill")
        texts = [AnswerText(processor.tokenizer, options.stop) for _ in rows]
        watcher = Watcher(texts, end_ids_of(network), options.max_new_tokens)
        for event in decode(network, self._decoder, watcher, last_ids, mask, cache, options):
            if not isinstance(event, Ended):
                yield Piece(*event)
                continue
            watch.stage("answer")
            first = watcher.first_token_seconds or watch.start
            row = rows[event.row]
            yield Answered(
                row=event.row,
                text=texts[event.row].text,
                finish_reason=event.reason,
                usage=Usage(
                    num_prompt_tokens=len(row), num_new_tokens=len(texts[event.row].token_ids)
                ),
                seconds={**watch.seconds, "first_token": round(first - watch.start, 4)},
                videos=_shown(row, processor),
                warnings=self.warnings,
            )

    def load_ahead(
        self, conversations: Sequence[Conversation], options: AnswerOptions, *, encode: bool = False
    ) -> None:
        """Load the media of the next conversations in the background, while this one is answered.

        One call runs at a time: the next waits for it. What fails here fails again, and is said,
        when the conversations are answered.

        Args:
            conversations: that will be answered next.
            options: with which.
            encode: whether to run the vision encoder too.
        """
        if self._ahead is not None:
            self._ahead.exception()
        self._ahead = self._loader.submit(self._load_ahead, list(conversations), options, encode)

    def _load_ahead(
        self, conversations: Sequence[Conversation], options: AnswerOptions, encode: bool
    ) -> None:
        processor, sampling = self._for(options)
        for conversation in conversations:
            loaded = self._media.load(conversation, processor, sampling, DecodedCount())
            if encode:
                with torch.inference_mode():
                    for medium in loaded:
                        self._features.of(medium, self.network)

    def _for(self, options: AnswerOptions) -> tuple[LlavaVideoProcessor, Sampling]:
        """The processor of the wanted representation, and which frames fit into it."""
        processor, sampling = self.processor, options.sampling
        if options.representation is not None:
            wanted = fit_representation(options.representation, self.config)
            processor = processor.with_representation(wanted)
        elif self.warnings and sampling.num_frames is not None:
            most = self.config.representation.max_frames  # fewer than the checkpoint's own
            sampling = replace(sampling, num_frames=min(sampling.num_frames, most))
        return processor, sampling


def _shown(row: Row, processor: LlavaVideoProcessor) -> tuple[ShownVideo, ...]:
    return tuple(
        ShownVideo(
            source=medium.frames.source,
            duration_seconds=medium.frames.duration_seconds,
            timestamps_seconds=tuple(map(float, medium.frames.timestamps_seconds)),
            num_tokens=row.num_tokens_of(index),
            representation=str(processor.representation),
            warnings=medium.frames.warnings,
        )
        for index, medium in enumerate(row.loaded)
        if isinstance(medium, LoadedVideo)
    )
