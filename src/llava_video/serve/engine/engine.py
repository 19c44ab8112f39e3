"""The engine: a thread that owns the model and answers what waits, batch after batch.

A model that takes several batches at once gets a thread for each.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from threading import Thread
from typing import Any

from llava_video.chat.protocol import Answered
from llava_video.errors import InputError, LlavaVideoError, RepresentationError
from llava_video.serve.engine.queue import Begun, Job, Place, Ticket, WaitingRoom
from llava_video.serve.engine.served import ServedModel
from llava_video.web.errors import HttpError
from llava_video.web.middleware import Log, no_log

_FORGETTING = 0.8
"""Weight of the past in the mean time of a batch."""


class Engine:
    """Answers tickets with a model that only its thread uses.

    Args:
        model: that answers.
        room: where tickets and jobs wait.
        log: gets what fails.
        on_failure: is called when the weights cannot be loaded; ``failure`` says why.
    """

    def __init__(
        self,
        model: ServedModel,
        room: WaitingRoom,
        log: Log = no_log,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self.room = room
        self.is_loaded = False
        self.failure: LlavaVideoError | None = None
        self._log = log
        self._on_failure = on_failure
        self._thread = Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Load the weights, and begin to answer; returns at once."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread lives, and the model."""
        return self._thread.is_alive() and self.model.is_alive

    @property
    def is_ready(self) -> bool:
        """Whether it is loaded, and takes requests."""
        return self.is_loaded and self.is_alive and not self.room.is_closed

    def run(self, place: Place, function: Callable[[], Any]) -> Future[Any]:
        """Call a function in the engine's thread, in its turn, unless its place is given up."""
        job = Job(function)
        self.room.submit(place, job)
        return job.result

    def close(self, seconds: float) -> None:
        """Complete what is inside within some time, then give it up."""
        self.room.close()
        self._thread.join(seconds)
        for waiting in self.room.abandon():
            gone = HttpError(503, "the server has ended")
            if isinstance(waiting, Ticket):
                waiting.deliver(gone)
            elif waiting.result.set_running_or_notify_cancel():
                waiting.result.set_exception(gone)
        self._thread.join(seconds)
        self.model.close()

    def _work(self) -> None:
        try:
            self.model.load()
        except Exception as error:  # noqa: BLE001  (a server without a model has to end)
            said = " ".join(str(error).split()) or type(error).__name__
            ours = LlavaVideoError(f"{self.model.name}: {said}")
            self.failure = error if isinstance(error, LlavaVideoError) else ours
            self.room.close()
            self._on_failure()
            return
        self.is_loaded = True
        helpers = [
            Thread(target=self._answer_all, name=f"engine-{number}", daemon=True)
            for number in range(1, self.model.num_batches_at_once)
        ]
        for helper in helpers:
            helper.start()
        self._answer_all()
        for helper in helpers:
            helper.join()

    def _answer_all(self) -> None:
        """Answer what waits, batch after batch, until the room is closed and empty."""
        while (work := self.room.next()) is not None:
            if isinstance(work, Job):
                self._do(work)
            else:
                start = time.monotonic()
                self._answer(work)
                self.room.finish(work)
                took = time.monotonic() - start
                self.room.batch_seconds = (
                    _FORGETTING * self.room.batch_seconds + (1 - _FORGETTING) * took
                )
            del work  # its media: the next may be long in coming

    def _do(self, job: Job) -> None:
        if not job.result.set_running_or_notify_cancel():
            return
        try:
            job.result.set_result(job.function())
        except Exception as error:  # noqa: BLE001  (it is the job's; the thread lives on)
            job.result.set_exception(self._failure(error))

    def _answer(self, batch: list[Ticket]) -> None:
        """Answer tickets together; where that fails before the first piece, one by one."""
        failure = self._try(batch)
        if failure is None:
            return
        if len(batch) > 1 and not any(ticket.has_begun for ticket in batch):
            for ticket in batch:
                self._answer([ticket])
            return
        for ticket in batch:
            ticket.deliver(failure)

    def _try(self, batch: list[Ticket]) -> HttpError | None:
        leaving: set[int] = set()
        self.room.begin(batch, leaving)
        for ticket in batch:
            ticket.deliver(Begun())
        try:
            stream = self.model.answer(
                [ticket.conversation for ticket in batch], batch[0].options, leaving=leaving
            )
            for event in stream:
                ticket = batch[event.row]
                ticket.has_begun = True
                ticket.deliver(replace(event, row=0) if isinstance(event, Answered) else event)
        except Exception as error:  # noqa: BLE001  (it is the batch's; the thread lives on)
            return self._failure(error)
        return None

    def _failure(self, error: Exception) -> HttpError:
        """What a client is told: the reason where it is the request's, else nothing."""
        if isinstance(error, HttpError):
            return error
        if isinstance(error, InputError | RepresentationError):
            return HttpError(400, str(error))
        places = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)[-8:]
        ]
        self._log({"event": "engine", "error": type(error).__name__, "places": places})
        if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
            return HttpError(503, "the server ran out of memory; show fewer frames, or ask later")
        return HttpError(500, "the model failed; the server's log says more")
