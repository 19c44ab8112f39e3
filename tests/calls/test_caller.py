"""What can go wrong with an endpoint, against a real server on loopback."""

import asyncio
import os
import signal
import socket

import pytest

from llava_video.calls.caller import Caller, InterruptedRunError
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.ledger import Ledger, open_ledger
from llava_video.calls.messages import Reply, Request, Subject, Usage
from llava_video.calls.pricing import load_prices
from llava_video.errors import BudgetError, EndpointError, InputError
from tests.annotate.fake_endpoint import Failure, FakeEndpoint, schema_name, write_answer
from tests.annotate.make_videos import write_video
from tests.annotate.running import recipe_for, run_quietly


@pytest.fixture
def one(tmp_path):
    return write_video(tmp_path / "v" / "one.mp4", seconds=4, size=(36, 48)).parent


def totals(out):
    return open_ledger(out).totals()


def test_every_call_is_one_request_and_a_second_run_makes_none(videos, tmp_path):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
        first = run_quietly(videos, recipe, tmp_path / "out")
        num_requests = fake.num_requests
        # 4 s: L1 L3; 14 s: L1 L1 L3; 34 s: L1 L1 L1 L2 L1 L3; and two calls for questions each.
        assert num_requests == 2 + 3 + 6 + 3 * 2 == totals(tmp_path / "out").num_calls
        again = run_quietly(videos, recipe, tmp_path / "out")
        assert fake.num_requests == num_requests
        assert again.records == first.records


def test_a_request_carries_its_key_and_nothing_about_the_machine(one, tmp_path):
    with FakeEndpoint() as fake:
        run_quietly(one, recipe_for(fake), tmp_path / "out")
        [headers, *_] = [request.headers for request in fake.received]
        assert headers["idempotency-key"] == fake.received[0].key
        assert headers["authorization"].startswith("Bearer ")
        about = {"x-stainless-os", "x-stainless-arch", "x-stainless-runtime-version"}
        assert not about & set(headers)


def test_a_changed_recipe_pays_only_for_what_changed(one, tmp_path):
    with FakeEndpoint() as fake:
        run_quietly(one, recipe_for(fake), tmp_path / "out")
        before = fake.num_requests
        run_quietly(one, recipe_for(fake, ask__num_choices=3), tmp_path / "out")
        assert fake.num_requests == before + 1  # the multiple-choice call


def test_429_storms_and_5xx_are_waited_out_and_counted(one, tmp_path):
    def fail(request):
        if request.number % 3:
            return Failure(429 if request.number % 2 else 503, headers={"retry-after-ms": "5"})
        return None

    with FakeEndpoint(fail=fail) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert result.stopped_by is None
        found = totals(tmp_path / "out")
        assert found.num_calls == 4
        assert found.num_attempts == fake.num_requests
        assert found.num_failed_attempts == fake.num_requests - 4
        assert found.num_unknown == 0


def test_a_401_stops_at_once_and_says_what_to_check(one, tmp_path):
    with FakeEndpoint(fail=lambda request: Failure(401, "bad key")) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert isinstance(result.stopped_by, EndpointError)
        assert "401: " in str(result.stopped_by)
        assert "OPENAI_API_KEY" in str(result.stopped_by)
        assert fake.num_requests == 1


def test_once_a_run_stops_nothing_more_is_sent(videos, tmp_path):
    def fail(request):
        if request.number == 1:
            return Failure(503, headers={"retry-after-ms": "2000"})
        return Failure(401, "bad key")

    # Both first calls are on their way before either is answered.
    with FakeEndpoint(fail=fail, delay_seconds=1.0) as fake:
        # The pause after the first answer holds the third video's call back until the run stops.
        recipe = recipe_for(fake, endpoint__concurrency=2, endpoint__max_wait_seconds=3.0)
        result = run_quietly(videos, recipe, tmp_path / "out")
        assert isinstance(result.stopped_by, EndpointError)
        assert fake.num_requests == 2
    assert totals(tmp_path / "out").num_unknown == 0


def test_ctrl_c_lets_calls_in_flight_finish_and_the_next_run_goes_on(videos, tmp_path):
    def fail(request):
        if request.number == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with FakeEndpoint(fail=fail, delay_seconds=0.05) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=2)
        result = run_quietly(videos, recipe, tmp_path / "out")
        assert "run the same command again" in str(result.stopped_by)
        found = totals(tmp_path / "out")
        assert found.num_calls == fake.num_requests < 17
        assert found.num_unknown == 0
        again = run_quietly(videos, recipe, tmp_path / "out")
        assert again.stopped_by is None
        assert fake.num_requests == 17


def test_an_exhausted_quota_is_no_rate_limit(one, tmp_path):
    quota = Failure(429, "no money left", code="insufficient_quota")
    with FakeEndpoint(fail=lambda request: quota) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert "top up" in str(result.stopped_by)
        assert fake.num_requests == 1


def test_an_endpoint_that_is_down_is_named_and_the_run_can_go_on(one, tmp_path):
    with socket.socket() as deaf, FakeEndpoint() as fake:
        deaf.bind(("127.0.0.1", 0))  # without listening
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        recipe = recipe_for(fake, endpoint__base_url=address, endpoint__attempts=3)
        result = run_quietly(one, recipe, tmp_path / "out")
    assert isinstance(result.stopped_by, EndpointError)
    assert "cannot reach http://127.0.0.1" in str(result.stopped_by)
    assert totals(tmp_path / "out").num_unknown == 0  # a refused connection costs nothing
    with FakeEndpoint() as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert result.stopped_by is None
        assert len(result.records[0].qas) == 4


def test_a_400_costs_one_video_and_not_the_run(videos, tmp_path):
    def fail(request):
        long = "0 to 10 seconds of the video" in str(request.body)
        return Failure(400, "At most 3 image(s) may be provided") if long else None

    with FakeEndpoint(fail=fail) as fake:
        result = run_quietly(videos, recipe_for(fake), tmp_path / "out")
    assert result.stopped_by is None
    assert [record.is_rejected for record in result.records] == [False, True, True]
    rejection = result.records[1].rejections[0]
    assert (rejection.stage, rejection.reason) == ("describe", "call_failed")
    assert "At most 3 image(s)" in rejection.detail
    with FakeEndpoint() as fake:  # failed videos are tried again
        result = run_quietly(videos, recipe_for(fake), tmp_path / "out")
    assert not any(record.is_rejected for record in result.records)


def test_dropped_connections_and_half_answers_may_have_been_billed(one, tmp_path):
    broken = {1: Failure(drop=True), 3: Failure(raw='{"choices": ['), 5: Failure(raw='{"a": 1}')}
    with FakeEndpoint(fail=lambda request: broken.get(request.number)) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
    assert result.stopped_by is None
    found = totals(tmp_path / "out")
    assert (found.num_calls, found.num_unknown) == (4, 3)
    assert found.unknown_usd > 0


@pytest.mark.parametrize(
    "raw",
    [
        '{"choices": [{"message": "text"}]}',
        '{"choices": ["text"]}',
        '{"choices": []}',
        '{"choices": [{"message": {"content": 7}}]}',
        '{"choices": [{"message": {"content": [7]}}]}',
        "null",
        "[" * 100_000,
    ],
)
def test_an_answer_of_any_other_shape_costs_one_video_and_not_the_run(raw, one, tmp_path):
    with FakeEndpoint(fail=lambda request: Failure(raw=raw)) as fake:
        result = run_quietly(one, recipe_for(fake, endpoint__attempts=2), tmp_path / "out")
        assert fake.num_requests == 2
    assert result.stopped_by is None
    assert "is not a chat completion" in result.records[0].rejections[0].detail
    assert totals(tmp_path / "out").num_unknown == 2


@pytest.mark.parametrize(
    "usage",
    [
        "lots",
        {"prompt_tokens": -1_000_000, "completion_tokens": 1},
        {"prompt_tokens": 1e300, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": "many"},
    ],
)
def test_nonsense_about_tokens_counts_as_the_forecast(usage, one, tmp_path):
    with FakeEndpoint(usage=lambda body: usage) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "lies")
    with FakeEndpoint(usage=lambda body: {}) as fake:
        silent = run_quietly(one, recipe_for(fake), tmp_path / "silent")
    assert result.records == silent.records
    assert totals(tmp_path / "lies") == totals(tmp_path / "silent")
    assert totals(tmp_path / "lies").usd > 0


def test_more_cached_than_prompt_tokens_make_no_call_cheaper_than_cached(one, tmp_path):
    def usage(body):
        details = {"cached_tokens": 10_000}
        return {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": details}

    with FakeEndpoint(usage=usage) as fake:
        run_quietly(one, recipe_for(fake), tmp_path / "out")
    assert totals(tmp_path / "out").usd == pytest.approx(4 * (10 * 2.5 + 1 * 10) / 1e6)


@pytest.mark.parametrize(
    ("setting", "value"), [("extra_body", {"top_p": 0.5}), ("structured", "json_object")]
)
def test_what_changes_the_answer_is_part_of_the_key(setting, value, one, tmp_path):
    with FakeEndpoint() as fake:
        once = {"ask__max_parse_retries": 0}
        run_quietly(one, recipe_for(fake, **once), tmp_path / "out")
        before = {request.key for request in fake.received}
        changed = recipe_for(fake, **once, **{f"endpoint__{setting}": value})
        run_quietly(one, changed, tmp_path / "out")
        after = [request for request in fake.received if request.key not in before]
    if setting == "extra_body":
        assert len(after) == 4
        assert all(request.body["top_p"] == 0.5 for request in after)
    else:  # descriptions have no schema
        assert [r.body["response_format"] for r in after] == 2 * [{"type": "json_object"}]


def test_a_call_that_waited_for_the_budget_is_not_sent_once_the_run_has_stopped(tmp_path):
    class Waiting:
        """Answers when released."""

        def __init__(self):
            self.asked, self.go = [], asyncio.Event()

        async def complete(self, request, key):
            self.asked.append(request.sample)
            await self.go.wait()
            return Reply("text", "id", "stop", Usage(10, 1))

    def request(number):
        subject = Subject("v.mp4")
        return Request(
            *("level2", "v", "gpt-4o", "p@1", "system", ("text",), (), 100, subject), sample=number
        )

    async def main():
        ledger = Ledger(tmp_path / "ledger.sqlite", max_usd=0.0015)  # one call may cost $0.0011
        annotator = Waiting()
        caller = Caller(annotator, ledger, Endpoint(model="gpt-4o"), load_prices())
        calls = [asyncio.create_task(caller.call(request(number))) for number in range(2)]
        while not annotator.asked:
            await asyncio.sleep(0.01)
        caller.stop(InterruptedRunError("stop"))
        annotator.go.set()
        first, second = await asyncio.gather(*calls, return_exceptions=True)
        found = ledger.totals()
        await ledger.aclose()
        return annotator.asked, first, second, found

    asked, first, second, found = asyncio.run(main())
    assert (asked, first.text, str(second)) == ([0], "text", "stop")
    assert (found.num_calls, found.num_failed_attempts, found.num_unknown) == (1, 1, 0)


def test_half_a_surrogate_pair_in_an_answer_does_not_stop_the_ledger(one, tmp_path):
    with FakeEndpoint(write=lambda body: "A parrot \ud83d sings.") as fake:
        result = run_quietly(one, recipe_for(fake, ask__kinds=[]), tmp_path / "out")
    assert result.records[0].description.text == "A parrot ? sings."


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ('{"pairs": [{"type": "Count", "question": "How many \\ud83d?", "answer": "2"}]}', "?"),
        ("[" * 100_000, None),
    ],
)
def test_no_words_of_a_model_stop_the_run(text, question, one, tmp_path):
    def write(body):
        return text if schema_name(body) == "open_ended_pairs" else write_answer(body)

    with FakeEndpoint(write=write) as fake:
        result = run_quietly(one, recipe_for(fake, ask__kinds=["open_ended"]), tmp_path / "out")
    [record] = result.records
    if question is None:
        assert [rejection.reason for rejection in record.rejections] == ["unparsable"]
    else:
        assert [qa.question for qa in record.qas] == ["How many ??"]


def test_a_slow_answer_is_a_timeout_that_may_have_been_billed(one, tmp_path):
    with FakeEndpoint(delay_seconds=60) as fake:
        recipe = recipe_for(fake, endpoint__timeout_seconds=0.1, endpoint__attempts=2)
        result = run_quietly(one, recipe, tmp_path / "out")
    rejection = result.records[0].rejections[0]
    assert (rejection.reason, rejection.detail) == ("call_failed", "no answer within 0.1 s")
    assert totals(tmp_path / "out").num_unknown == 2


def test_what_does_not_parse_is_asked_again_within_a_budget_then_kept_as_raw_text(one, tmp_path):
    def write(body):
        return (
            "I would rather not."
            if schema_name(body) == "multi_choice_pairs"
            else write_answer(body)
        )

    with FakeEndpoint(write=write) as fake:
        result = run_quietly(one, recipe_for(fake, ask__max_parse_retries=2), tmp_path / "out")
        asked = [s for s in fake.received if schema_name(s.body) == "multi_choice_pairs"]
    assert len(asked) == 3 == len({request.key for request in asked})
    [record] = result.records
    assert {qa.kind for qa in record.qas} == {"open_ended"}
    [rejection] = record.rejections
    assert (rejection.reason, rejection.raw_text) == ("refusal", "I would rather not.")


def test_the_budget_is_a_hard_stop_that_can_be_resumed(videos, tmp_path):
    with FakeEndpoint() as fake:
        small = {"endpoint__max_output_tokens": 64}
        whole = run_quietly(videos, recipe_for(fake, **small), tmp_path / "whole")
        limit = totals(tmp_path / "whole").usd * 0.6
        recipe = recipe_for(fake, max_usd=limit, **small)
        result = run_quietly(videos, recipe, tmp_path / "out")
        assert isinstance(result.stopped_by, BudgetError)
        assert totals(tmp_path / "out").usd <= limit
        before = fake.num_requests
        done = totals(tmp_path / "out").num_calls
        result = run_quietly(videos, recipe_for(fake, **small), tmp_path / "out")
        assert result.stopped_by is None
        assert result.records == whole.records
        assert fake.num_requests - before == totals(tmp_path / "out").num_calls - done


def test_a_budget_needs_a_price(one, tmp_path):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, max_usd=1, endpoint__model="my-own")
        with pytest.raises(InputError, match="needs a price of my-own"):
            run_quietly(one, recipe, tmp_path / "out")


def test_concurrency_is_kept_and_levels_stay_in_order(videos, tmp_path):
    with FakeEndpoint(delay_seconds=0.05) as fake:
        run_quietly(videos, recipe_for(fake, endpoint__concurrency=2), tmp_path / "out")
        assert fake.most_at_a_time == 2


def test_the_same_video_twice_is_paid_for_once(one, tmp_path):
    (one / "copy.mp4").write_bytes((one / "one.mp4").read_bytes())
    with FakeEndpoint(delay_seconds=0.01) as fake:
        recipe = recipe_for(fake, selection__drop_near_duplicates=False)
        result = run_quietly(one, recipe, tmp_path / "out")
        assert fake.num_requests == 4
    assert all(len(record.captions) == 2 for record in result.records)


def test_a_missing_key_is_an_error_with_a_remedy(one, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, endpoint__base_url=None)
    with pytest.raises(InputError, match="set OPENAI_API_KEY"):
        run_quietly(one, recipe, tmp_path / "out")
    with pytest.raises(InputError, match="--base-url nonsense: no address"):
        run_quietly(one, recipe_for(fake, endpoint__base_url="nonsense"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
