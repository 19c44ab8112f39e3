"""Rate limits of an endpoint, pauses, and the circuit breaker."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from llava_video.calls.annotator import AttemptError
from llava_video.errors import EndpointError

LONGEST_PAUSE_SECONDS = 600.0
"""Upper bound of the pause that an endpoint may ask for."""
_BURST_SECONDS = 6.0  # of a minute's allowance, as a burst
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration_seconds(text: str) -> float:
    """Seconds from ``12ms``, ``6m0s``, ``1.5s`` or a plain number; 0 where it is none of these."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts:
        return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class Allowance:
    """A rate per minute, kept by spacing (the generic cell rate algorithm) with a short burst."""

    def __init__(
        self, per_minute: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._next = clock()

    def wait_seconds(self, amount: float) -> float:
        """Take ``amount``; returns how long to wait before using it.

        An amount above a minute's allowance takes a minute's, as it would never fit.
        """
        if self.per_minute is None:
            return 0.0
        now = self._clock()
        self._next = max(self._next, now) + 60.0 * min(1.0, amount / self.per_minute)
        return max(0.0, self._next - now - _BURST_SECONDS)


class Pacer:
    """Delays calls to meet the limits, which it reads from the answers' headers.

    Attributes:
        requests: requests per minute.
        tokens: tokens per minute.
    """

    def __init__(
        self,
        rpm: float | None,
        tpm: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.requests = Allowance(rpm, clock)
        self.tokens = Allowance(tpm, clock)
        self._fixed = {"requests": rpm is not None, "tokens": tpm is not None}
        self._clock = clock
        self._sleep = sleep
        self._paused_until = 0.0

    async def wait(self, num_tokens: int) -> None:
        """Return when a call of this many tokens may be sent."""
        seconds = max(self.requests.wait_seconds(1), self.tokens.wait_seconds(num_tokens))
        if seconds > 0:
            await self._sleep(seconds)
        while (left := self._paused_until - self._clock()) > 0:
            await self._sleep(left)

    def update_limits(self, rate_limits: tuple[tuple[str, str], ...]) -> None:
        """Adopt the limits in an answer's headers; values below 1 and invalid ones are ignored."""
        headers = dict(rate_limits)
        for name, allowance in (("requests", self.requests), ("tokens", self.tokens)):
            limit = _number(headers.get(f"limit-{name}"))
            if limit is not None and limit >= 1:
                if not self._fixed[name]:
                    allowance.per_minute = limit
                if _number(headers.get(f"remaining-{name}")) == 0:
                    self.pause(parse_duration_seconds(headers.get(f"reset-{name}", "")))

    def pause(self, seconds: float) -> None:
        """Delay every call."""
        until = self._clock() + min(seconds, LONGEST_PAUSE_SECONDS)
        self._paused_until = max(self._paused_until, until)


class Breaker:
    """Circuit breaker: stops the run when an endpoint keeps failing.

    An endpoint that never answered is given up after ten failures in a row, or after as many as one
    call makes where no connection comes about; one that did answer has ``give_up_after_seconds``
    to recover. Rate limits do not count: the endpoint is up.
    """

    failures_in_a_row = 10

    def __init__(
        self,
        give_up_after_seconds: float,
        attempts: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience_seconds = give_up_after_seconds
        self._attempts = attempts
        self._clock = clock
        self._last_success: float | None = None
        self._num_failures = 0

    def succeeded(self) -> None:
        """Record an answer."""
        self._num_failures = 0
        self._last_success = self._clock()

    def failed(self, error: AttemptError) -> None:
        """Record a failed attempt.

        Raises:
            EndpointError: too many in a row for too long.
        """
        if error.is_throttling or not error.is_transient:
            return
        self._num_failures += 1
        never = self._last_success is None
        enough = self.failures_in_a_row
        if never and error.outcome == "unreachable":
            enough = min(enough, self._attempts)
        if self._num_failures < enough:
            return
        if never or self._clock() - (self._last_success or 0.0) >= self._patience_seconds:
            raise EndpointError(
                f"{error}; {self._num_failures} attempts in a row failed"
                f"{', none ever succeeded' if never else ''}: fix the endpoint and run again"
            )


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"-?\d+(\.\d+)?", text) else None
