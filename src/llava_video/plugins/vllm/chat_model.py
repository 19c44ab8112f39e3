"""`VllmModel`: a checkpoint that vLLM runs, for evaluation, annotation and serving."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from itertools import starmap
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from llava_video.budget.devices import free_memory_bytes
from llava_video.budget.dtypes import choose_dtype
from llava_video.chat.local.answer_text import AnswerText
from llava_video.chat.local.media import MediaLoader
from llava_video.chat.local.rows import make_row
from llava_video.chat.local.stopwatch import Stopwatch
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Conversation,
    FinishReason,
    Influence,
    Piece,
    Usage,
)
from llava_video.checkpoints.load import (
    TINY,
    find_checkpoint,
    fit_representation,
    load_config,
    load_processor,
)
from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.plugins.vllm.engine_loop import EngineLoop
from llava_video.plugins.vllm.register import installed_version, range_problem, register
from llava_video.plugins.vllm.representation import OPTION
from llava_video.plugins.vllm.requests import Request, make_request
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation

_MULTIPROCESSING = "VLLM_ENABLE_V1_MULTIPROCESSING"
"""The variable that says whether the engine is in a process of its own, with workers in others."""

LEAST_CACHE_BYTES = 1 << 29
"""Of keys and values, on a CPU; a quarter of the free memory where that is more."""

KEPT_FRAMES_BYTES = 1 << 30
"""Decoded frames that are kept for the next question about a video."""


class VllmModel:
    """Answers conversations through vLLM; made by `load`.

    Calls of `answer` from several threads join one batch. What vLLM keeps (features, keys and
    values) it keeps itself.

    Attributes:
        name: that of the checkpoint, or its directory.
        config: of the model; its representation is the default.
        processor: of the checkpoint.
        device: what vLLM runs on.
        num_positions: the longest prompt and answer together, in tokens.
        precision: what it computes in.
    """

    def __init__(
        self, name: str, config: LlavaVideoConfig, processor: LlavaVideoProcessor, engine: Any
    ) -> None:
        self.name = name
        self.config = config
        self.processor = processor
        settings = engine.vllm_config
        self.device = torch.device(settings.device_config.device_type)
        self.num_positions = int(settings.model_config.max_model_len)
        self.precision = str(settings.model_config.dtype).removeprefix("torch.")
        defaults = settings.model_config.get_diff_sampling_param()
        self._penalty = float(defaults.get("repetition_penalty", 1.0))
        self._loop = EngineLoop(engine)
        self._media = MediaLoader(KEPT_FRAMES_BYTES)
        self._decoders = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
        self._ahead: Future[Any] | None = None

    @classmethod
    def load(
        cls,
        model: str | Path = TINY,
        *,
        dtype: str | None = None,
        representation: VideoRepresentation | str | None = None,
        **engine_options: Any,
    ) -> VllmModel:
        """Start vLLM with a checkpoint.

        Args:
            model: see `llava_video.load`.
            dtype: as of `LocalModel.load`.
            representation: use this one instead of the checkpoint's.
            **engine_options: of vLLM's ``EngineArgs``, such as ``tensor_parallel_size``.

        Raises:
            InputError: vLLM is not installed, or is one that this plugin was not made for.
            LlavaVideoError: the model or the representation cannot be used.
        """
        check_vllm()
        directory = find_checkpoint(model)
        config = load_config(directory, representation)
        engine = _start(directory, config, dtype, representation, engine_options)
        return cls(str(model), config, load_processor(directory, config), engine)

    @property
    def representation(self) -> VideoRepresentation:
        """How frames become tokens unless the options say otherwise."""
        return self.config.representation

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """What ``"T,M,s,p"`` or the name of a preset means here."""
        return fit_representation(wanted, self.config)

    @property
    def is_alive(self) -> bool:
        """Whether the engine has not failed."""
        return self._loop.is_alive

    def close(self) -> None:
        """End the engine; who waits for an answer gets an error."""
        self._loop.close()
        self._decoders.shutdown(cancel_futures=True)

    def load_ahead(
        self, conversations: Sequence[Conversation], options: AnswerOptions, *, encode: bool = False
    ) -> None:
        """Load the media of the next conversations in the background; vLLM encodes them itself."""
        processor, _ = self._for(options)
        load = partial(self._media.load, processor=processor, sampling=options.sampling)
        self._ahead = self._decoders.submit(lambda: [load(row) for row in conversations])

    def count_tokens(self, conversation: Conversation, options: AnswerOptions) -> int:
        """The tokens of a prompt, L; its media are loaded for that, and kept.

        Raises:
            LlavaVideoError: it cannot be answered.
        """
        processor, _ = self._for(options)
        loaded, _ = self._media.load(conversation, processor, options.sampling)
        return len(make_row(conversation, loaded, processor))

    def influence(
        self,
        conversation: Conversation,
        answer: str,
        options: AnswerOptions | None = None,
        *,
        span_frames: int = 1,
    ) -> Influence:
        """Not supported: vLLM does not score a given answer.

        Raises:
            InputError: always.
        """
        raise InputError(
            "which frames an answer rests on is measured by our own engine only; leave --engine "
            "vllm out"
        )

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
            leaving: rows whose answers end with their next token; see `LocalModel.answer`.
        """
        if not conversations:
            return
        watch = Stopwatch()
        requests, num_decoded = self._requests(conversations, options)
        watch.stage("frames")
        outputs: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        params = self._params(options)

        def submit(row: int, request: Request) -> Future[str]:
            return self._loop.submit(
                request.prompt, params.clone(), lambda output: outputs.put((row, output))
            )

        waiting = list(starmap(submit, enumerate(requests)))
        names: dict[int, str] = {}
        try:
            for row, accepted in enumerate(waiting):
                names[row] = accepted.result()
            watch.stage("prepare")
            texts = [AnswerText(self.processor.tokenizer, options.stop) for _ in requests]
            while names:
                row, output = outputs.get()
                if isinstance(output, Exception):
                    names.clear()
                    raise output
                if row not in names:
                    continue  # it came to a stop text
                if "first_token" not in watch.seconds:
                    watch.stage("first_token")
                text = texts[row]
                done = output.outputs[0]
                piece = "".join(map(text.add, done.token_ids))
                piece += text.end() if output.finished or row in leaving else ""
                if piece:
                    yield Piece(row, piece)
                if output.finished or text.is_stopped or row in leaving:
                    name = names.pop(row)
                    if not output.finished:
                        self._loop.cancel(name)
                    watch.stage("answer")
                    yield Answered(
                        row=row,
                        text=text.text,
                        finish_reason=_reason(text, done.finish_reason),
                        usage=self._usage(output, requests[row], text, num_decoded[row]),
                        seconds=dict(watch.seconds),
                        videos=requests[row].videos,
                    )
        finally:
            for accepted in waiting:
                accepted.add_done_callback(self._cancel)

    def _cancel(self, accepted: Future[str]) -> None:
        if accepted.exception() is None:
            self._loop.cancel(accepted.result())  # nothing happens where the answer is complete

    def _requests(
        self, conversations: Sequence[Conversation], options: AnswerOptions
    ) -> tuple[list[Request], list[int]]:
        """The requests, and how many frames were decoded for each."""
        processor, is_default = self._for(options)
        load = partial(self._media.load, processor=processor, sampling=options.sampling)
        loaded = list(self._decoders.map(load, conversations))
        requests = [
            make_request(row, media, processor, is_default=is_default)
            for row, (media, _) in zip(conversations, loaded, strict=True)
        ]
        return requests, [num for _, num in loaded]

    def _for(self, options: AnswerOptions) -> tuple[LlavaVideoProcessor, bool]:
        """The processor of the wanted representation, and whether that is the engine's own."""
        if options.representation is None:
            return self.processor, True
        wanted = fit_representation(options.representation, self.config)
        return self.processor.with_representation(wanted), wanted == self.representation

    def _usage(self, output: Any, request: Request, text: AnswerText, num_decoded: int) -> Usage:
        """What vLLM tells.

        It does not tell of features that it kept: frames count as encoded where the prefix cache
        holds less than all tokens of the media.
        """
        ids = output.prompt_token_ids
        num_cached = output.num_cached_tokens or 0
        has_media = self.config.video_token_id in ids[num_cached:]
        return Usage(
            num_prompt_tokens=len(ids),
            num_new_tokens=len(text.token_ids),
            num_frames_decoded=num_decoded,
            num_frames_encoded=request.num_pictures if has_media else 0,
            num_tokens_prefilled=len(ids) - num_cached,
        )

    def _params(self, options: AnswerOptions) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        penalty = options.repetition_penalty
        return SamplingParams(
            max_tokens=options.max_new_tokens,
            temperature=options.temperature,
            top_p=options.top_p if options.temperature > 0 else 1.0,
            top_k=options.top_k or 0 if options.temperature > 0 else 0,
            seed=None if options.seed is None else options.seed % 2**63,  # -1 would mean none
            repetition_penalty=self._penalty if penalty is None else penalty,
            output_kind=RequestOutputKind.DELTA,
            detokenize=False,
        )


def check_vllm() -> None:
    """Refuse to go on without a vLLM that this plugin was made for.

    Raises:
        InputError: it is not installed, or outside the range.
    """
    if find_spec("vllm") is None:
        raise InputError(
            "the engine vllm is not installed; pip install '.[vllm]' in a clone of llava-video"
        )
    problem = range_problem(installed_version())
    if problem is not None:
        raise InputError(problem)


def _start(
    directory: Path,
    config: LlavaVideoConfig,
    dtype: str | None,
    representation: VideoRepresentation | str | None,
    options: dict[str, Any],
) -> Any:
    """VLLM's engine; on a CPU in this process and without compilation, which take a minute."""
    from vllm import envs
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.executor import Executor

    register()
    is_cpu = current_platform.is_cpu()
    values: dict[str, Any] = {"disable_log_stats": True}
    if is_cpu:
        os.environ.setdefault(_MULTIPROCESSING, "0")
        free_bytes = free_memory_bytes(torch.device("cpu")) or 0
        cache_bytes = max(free_bytes // 4, LEAST_CACHE_BYTES)
        values |= {"enforce_eager": True, "kv_cache_memory_bytes": cache_bytes}
    if dtype is not None:
        values["dtype"] = dtype
    elif is_cpu:
        chosen = choose_dtype(config, directory, torch.device("cpu"))
        values["dtype"] = str(chosen).removeprefix("torch.")
    if representation is not None:
        values["mm_processor_kwargs"] = {OPTION: config.representation.to_dict()}
    try:
        arguments = EngineArgs(model=str(directory), **{**values, **options})
        settings = arguments.create_engine_config(UsageContext.ENGINE_CONTEXT)
    except (TypeError, ValueError) as error:
        raise InputError(f"vLLM: {' '.join(str(error).split())}") from error
    return LLMEngine(
        vllm_config=settings,
        executor_class=Executor.get_class(settings),
        log_stats=not arguments.disable_log_stats,
        multiprocess_mode=envs.VLLM_ENABLE_V1_MULTIPROCESSING,
    )


def _reason(text: AnswerText, told: str | None) -> FinishReason:
    if text.is_stopped or told == "stop":
        return "stop"
    return "length" if told == "length" else "cancelled"
