"""Limits per minute, pauses and the breaker, with a clock of the test's own."""

import asyncio

import pytest

from llava_video.calls.annotator import AttemptError
from llava_video.calls.rate_limit import Allowance, Breaker, Pacer, parse_duration_seconds
from llava_video.errors import EndpointError


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12ms", 0.012),
        ("6m0s", 360),
        ("1.5s", 1.5),
        ("1h2m", 3720),
        ("20", 20),
        ("", 0),
        ("x", 0),
        ("1.2.3s", 2.3),
        ("..s", 0),
    ],
)
def test_durations_as_servers_write_them(text, seconds):
    assert parse_duration_seconds(text) == pytest.approx(seconds)


def test_an_allowance_spaces_calls_after_a_short_burst():
    clock = Clock()
    allowance = Allowance(60, clock)  # one a second, six seconds' worth at once
    waits = [allowance.wait_seconds(1) for _ in range(10)]
    assert waits == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]
    clock.now += 3600
    assert allowance.wait_seconds(1) == 0


def test_the_pacer_learns_limits_and_ignores_nonsense():
    clock = Clock()
    pacer = Pacer(None, 500, clock)
    pacer.update_limits(
        (("limit-requests", "30"), ("remaining-requests", "12"), ("limit-tokens", "9"))
    )
    assert pacer.requests.per_minute == 30
    assert pacer.tokens.per_minute == 500  # the user's own limit stays
    pacer.update_limits((("limit-requests", "-1"),))
    pacer.update_limits(
        (("limit-requests", "0"), ("remaining-requests", "0"), ("reset-requests", "9s"))
    )
    pacer.update_limits((("limit-requests", "0.001"),))
    assert pacer.requests.per_minute == 30


def test_a_call_larger_than_a_minutes_allowance_waits_a_minute_at_most():
    allowance = Allowance(10, Clock())
    assert [allowance.wait_seconds(5000) for _ in range(3)] == [54, 114, 174]


def test_no_pause_is_longer_than_ten_minutes():
    clock = Clock()

    async def sleep(seconds):
        clock.now += seconds

    pacer = Pacer(None, None, clock, sleep)
    pacer.pause(1e12)
    asyncio.run(pacer.wait(1))
    assert clock.now == 100 + 600


def test_nothing_is_sent_while_the_server_wants_a_pause():
    clock = Clock()
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        clock.now += seconds

    pacer = Pacer(None, None, clock, sleep)
    pacer.update_limits(
        (("limit-requests", "30"), ("remaining-requests", "0"), ("reset-requests", "9s"))
    )
    asyncio.run(pacer.wait(1))
    assert slept == [9.0]


def failure(outcome="500", transient=True):
    return AttemptError(f"answered {outcome}", outcome, is_transient=transient)


def test_an_endpoint_that_never_answered_is_given_up_soon():
    breaker = Breaker(120, 8, Clock())
    for _ in range(9):
        breaker.failed(failure())
    with pytest.raises(EndpointError, match="none ever succeeded"):
        breaker.failed(failure())


def test_an_endpoint_that_did_answer_gets_time_to_come_back():
    clock = Clock()
    breaker = Breaker(120, 8, clock)
    breaker.succeeded()
    for _ in range(50):
        breaker.failed(failure())
    clock.now += 121
    with pytest.raises(EndpointError, match="in a row"):
        breaker.failed(failure())


def test_rate_limits_and_bad_requests_do_not_count():
    breaker = Breaker(0, 8, Clock())
    for _ in range(50):
        breaker.failed(failure("429"))
        breaker.failed(failure("400", transient=False))
