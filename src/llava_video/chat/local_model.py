"""`LocalModel`: a checkpoint that answers conversations here, and keeps what it computed."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock

import torch
from transformers import Cache
from transformers.utils import logging as transformers_logging

from llava_video.budget.devices import AUTO, free_memory_bytes, parse_device
from llava_video.budget.dtypes import settle_dtype
from llava_video.budget.inference_memory import dtype_of
from llava_video.budget.planner import fit_memory, spare_bytes
from llava_video.chat.influence import measure_influence
from llava_video.chat.local.answer_text import AnswerText
from llava_video.chat.local.feature_files import FeatureFiles
from llava_video.chat.local.generation import Ended, Watcher, decode, end_ids_of
from llava_video.chat.local.limits import CacheCounts, CacheLimits
from llava_video.chat.local.media import LoadedVideo, MediaLoader
from llava_video.chat.local.prefill import Prefiller, columns_of, decoding_cache
from llava_video.chat.local.prefix_tree import PrefixTree
from llava_video.chat.local.rows import Row, answer_ids_of, make_row
from llava_video.chat.local.stopwatch import Stopwatch
from llava_video.chat.local.vision import VisionFeatures
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Conversation,
    Influence,
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
from llava_video.checkpoints.safetensors_files import stored_bytes
from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation

LARGE_BYTES = 1 << 30
"""Weights from here on take long enough to load for a bar."""


class LocalModel:
    """A checkpoint that answers conversations on this machine; made by `load`.

    Weights are loaded with the first answer, after its videos: a file that cannot be read should
    not wait for gigabytes.

    Attributes:
        name: that of the checkpoint, or its directory.
        config: of the model; its representation is the default.
        device: where it runs.
        int8: whether its linear layers have int8 weights.
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
        *,
        int8: bool = False,
        feature_files: FeatureFiles | None = None,
        shares: LocalModel | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.device = device
        self.int8 = int8
        self.limits = limits
        self.warnings = tuple(warnings)
        self.counts = CacheCounts()
        self._directory = directory
        self._shares = shares
        if shares is None:
            self.processor = load_processor(directory, config)
            self._media = MediaLoader(limits.frames_bytes)
            self._features = VisionFeatures(limits.features_bytes, feature_files)
            self._tree = PrefixTree(limits.keys_values_bytes)
            self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
            self._loader = ThreadPoolExecutor(1, thread_name_prefix="load-ahead")
        else:
            self.processor = shares.processor.with_representation(config.representation)
            self._media, self._features = shares._media, shares._features
            self._tree = shares._tree
            self._decoder, self._loader = shares._decoder, shares._loader
        self._ahead: Future[None] | None = None
        self._loading = Lock()
        self._counting = Lock()

    @classmethod
    def load(
        cls,
        model: str | Path = TINY,
        *,
        device: str = AUTO,
        dtype: str | None = None,
        int8: bool = False,
        representation: VideoRepresentation | str | None = None,
        num_frames: int | None = None,
        num_new_tokens: int = 256,
        limits: CacheLimits | None = None,
        feature_files: FeatureFiles | None = None,
        shares: LocalModel | None = None,
    ) -> LocalModel:
        """Read the configuration of a checkpoint, and see whether its answers fit into memory.

        Args:
            model: see `llava_video.load`.
            device: where to run; see `parse_device`.
            dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``; by default the checkpoint's own,
                or float32 on a CPU that is faster in it, if that fits.
            int8: give linear layers int8 weights, on a CPU.
            representation: see `llava_video.load`. Where the checkpoint's own does not fit into
                what is free on the device, another is taken, and ``warnings`` says which and why;
                one that was asked for is never changed.
            num_frames: frames that will be sampled, if fewer than T.
            num_new_tokens: the longest answer.
            limits: of the caches; by default shares of the memory that an answer leaves free.
            feature_files: where vision features are kept for other processes, and for later ones.
            shares: the same checkpoint on the same device, whose weights and caches it uses.

        Raises:
            LlavaVideoError: the model or the representation cannot be used.
        """
        place = parse_device(device)
        directory = find_checkpoint(model)
        config = load_config(directory, representation)
        if int8 and place.type != "cpu":
            raise InputError(f"int8 weights are for CPUs, not for {place}; leave --quantize out")
        if int8 and dtype not in (None, "float32"):
            raise InputError(f"with int8 weights the rest is float32, not {dtype}")
        if shares is not None:
            config.dtype = shares.config.dtype
        else:
            settle_dtype(config, directory, place, dtype, int8=int8)
        config.representation, changed = fit_memory(
            config,
            directory,
            place,
            num_frames=num_frames,
            num_new_tokens=num_new_tokens,
            int8=int8,
            may_change=representation is None,
            held_bytes=0 if shares is None else shares.weights_bytes,
        )
        if shares is not None:
            limits = shares.limits
        elif limits is None:
            spare = spare_bytes(config, directory, place, num_new_tokens=num_new_tokens, int8=int8)
            on_cpu = spare if place.type == "cpu" else free_memory_bytes(torch.device("cpu"))
            limits = CacheLimits.within(on_cpu, spare)
        warnings = [changed] if changed else []
        return cls(
            str(model),
            directory,
            config,
            place,
            limits,
            warnings,
            int8=int8,
            feature_files=feature_files,
            shares=shares,
        )

    @property
    def precision(self) -> str:
        """What it computes in: a dtype, or ``int8``."""
        return "int8" if self.int8 else str(dtype_of(self.config)).removeprefix("torch.")

    @property
    def kept_bytes(self) -> CacheLimits:
        """What the caches hold now."""
        return CacheLimits(
            self._media.kept.num_bytes, self._features.kept.num_bytes, self._tree.num_bytes
        )

    @property
    def weights_bytes(self) -> int:
        """What the weights take; 0 before they are loaded."""
        if self._shares is not None:
            return self._shares.weights_bytes
        network = self.__dict__.get("_network")
        return 0 if network is None else sum(value.nbytes for value in network.parameters())

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become tokens unless the options say otherwise."""
        return self.config.representation

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """What ``"T,M,s,p"`` or the name of a preset means here; see `CheckpointModel`."""
        return fit_representation(wanted, self.config)

    @property
    def network(self) -> LlavaVideoForConditionalGeneration:
        """The model itself; its weights are loaded when it is first asked for."""
        if self._shares is not None:
            return self._shares.network
        # Whoever asks first: weights made in inference mode could never be trained.
        with self._loading, torch.inference_mode(False):
            return self._network

    @cached_property
    def _network(self) -> LlavaVideoForConditionalGeneration:
        if stored_bytes(self._directory) < LARGE_BYTES:
            transformers_logging.disable_progress_bar()  # it loads in a blink
        network = load_model(self._directory, self.config, int8=self.int8)
        return network.to(self.device)  # type: ignore[no-any-return]

    def count_tokens(self, conversation: Conversation, options: AnswerOptions | None = None) -> int:
        """The tokens of a prompt, L; its media are loaded for that, and kept.

        Raises:
            LlavaVideoError: it cannot be answered.
        """
        processor, sampling = self._for(options or AnswerOptions())
        loaded, _ = self._media.load(conversation, processor, sampling)
        return len(make_row(conversation, loaded, processor))

    def answer(
        self,
        conversations: Sequence[Conversation],
        options: AnswerOptions,
        *,
        leaving: Collection[int] = (),
    ) -> Generator[Piece | Answered]:
        """Answer several conversations at once; see `ChatModel.answer`.

        Args:
            conversations: to be answered.
            options: how.
            leaving: rows whose answers end with their next token; others may be added to it
                meanwhile, from any thread.
        """
        if not conversations:
            return
        watch = Stopwatch()
        processor, sampling = self._for(options)
        loaded, num_decoded = zip(
            *(self._media.load(row, processor, sampling) for row in conversations), strict=True
        )
        watch.stage("frames")
        rows = [
            make_row(row, media, processor)
            for row, media in zip(conversations, loaded, strict=True)
        ]
        watch.stage("prepare")
        network = self.network
        watch.stage("weights")
        with torch.inference_mode():
            prefiller = self._prefiller(processor.representation)
            states = prefiller.match(rows)
            watch.stage("vision")
            prefiller.run(states)
            cache, mask = decoding_cache(network, states, options.max_new_tokens)
        watch.stage("prefill")
        usages = [
            Usage(
                num_prompt_tokens=len(state.row),
                num_frames_decoded=num,
                num_frames_encoded=state.num_encoded,
                num_tokens_prefilled=state.num_prefilled + 1,  # the last starts the decoding
            )
            for state, num in zip(states, num_decoded, strict=True)
        ]
        del states  # decoding grows copies of what they hold
        self._count(rows, usages)
        texts = [AnswerText(processor.tokenizer, options.stop) for _ in rows]
        watcher = Watcher(texts, end_ids_of(network), options.max_new_tokens, leaving)
        last_ids = torch.tensor([[int(row.ids[-1])] for row in rows], device=network.device)
        events = decode(network, self._decoder, watcher, last_ids, mask, cache, options)
        try:
            for event in events:
                if not isinstance(event, Ended):
                    yield Piece(*event)
                    continue
                watch.stage("answer")
                text = texts[event.row]
                first = (watcher.first_token_seconds or watch.start) - watch.start
                yield Answered(
                    row=event.row,
                    text=text.text,
                    finish_reason=event.reason,
                    usage=replace(usages[event.row], num_new_tokens=len(text.token_ids)),
                    seconds={**watch.seconds, "first_token": round(first, 4)},
                    videos=_shown(rows[event.row], processor),
                    warnings=(*self.warnings, *self._features.warnings),
                )
        finally:
            events.close()  # nothing writes to the cache from here on
            self._hold_answers(rows, texts, cache)

    def _prefiller(self, representation: VideoRepresentation) -> Prefiller:
        return Prefiller(
            self.network,
            self._tree,
            lambda medium: self._features.tokens_of(medium, self.network, representation),
        )

    def _count(self, rows: Sequence[Row], usages: Sequence[Usage]) -> None:
        with self._counting:
            for row, usage in zip(rows, usages, strict=True):
                num_frames = sum(len(m.pixels) for m in row.loaded if isinstance(m, LoadedVideo))
                num_pictures = sum(len(medium.pixels) for medium in row.loaded)
                self.counts.add(usage, num_frames=num_frames, num_pictures=num_pictures)

    def _hold_answers(self, rows: Sequence[Row], texts: Sequence[AnswerText], cache: Cache) -> None:
        """Hold keys and values of answers, which the next turns begin with."""
        longest = max(map(len, rows))
        for index, (row, text) in enumerate(zip(rows, texts, strict=True)):
            if text.token_ids:  # those of the last are not computed
                keys = row.followed_by(text.token_ids[:-1]).keys
                columns = slice(longest - 1, longest + len(text.token_ids) - 1)
                with torch.inference_mode():
                    self._tree.insert(keys, len(row) - 1, columns_of(cache, index, columns))

    def influence(
        self,
        conversation: Conversation,
        answer: str,
        options: AnswerOptions | None = None,
        *,
        span_frames: int = 1,
    ) -> Influence:
        """How much each span of frames mattered for an answer; see `measure_influence`.

        Every span takes a pass through the language model over what follows it, and nothing is
        decoded or encoded that was kept.

        Args:
            conversation: that was asked.
            answer: that was given.
            options: with which.
            span_frames: frames of a span.

        Raises:
            InputError: the conversation shows no video.
        """
        processor, sampling = self._for(options or AnswerOptions())
        loaded, _ = self._media.load(conversation, processor, sampling)
        prompt = make_row(conversation, loaded, processor)
        answer_ids = answer_ids_of(conversation, answer, prompt, processor)
        representation = processor.representation
        with torch.inference_mode():
            return measure_influence(
                self.network,
                self._prefiller(representation),
                prompt,
                answer_ids,
                lambda video: self._features.frames_of(video, self.network, representation),
                span_frames,
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
            loaded, num_decoded = self._media.load(conversation, processor, sampling)
            num_encoded = 0
            if encode:
                with torch.inference_mode():
                    num_encoded = sum(self._features.of(m, self.network)[1] for m in loaded)
            with self._counting:
                self.counts.num_frames_decoded += num_decoded
                self.counts.num_frames_encoded += num_encoded

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
        ShownVideo.of(medium.frames, row.num_tokens_of(index), str(processor.representation))
        for index, medium in enumerate(row.loaded)
        if isinstance(medium, LoadedVideo)
    )
