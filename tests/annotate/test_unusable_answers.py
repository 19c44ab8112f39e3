"""Answers that are none, end to end: asked for again, counted, and never in the dataset."""

import json

import pytest

from llava_video.annotate.run_folder import load_run, redo
from llava_video.annotate.views.console import result_of, status_of
from llava_video.calls.ledger import open_ledger
from llava_video.errors import InputError
from tests.annotate.fake_endpoint import (
    FakeEndpoint,
    images_in,
    schema_name,
    texts_in,
    write_answer,
)
from tests.annotate.make_videos import write_video
from tests.annotate.running import recipe_for, run_quietly

REFUSAL = "I'm sorry, I'm unable to view images."


@pytest.fixture
def one(tmp_path):
    return write_video(tmp_path / "v" / "one.mp4", seconds=4, size=(36, 48)).parent


def said(text, **more):
    return {"message": {"content": text}, **more}


BAD = {
    "refusal": [
        REFUSAL,
        said(None, finish_reason="stop") | {"message": {"content": None, "refusal": "No."}},
    ],
    "content_filter": [said("A man with a", finish_reason="content_filter")],
    "truncated": [
        said("A man walks to", finish_reason="length"),
        said("<think>Hm, well", finish_reason="length"),
    ],
    "only_thoughts": [
        {"message": {"content": None, "reasoning_content": "Hm."}},
        said("<think>Hm.</think>"),
    ],
    "empty": [".", "**"],
    "letters_only": ["B."],
    "too_short": ["A man."],
    "half_sentence": ["A man walks in. He opens the"],
    "repetition": ["A man walks in. " * 8],
    "other_language": ["Ein Mann geht durch die Tür und setzt sich auf einen Stuhl."],
}


@pytest.mark.parametrize(
    ("reason", "answer"), [(reason, a) for reason, answers in BAD.items() for a in answers]
)
def test_a_description_that_is_none_is_asked_for_again_and_said(reason, answer, one, tmp_path):
    given = []

    def write(body):
        if images_in(body) and not given:
            given.append(answer)
            return answer
        return write_answer(body)

    with FakeEndpoint(write=write) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert fake.num_requests == 5
    [record] = result.records
    assert not record.is_rejected and len(record.qas) == 4
    [rejection] = record.rejections
    assert (rejection.subject_id, rejection.stage) == ("one/L1/000/try0", "describe")
    assert rejection.reason == reason
    assert result_of(result, tmp_path / "out")["left_out"] == {f"describe.{reason}": 1}
    card = (tmp_path / "out" / "dataset" / "README.md").read_text()
    assert f"| describe | {reason} | 1 |".replace(" ", "") in card.replace(" ", "").replace(
        "\\_", "_"
    )


def test_a_model_that_only_refuses_costs_the_video_and_another_run_asks_again(one, tmp_path):
    with FakeEndpoint(write=lambda body: REFUSAL) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert fake.num_requests == 3
        [record] = result.records
        assert record.is_rejected and not record.qas
        assert {r.reason for r in record.rejections} == {"refusal"}
        assert record.rejections[-1].raw_text == REFUSAL
        run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert fake.num_requests == 6
        assert len({request.key for request in fake.received}) == 6
    text = "".join(path.read_text() for path in (tmp_path / "out" / "dataset").rglob("*.json"))
    assert "sorry" not in text
    with FakeEndpoint() as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert fake.num_requests == 4  # a description of each level, and questions
        assert len(result.records[0].qas) == 4
        run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert fake.num_requests == 4


def test_good_descriptions_of_a_video_are_not_paid_for_again(videos, tmp_path):
    def write(body):
        return REFUSAL if "lasts 34 seconds" in texts_in(body)[1] else write_answer(body)

    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, captions__max_retries=0)
        run_quietly(videos / "v2.mp4", recipe, tmp_path / "out")
        assert fake.num_requests == 6
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, captions__max_retries=0)
        result = run_quietly(videos / "v2.mp4", recipe, tmp_path / "out")
        assert fake.num_requests == 3  # the last description and two calls for questions
        assert len(result.records[0].qas) == 4


def test_a_raised_limit_asks_only_what_was_cut_off(videos, tmp_path):
    def write(body):
        is_short = body["max_completion_tokens"] < 200
        if "14 seconds" in texts_in(body)[1] and is_short:
            return said("A man walks to", finish_reason="length")
        return write_answer(body)

    with FakeEndpoint(write=write) as fake:
        small = recipe_for(fake, endpoint__max_output_tokens=100, captions__max_retries=1)
        result = run_quietly(videos, small, tmp_path / "out")
        [rejection] = [r for record in result.records for r in record.rejections if r.raw_text][1:]
        assert rejection.reason == "truncated"
        assert (
            "cut off at 100 tokens, 3 of them reasoning; raise endpoint.max_output"
            in rejection.detail
        )
        paid = fake.num_requests
        keys = {request.key for request in fake.received}
        large = recipe_for(fake, endpoint__max_output_tokens=300, captions__max_retries=1)
        result = run_quietly(videos, large, tmp_path / "out")
        # The clip that was cut off, then what had to wait for it: level 3 and questions.
        assert fake.num_requests == paid + 5 - 1
        assert not any(record.is_rejected for record in result.records)
        assert not keys & {request.key for request in fake.received[paid:]}
        paid = fake.num_requests
        for limit in (300, 100, 5000):
            recipe = recipe_for(fake, endpoint__max_output_tokens=limit, captions__max_retries=1)
            again = run_quietly(videos, recipe, tmp_path / "out")
            assert again.records == result.records
        assert fake.num_requests == paid


def test_what_another_try_brought_whole_is_not_asked_again_under_a_raised_limit(one, tmp_path):
    given = []

    def write(body):
        if images_in(body) and not given:
            given.append(body)
            return said("A man walks to", finish_reason="length")
        return write_answer(body)

    with FakeEndpoint(write=write) as fake:
        small = recipe_for(fake, endpoint__max_output_tokens=100)
        first = run_quietly(one, small, tmp_path / "out")
        assert fake.num_requests == 5
        again = run_quietly(
            one, recipe_for(fake, endpoint__max_output_tokens=300), tmp_path / "out"
        )
        assert (fake.num_requests, again.records) == (5, first.records)
        changed = recipe_for(fake, endpoint__max_output_tokens=300, ask__num_choices=3)
        run_quietly(one, changed, tmp_path / "out")
        assert fake.num_requests == 6  # the multiple-choice call


def test_questions_that_were_cut_off_keep_whole_pairs_and_ask_for_the_rest(one, tmp_path):
    def write(body):
        answer = write_answer(body)
        if not schema_name(body).endswith("_pairs") or answer.count('"question"') < 3:
            return answer
        return said(answer[: answer.index('"question"', 200) + 20], finish_reason="length")

    types = ["temporal", "count", "spatial", "speed"]
    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, ask__types=types, ask__kinds=["open_ended"])
        [record] = run_quietly(one, recipe, tmp_path / "out").records
        asked = [
            r.body["response_format"]["json_schema"]["schema"]["properties"]["pairs"]["items"][
                "properties"
            ]["type"]["enum"]
            for r in fake.received
            if schema_name(r.body)
        ]
    assert [len(names) for names in asked] == [4, 2]
    assert sorted(qa.type for qa in record.qas) == sorted(types)
    assert record.rejections == ()


@pytest.mark.parametrize("thoughts", ["", "<think>Hm, well"])
def test_questions_of_which_none_came_whole_are_asked_for_in_halves(thoughts, one, tmp_path):
    def write(body):
        if not schema_name(body):
            return write_answer(body)
        types = body["response_format"]["json_schema"]["schema"]["properties"]["pairs"]["items"][
            "properties"
        ]["type"]["enum"]
        if len(types) > 1:
            return said(thoughts or '{"pairs": [{"type": "Cou', finish_reason="length")
        return write_answer(body)

    with FakeEndpoint(write=write) as fake:
        kinds = {"ask__kinds": ["open_ended"], "endpoint__max_output_tokens": 64}
        [record] = run_quietly(one, recipe_for(fake, **kinds), tmp_path / "out").records
        assert [qa.type for qa in record.qas] == ["temporal", "count"]
        kinds["ask__max_parse_retries"] = 0
        [record] = run_quietly(one, recipe_for(fake, **kinds), tmp_path / "no").records
    [rejection] = record.rejections
    assert rejection.reason == "truncated"
    assert "64" in rejection.detail and "endpoint.max_output_tokens" in rejection.detail


def test_thoughts_are_kept_in_the_ledger_and_said(one, tmp_path):
    def write(body):
        return f"<think>So [1] {{and}} more.</think>\n\n{write_answer(body)}"

    with FakeEndpoint(write=write) as fake:
        thinking = run_quietly(one, recipe_for(fake), tmp_path / "out")
    with FakeEndpoint() as fake:
        plain = run_quietly(one, recipe_for(fake), tmp_path / "plain")
    assert thinking.records == plain.records
    rows = open_ledger(tmp_path / "out").query("SELECT DISTINCT thoughts FROM calls")
    assert rows == [("So [1] {and} more.",)]
    assert status_of(tmp_path / "out")["totals"]["num_with_thoughts"] == 4
    card = (tmp_path / "out" / "dataset" / "README.md").read_text()
    assert "answers whose thoughts were cut off" in card


def test_redo_asks_everything_about_a_video_anew_and_keeps_what_was_paid(videos, tmp_path):
    out = tmp_path / "out"
    with FakeEndpoint() as fake:
        before = run_quietly(videos, recipe_for(fake), out)
        paid, usd = fake.num_requests, open_ledger(out).totals().usd
        assert redo(out, ["v0", str(videos / "v1.mp4")]) == 2
        after = run_quietly(videos, recipe_for(fake), out)
        assert fake.num_requests == paid + 4 + 5
        assert open_ledger(out).totals().usd > usd
        # Another question to the same model: the answers of the fake follow from its words.
        assert [r.description.text for r in after.records] == [
            r.description.text for r in before.records
        ]
        keys = [
            {c.provenance.call_key for c in r.captions} for r in (*before.records, *after.records)
        ]
        assert not keys[0] & keys[3] and keys[2] == keys[5]
        run_quietly(videos, recipe_for(fake), out)
        assert fake.num_requests == paid + 9
    with pytest.raises(InputError, match=r"v9: no video of .* has this id; close are v"):
        redo(out, ["v9"])
    with pytest.raises(InputError, match=r"no ledger\.sqlite in it"):
        redo(tmp_path, ["v0"])


def test_the_same_description_of_many_videos_describes_none(tmp_path):
    for seed in range(4):
        write_video(tmp_path / "v" / f"v{seed}.mp4", seconds=3 + seed, size=(36, 48), seed=seed)

    def write(body):
        return write_answer(body) if schema_name(body) else "A man walks to the door and opens it."

    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, selection__drop_near_duplicates=False)
        result = run_quietly(tmp_path / "v", recipe, tmp_path / "out")
        assert {r.reason for x in result.records for r in x.rejections} == {
            "repeated_across_videos"
        }
        assert all(record.is_rejected for record in result.records)
        recipe = recipe_for(fake, selection__drop_near_duplicates=False, captions__max_copies=None)
        result = run_quietly(tmp_path / "v", recipe, tmp_path / "out")
        assert not any(record.is_rejected for record in result.records)


def test_a_video_without_any_question_is_said(one, tmp_path):
    def write(body):
        return '{"pairs": []}' if schema_name(body) else write_answer(body)

    with FakeEndpoint(write=write) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
        assert fake.num_requests == 4
    [record] = result.records
    assert [r.reason for r in record.rejections] == ["no_question"]
    found = result_of(result, tmp_path / "out")
    assert (found["annotated"], found["without_questions"]) == (1, 1)


def test_choices_with_letters_come_out_plain(one, tmp_path):
    def write(body):
        if schema_name(body) != "multi_choice_pairs":
            return write_answer(body)
        pair = {
            "type": "Count",
            "question": "How many dogs run?",
            "options": ["A) One dog", "B) Two dogs", "C) Three dogs", "D) Four dogs"],
            "answer": "C",
        }
        return json.dumps({"pairs": [pair]})

    with FakeEndpoint(write=write) as fake:
        run_quietly(one, recipe_for(fake, ask__kinds=["multi_choice"]), tmp_path / "out")
    [record] = load_run(tmp_path / "out").records
    [qa] = record.qas
    assert qa.answer == "Three dogs"
    assert sorted(qa.options) == ["Four dogs", "One dog", "Three dogs", "Two dogs"]


def test_dollars_without_a_usage_are_called_estimated(one, tmp_path):
    with FakeEndpoint(usage=lambda body: {}) as fake:
        result = run_quietly(one, recipe_for(fake), tmp_path / "out")
    totals = result_of(result, tmp_path / "out")["totals"]
    assert totals["num_estimated"] == 4
    assert totals["estimated_usd"] == pytest.approx(totals["usd"])
    assert "estimated" in (tmp_path / "out" / "dataset" / "README.md").read_text()
