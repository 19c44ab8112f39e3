"""Decoding: from a prompt whose keys and values are there to the texts of its answers."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, StoppingCriteria, StoppingCriteriaList
from transformers.generation import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llava_video.chat.local.answer_text import AnswerText
from llava_video.chat.protocol import AnswerOptions, FinishReason
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.model.outputs import CACHE


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer is complete."""

    row: int
    reason: FinishReason


Event_ = tuple[int, str] | Ended | None
"""Text of a row, the end of a row, or the end of all."""


class SeededSampling(LogitsProcessor):
    """Samples each row with a random generator of its own, as it would be sampled alone.

    It leaves the sampled token alone possible, which greedy decoding then takes.

    Args:
        options: temperature above 0, top_p, top_k and seed.
        num_rows: B.
        device: of the scores.
    """

    def __init__(self, options: AnswerOptions, num_rows: int, device: torch.device) -> None:
        self._warpers = LogitsProcessorList([TemperatureLogitsWarper(options.temperature)])
        if options.top_k is not None:
            self._warpers.append(TopKLogitsWarper(options.top_k))
        if options.top_p < 1:
            self._warpers.append(TopPLogitsWarper(options.top_p))
        self._generators = [torch.Generator(device) for _ in range(num_rows)]
        for generator in self._generators:
            if options.seed is None:
                generator.seed()
            else:
                generator.manual_seed(options.seed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(B, vocabulary) scores: 0 at the sampled token of each row, else minus infinity."""
        probabilities = self._warpers(input_ids, scores).softmax(-1)
        sampled = [
            torch.multinomial(row, 1, generator=generator)
            for row, generator in zip(probabilities, self._generators, strict=True)
        ]
        return torch.full_like(scores, -torch.inf).scatter_(1, torch.stack(sampled), 0.0)


class Watcher(StoppingCriteria):
    """Turns new tokens to text, and says which rows are complete.

    Args:
        texts: of each row; tokens are added to them.
        end_ids: tokens that end an answer.
        max_new_tokens: the longest answer.
        leaving: rows whose answers end with their next token, as ``"cancelled"``.
    """

    def __init__(
        self,
        texts: Sequence[AnswerText],
        end_ids: frozenset[int],
        max_new_tokens: int,
        leaving: Collection[int] = (),
    ) -> None:
        self.events: SimpleQueue[Event_] = SimpleQueue()
        self.cancelled = Event()
        self.first_token_seconds: float | None = None
        self._texts = texts
        self._end_ids = end_ids
        self._max_new_tokens = max_new_tokens
        self._leaving = leaving
        self._is_complete = [False] * len(texts)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Whether each row is complete: (B,) bool."""
        if self.first_token_seconds is None:
            self.first_token_seconds = time.perf_counter()
        for row, token_id in enumerate(input_ids[:, -1].tolist()):
            if not self._is_complete[row]:
                self._add(row, token_id)
        if self.cancelled.is_set():
            self._is_complete = [True] * len(self._texts)
        return torch.tensor(self._is_complete, device=input_ids.device)

    def _add(self, row: int, token_id: int) -> None:
        text = self._texts[row]
        piece = text.add(token_id)
        reason: FinishReason | None = None
        if text.is_stopped or token_id in self._end_ids:
            reason = "stop"
        elif len(text.token_ids) >= self._max_new_tokens:
            reason = "length"
        elif row in self._leaving:
            reason = "cancelled"
        if reason is not None:
            piece += text.end()
        if piece:
            self.events.put((row, piece))
        if reason is not None:
            self._is_complete[row] = True
            self.events.put(Ended(row, reason))


def decode(
    network: LlavaVideoForConditionalGeneration,
    executor: Executor,
    watcher: Watcher,
    last_ids: Tensor,
    attention_mask: Tensor,
    cache: Cache,
    options: AnswerOptions,
) -> Generator[tuple[int, str] | Ended, None, None]:
    """Continue prompts with ``generate`` in a thread of its own; closing the iterator stops it.

    Args:
        network: the model.
        executor: where to run.
        watcher: of the rows.
        last_ids: (B, 1) the last token of each prompt.
        attention_mask: (B, L), 0 at padding.
        cache: keys and values of the L - 1 tokens before; it grows.
        options: how to decode.
    """
    processors = []
    if options.temperature > 0:
        processors.append(SeededSampling(options, len(last_ids), last_ids.device))
    choices: dict[str, Any] = {}
    if options.repetition_penalty is not None:
        choices["repetition_penalty"] = options.repetition_penalty

    def run() -> None:
        try:
            with torch.inference_mode():
                network.generate(
                    input_ids=last_ids,
                    attention_mask=attention_mask,
                    max_new_tokens=options.max_new_tokens,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    logits_processor=processors,
                    stopping_criteria=StoppingCriteriaList([watcher]),
                    **{CACHE: cache},
                    **choices,
                )
        finally:
            watcher.events.put(None)

    running = executor.submit(run)
    try:
        while (event := watcher.events.get()) is not None:
            yield event
        running.result()
    finally:
        watcher.cancelled.set()
        if not running.cancel():
            running.exception()  # waits: nothing may use the cache while it is still written to


def end_ids_of(network: LlavaVideoForConditionalGeneration) -> frozenset[int]:
    """The tokens that end an answer."""
    ids = network.generation_config.eos_token_id
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
