"""One thread that runs vLLM's engine; requests come from any thread and join its batch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from llava_video.errors import InputError, LlavaVideoError

Receive = Callable[[Any], None]
"""Takes a ``RequestOutput``, or the exception that ended the engine."""

_Task = Callable[[], None] | None

BETWEEN_STEPS_SECONDS = 0.05
"""For new requests, while others are answered."""


class EngineLoop:
    """Adds requests to an engine and hands out what it computes.

    Args:
        engine: vLLM's ``LLMEngine``, which nothing else uses from here on.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._receivers: dict[str, Receive] = {}
        self._numbers = itertools.count()
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, name="vllm-engine", daemon=True)
        self._thread.start()

    def submit(self, prompt: dict[str, Any], params: Any, receive: Receive) -> Future[str]:
        """Add a request.

        Args:
            prompt: as vLLM takes it.
            params: its ``SamplingParams``.
            receive: called in the engine's thread.

        Returns:
            The name of the request once it is accepted; an `InputError` if it is refused.
        """
        accepted: Future[str] = Future()
        name = f"llava-video-{next(self._numbers)}"

        def add() -> None:
            if self._failure is not None:
                accepted.set_exception(self._failure)
                return
            try:
                (made,) = self._engine.renderer.render_cmpl([prompt])
                self._engine.add_request(name, made, params)
            except Exception as error:  # noqa: BLE001  one request must not end the others
                accepted.set_exception(_refusal(error))
            else:
                self._receivers[name] = receive
                accepted.set_result(name)

        if self._thread.is_alive():
            self._tasks.put(add)
        else:
            add()
        return accepted

    def cancel(self, name: str) -> None:
        """Take a request out of the batch; nothing is received of it from then on."""

        def abort() -> None:
            if self._receivers.pop(name, None) is not None:
                self._engine.abort_request([name])

        self._tasks.put(abort)

    def call(self, function: Callable[[Any], Any]) -> Any:
        """Call a function with the engine in its thread, between two steps; returns the result."""
        result: Future[Any] = Future()

        def run() -> None:
            try:
                result.set_result(function(self._engine))
            except Exception as error:  # noqa: BLE001  the caller gets it
                result.set_exception(error)

        self._tasks.put(run)
        return result.result()

    @property
    def is_alive(self) -> bool:
        """Whether the engine has not failed, and was not ended."""
        return self._failure is None

    def close(self) -> None:
        """End the thread; requests that run, and later ones, get an error."""
        self._tasks.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._take():
            if not self._receivers:
                continue
            try:
                outputs = self._engine.step()
            except Exception as error:  # noqa: BLE001  callers that wait get it
                self._fail(error)
                continue
            for output in outputs:
                receive = self._receivers.get(output.request_id)
                if receive is None:
                    continue
                if output.finished:
                    del self._receivers[output.request_id]
                receive(output)
        self._fail(RuntimeError("it was ended"))
        while not self._tasks.empty():
            task = self._tasks.get()
            if task is not None:
                task()

    def _take(self) -> bool:
        """Do what was asked for; False once the loop is to end.

        Requests are prepared here, so that many new ones would hold up the answers of others: the
        engine steps in between.
        """
        until = time.monotonic() + BETWEEN_STEPS_SECONDS
        while not self._receivers or time.monotonic() < until:
            try:
                task = self._tasks.get(block=not self._receivers)
            except Empty:
                break
            if task is None:
                return False
            try:
                task()
            except Exception as error:  # noqa: BLE001  callers that wait get it
                self._fail(error)
        return True

    def _fail(self, error: Exception) -> None:
        """The engine has died: every request that waits gets the error, and later ones."""
        self._failure = LlavaVideoError(f"vLLM's engine failed: {' '.join(str(error).split())}")
        self._failure.__cause__ = error
        receivers, self._receivers = list(self._receivers.values()), {}
        for receive in receivers:
            receive(self._failure)


def _refusal(error: Exception) -> Exception:
    """What a caller is told of a request that vLLM does not take."""
    from vllm.exceptions import VLLMValidationError

    if isinstance(error, ValueError | VLLMValidationError):
        return InputError(" ".join(str(error).split()))
    return error
