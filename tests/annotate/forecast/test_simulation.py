"""The simulated run against what can be worked out by hand."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_video.annotate.forecast.simulation import Fleet, PlannedCall, Rates, simulate

CALL = PlannedCall("level1")
AT_ONCE = Rates(picture_seconds=0, call_seconds=0, latency_seconds={"": (2.0,)})


def videos(number, *calls):
    return [tuple((call,) for call in calls)] * number


def test_calls_go_through_the_concurrency_in_rounds():
    found = simulate(videos(100, CALL), Fleet(concurrency=8), AT_ONCE)
    assert found.seconds == pytest.approx(math.ceil(100 / 8) * 2.0)
    assert (found.num_videos, found.num_calls, found.bottleneck) == (100, 100, "calls")


def test_calls_of_a_group_are_made_together_and_groups_one_after_another():
    assert simulate([((CALL,), (CALL, CALL, CALL))], Fleet(), AT_ONCE).seconds == pytest.approx(4.0)
    assert simulate([((CALL,),) * 4], Fleet(), AT_ONCE).seconds == pytest.approx(8.0)


def test_decoding_takes_the_cores():
    rates = Rates(picture_seconds=0.05, call_seconds=0, latency_seconds={"": (0.0,)})
    call = PlannedCall("level1", num_pictures=10)
    found = simulate(videos(60, call), Fleet(num_cores=3), rates)
    assert found.seconds == pytest.approx(60 * 10 * 0.05 / 3)
    assert found.busy["cores"] == pytest.approx(1.0)
    assert found.bottleneck == "cores"


def test_one_process_makes_one_call_at_a_time():
    rates = Rates(picture_seconds=0, call_seconds=0.1, latency_seconds={"": (0.0,)})
    assert simulate(videos(100, CALL), Fleet(num_cores=4), rates).seconds == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("limit", "expected"), [({"rpm": 300}, "requests per minute"), ({"tpm": 30_000}, "tokens")]
)
def test_limits_per_minute_hold_from_the_burst_on(limit, expected):
    call = PlannedCall("level1", num_tokens=100)
    found = simulate(videos(1500, call), Fleet(concurrency=64, **limit), AT_ONCE)
    assert found.seconds == pytest.approx(1500 / 300 * 60 - 6 + 2, rel=0.01)  # a burst of 6 s
    assert found.bottleneck.startswith(expected)


def test_the_way_up_is_shared():
    call = PlannedCall("level1", upload_bytes=10_000)
    fleet = Fleet(concurrency=64, upload_bytes_per_second=100_000)
    found = simulate(videos(200, call), fleet, AT_ONCE)
    assert found.seconds == pytest.approx(200 * 0.1 + 2.0)
    assert found.bottleneck == "upload"


def test_failed_attempts_are_made_again():
    rates = Rates(0, 0, {"": (1.0,)}, failed_share=0.25, failed_seconds=1.0)
    found = simulate(videos(4000, CALL), Fleet(concurrency=64), rates)
    assert found.num_attempts / found.num_calls == pytest.approx(1 / 0.75, rel=0.03)
    assert found.num_failed == 0
    once = simulate(videos(4000, CALL), Fleet(concurrency=64, attempts=1), rates)
    assert once.num_failed / 4000 == pytest.approx(0.25, rel=0.1)
    assert once.num_failed + once.num_videos == 4000


def test_the_budget_ends_a_run_before_it_is_exceeded():
    call = PlannedCall("level1", usd=0.3)
    found = simulate(videos(100, call), Fleet(concurrency=8, max_usd=5.0), AT_ONCE)
    assert found.is_stopped
    assert found.num_calls == 16
    assert found.usd == pytest.approx(4.8)
    assert not simulate(videos(10, call), Fleet(max_usd=5.0), AT_ONCE).is_stopped


def test_a_closed_network_of_queues_has_its_exact_throughput():
    """Mean value analysis: customers that think (a call) and queue for one server (a core)."""
    think, service, customers = 1.0, 0.1, 8
    response = waiting = 0.0
    for number in range(1, customers + 1):
        response = service * (1 + waiting)
        waiting = number / (think + response) * response
    draw = random.Random(0)
    # A customer is a video that has calls without end.
    run = [
        tuple(
            (PlannedCall("level1", num_pictures=draw.expovariate(1 / service)),)
            for _ in range(2500)
        )
        for _ in range(customers)
    ]
    latencies = [draw.expovariate(1 / think) for _ in range(20_000)]
    found = simulate(run, Fleet(), Rates(1.0, 0.0, {"": latencies}))
    assert 2500 * customers / found.seconds == pytest.approx(
        customers / (think + response), rel=0.04
    )


def test_stages_have_latencies_of_their_own():
    rates = Rates(0, 0, {"": (9.0,), "level1": (1.0,), "level3": (3.0,)})
    calls = (CALL, PlannedCall("level3"), PlannedCall("other"))
    assert simulate(videos(1, *calls), Fleet(), rates).seconds == pytest.approx(13.0)


def test_of_a_large_run_a_part_stands_for_all():
    draw = random.Random(1)
    rates = Rates(0.002, 0.001, {"": [draw.lognormvariate(0, 0.5) for _ in range(999)]}, 0.02, 0.1)
    run = videos(4000, PlannedCall("level1", 10), PlannedCall("level3"), PlannedCall("open_ended"))
    whole = simulate(run, Fleet(num_cores=2, concurrency=32), rates)
    part = simulate(run[:800], Fleet(num_cores=2, concurrency=32), rates, num_videos=4000)
    assert part.seconds == pytest.approx(whole.seconds, rel=0.03)
    assert part.num_calls == whole.num_calls
    assert part.busy["calls"] == pytest.approx(whole.busy["calls"], rel=0.05)


@settings(max_examples=30)
@given(
    st.integers(1, 30), st.integers(1, 8), st.integers(1, 4),
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
)  # fmt: skip
def test_no_run_is_faster_than_its_bounds(number, concurrency, num_cores, pictures):
    rates = Rates(0.01, 0.002, {"": (0.3, 0.7)})
    run = videos(number, *(PlannedCall("level1", count) for count in pictures))
    found = simulate(run, Fleet(num_cores, concurrency), rates)
    num_calls = number * len(pictures)
    work = (number * sum(pictures) * 0.01 + num_calls * 0.002) / num_cores
    alone = sum(pictures) * 0.01 + len(pictures) * (0.002 + 0.7)
    assert found.num_calls == num_calls
    assert found.seconds >= max(work, num_calls * 0.3 / concurrency, num_calls * 0.002) - 1e-6
    assert found.seconds <= number * alone + 1e-6


def test_no_video_takes_no_time():
    assert simulate([], Fleet(), Rates()).seconds == 0.0
