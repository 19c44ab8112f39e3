"""What is counted, in Prometheus' text format, under names like those of vLLM."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from llava_video.chat.protocol import Answered

PREFIX = "llava_video:"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters of a server; a registry of its own, so that a process may have several.

    Args:
        num_running: answers that are being given now.
        num_waiting: that wait now.
    """

    def __init__(self, num_running: Callable[[], int], num_waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauge("num_requests_running", "Answers that are being given.", num_running)
        self._gauge("num_requests_waiting", "Answers that wait for their turn.", num_waiting)
        self.succeeded = self._counter("request_success", "Answers.", "finished_reason")
        self.responses = self._counter("http_responses", "By route.", "route", "status")
        self.prompt_tokens = self._counter("prompt_tokens", "Of prompts.")
        self.generation_tokens = self._counter("generation_tokens", "Of answers.")
        self.prefix_queries = self._counter("prefix_cache_queries", "Tokens of prompts.")
        self.prefix_hits = self._counter("prefix_cache_hits", "Whose keys and values were kept.")
        self.mm_queries = self._counter("mm_cache_queries", "Frames shown to the model.")
        self.mm_hits = self._counter("mm_cache_hits", "Frames whose features were kept.")
        self.frames_decoded = self._counter("frames_decoded", "Frames read from files.")
        self.first_token = self._histogram("time_to_first_token_seconds", "Since the request.")
        self.queue_time = self._histogram("request_queue_time_seconds", "From media to turn.")
        self.latency = self._histogram("e2e_request_latency_seconds", "Of answered requests.")

    def count(self, answered: Answered, num_frames_decoded: int) -> None:
        """Add an answer.

        Args:
            answered: the answer.
            num_frames_decoded: for its request.
        """
        usage = answered.usage
        num_frames = sum(len(video.timestamps_seconds) for video in answered.videos)
        self.succeeded.labels(finished_reason=answered.finish_reason).inc()
        self.prompt_tokens.inc(usage.num_prompt_tokens)
        self.generation_tokens.inc(usage.num_new_tokens)
        self.prefix_queries.inc(usage.num_prompt_tokens)
        self.prefix_hits.inc(max(0, usage.num_prompt_tokens - usage.num_tokens_prefilled))
        self.mm_queries.inc(num_frames)
        self.mm_hits.inc(max(0, num_frames - usage.num_frames_encoded))
        self.frames_decoded.inc(num_frames_decoded)

    def count_response(self, route: str | None, status: int) -> None:
        """Add a response of any route; None is none of them."""
        self.responses.labels(route=route or "none", status=str(status)).inc()

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, help_text: str, value: Callable[[], int]) -> None:
        Gauge(PREFIX + name, help_text, registry=self.registry).set_function(value)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str) -> Histogram:
        return Histogram(PREFIX + name, help_text, buckets=_SECONDS, registry=self.registry)
