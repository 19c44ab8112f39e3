"""The bounded queue before the engine: who may wait, and who is answered together."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Piece
from llava_video.serve.settings import EngineLimits
from llava_video.web.errors import HttpError

LONGEST_RETRY_SECONDS = 60
"""Clients of OpenAI wait no longer than this when they are told to."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A ticket's turn has come."""


Event = Begun | Piece | Answered | HttpError
EventQueue = asyncio.Queue[tuple[int, Event]]
"""Events with the number of the choice that they belong to."""


@dataclass(eq=False)
class Ticket:
    """A conversation that waits for its answer, or is being answered.

    Attributes:
        conversation: with its media.
        options: how to answer; those with equal ones are answered together.
        num_tokens: of prompt and longest answer.
        choice: its number among the answers to a request.
        events: of all answers to the request; an `Answered` or an error is a ticket's last.
        loop: of the client's task.
        leave: ends the answer, once it is being given.
        has_begun: whether anything was answered.
        has_left: whether nobody waits for it any more.
    """

    conversation: Conversation
    options: AnswerOptions
    num_tokens: int
    choice: int
    events: EventQueue
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    leave: Callable[[], None] | None = None
    has_begun: bool = False
    has_left: bool = False

    def give_up(self) -> None:
        """Say that its client has left."""
        self.has_left = True

    def deliver(self, event: Event) -> None:
        """Hand an event to the client's task, from any thread."""
        if not self.has_left and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.events.put_nowait, (self.choice, event))


@dataclass(eq=False)
class Job:
    """A function that needs the model for itself."""

    function: Callable[[], Any]
    result: Future[Any] = field(default_factory=Future)

    def give_up(self) -> None:
        """Say that its client has left."""
        self.result.cancel()


@dataclass(eq=False)
class Place:
    """A request's place: from before its media are read until its answer is complete.

    Attributes:
        num_rows: answers that it wants.
        num_tokens: predicted of all of them.
        num_bytes: of the pixels of its frames and images.
        waiting: its tickets and jobs, once its media are there.
    """

    num_rows: int
    num_tokens: int = 0
    num_bytes: int = 0
    waiting: list[Ticket | Job] = field(default_factory=list)


class WaitingRoom:
    """Places, and the tickets and jobs of those whose turn may come.

    Args:
        limits: of places, tokens and batches.
        batch_tokens: the most that are answered together, as far as memory goes.
        num_batches_at_once: that are answered at a time.
    """

    def __init__(
        self, limits: EngineLimits, batch_tokens: int, num_batches_at_once: int = 1
    ) -> None:
        self.limits = limits
        self.batch_tokens = batch_tokens
        self.num_batches_at_once = num_batches_at_once
        self.batch_seconds = 1.0
        self._changed = Condition()
        self._places: set[Place] = set()
        self._waiting: deque[Ticket | Job] = deque()
        self._running: list[Ticket] = []
        self._is_closed = False

    @property
    def num_running(self) -> int:
        """Answers that are being given."""
        return sum(not ticket.has_left for ticket in self._running)

    @property
    def num_waiting(self) -> int:
        """Answers that are wanted and not yet begun, those whose media are being read included."""
        return self._num_rows() - self.num_running

    def close(self) -> None:
        """Take in no more; what is inside is completed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether no more is taken in."""
        return self._is_closed

    def enter(self, num_rows: int) -> Place:
        """Take a place.

        Raises:
            HttpError: 429, all are taken; 503, the server is about to end.
        """
        with self._changed:
            if self._is_closed:
                raise HttpError(503, "the server is about to end; ask another, or later")
            if self.num_waiting + num_rows > max(self.limits.num_waiting, num_rows):
                raise self._busy("as many requests wait as the server takes")
            place = Place(num_rows)
            self._places.add(place)
            return place

    def expect(self, place: Place, num_tokens: int, num_bytes: int) -> None:
        """Say what a place will take, which may be said anew.

        Args:
            place: of a request.
            num_tokens: of its prompts and answers.
            num_bytes: of the pixels of its frames and images.

        Raises:
            HttpError: 429, with those of the others that is more than may wait; 400, it is more
                than the memory holds.
        """
        with self._changed:
            if num_tokens > self.batch_tokens * place.num_rows:
                raise HttpError(
                    400,
                    f"prompt and answer are up to {num_tokens // place.num_rows:,} tokens, the "
                    f"server has memory for {self.batch_tokens:,}; show fewer frames or images",
                )
            others = [other for other in self._places if other is not place]
            tokens = sum(other.num_tokens for other in others)
            if tokens and tokens + num_tokens > self.limits.waiting_tokens:
                raise self._busy("as many tokens wait as the server takes")
            held = sum(other.num_bytes for other in others)
            if held and held + num_bytes > self.limits.waiting_bytes:
                raise self._busy("as many frames wait as the server has memory for")
            place.num_tokens, place.num_bytes = num_tokens, num_bytes

    def _busy(self, why: str) -> HttpError:
        rows_at_once = self.limits.batch_rows * self.num_batches_at_once
        batches = 1 + self._num_rows() / rows_at_once
        seconds = min(LONGEST_RETRY_SECONDS, max(1, math.ceil(batches * self.batch_seconds)))
        return HttpError(
            429,
            f"{why}; ask again in {seconds} s",
            code="queue_full",
            headers={"retry-after": str(seconds)},
        )

    def submit(self, place: Place, work: Ticket | Job) -> None:
        """Let a ticket or a job of a place wait for its turn."""
        with self._changed:
            if place not in self._places:  # the client has left, or the server is about to end
                work.give_up()
                return
            place.waiting.append(work)
            self._waiting.append(work)
            self._changed.notify()

    def leave(self, place: Place) -> None:
        """Give a place up: what waits is taken out, and what is being answered ends."""
        with self._changed:
            self._places.discard(place)
            for work in place.waiting:
                work.give_up()
                if work in self._waiting:
                    self._waiting.remove(work)
                elif isinstance(work, Ticket) and work in self._running and work.leave is not None:
                    work.leave()
            self._changed.notify_all()

    def finish(self, batch: Collection[Ticket]) -> None:
        """Say that tickets are answered."""
        with self._changed:
            self._running = [ticket for ticket in self._running if ticket not in batch]

    def next(self) -> list[Ticket] | Job | None:
        """Wait for what comes next: tickets that are answered together, or a job.

        Returns:
            None once the room is closed and empty.
        """
        with self._changed:
            while not self._waiting:
                if self._is_closed and not self._places:
                    self._changed.notify_all()  # others may wait for the same
                    return None
                self._changed.wait()
            first = self._waiting.popleft()
            if isinstance(first, Job):
                return first
            batch, longest = [first], first.num_tokens
            for ticket in list(self._waiting):
                if len(batch) == self.limits.batch_rows:
                    break
                if isinstance(ticket, Job) or ticket.options != first.options:
                    continue
                most = max(longest, ticket.num_tokens)
                if most * (len(batch) + 1) <= self.batch_tokens:
                    batch.append(ticket)
                    longest = most
                    self._waiting.remove(ticket)
            self._running += batch
            return batch

    def begin(self, batch: list[Ticket], leaving: set[int]) -> None:
        """Say where rows are to be marked that leave while they are answered."""
        with self._changed:
            for row, ticket in enumerate(batch):
                ticket.leave = _marker(leaving, row)
                if ticket.has_left:
                    leaving.add(row)

    def abandon(self) -> list[Ticket | Job]:
        """Close, and take out what waits, to tell it so."""
        with self._changed:
            self._is_closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._places.clear()
            for ticket in self._running:
                if ticket.leave is not None:
                    ticket.leave()
            self._changed.notify_all()
            return waiting

    def _num_rows(self) -> int:
        return sum(place.num_rows for place in self._places)


def _marker(leaving: set[int], row: int) -> Callable[[], None]:
    return lambda: leaving.add(row)
