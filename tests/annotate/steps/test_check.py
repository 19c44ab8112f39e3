"""Checks by a second model: contradicted answers and questions that need no video go."""

import json

from tests.annotate.fake_endpoint import (
    FakeEndpoint,
    images_in,
    schema_name,
    texts_in,
    write_answer,
)
from tests.annotate.running import recipe_for, run_quietly


def test_contradicted_answers_are_dropped_and_sentences_noted(videos, tmp_path):
    def write(body):
        if schema_name(body) != "verdicts":
            return write_answer(body)
        claims = [line for line in texts_in(body)[1].splitlines() if line[:1].isdigit()]
        verdicts = ["supported"] * len(claims)
        verdicts[1] = verdicts[2] = "contradicted"  # a sentence, then the first question
        return json.dumps({"verdicts": verdicts})

    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, faithfulness__enabled=True, faithfulness__model="gpt-4.1")
        [record] = run_quietly(videos / "v0.mp4", recipe, tmp_path / "out").records
        [check] = [
            request.body for request in fake.received if schema_name(request.body) == "verdicts"
        ]
    assert check["model"] == "gpt-4.1"
    assert len(images_in(check)) == 4
    assert [(r.stage, r.reason) for r in record.rejections] == [
        ("check", "contradicted_sentence"),
        ("check", "contradicted"),
    ]
    assert len(record.qas) == 3
    assert all(qa.tags == ("supported",) for qa in record.qas)


def test_verdicts_that_do_not_fit_are_asked_again_then_noted(videos, tmp_path):
    def write(body):
        return '{"verdicts": []}' if schema_name(body) == "verdicts" else write_answer(body)

    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, faithfulness__enabled=True)
        [record] = run_quietly(videos / "v0.mp4", recipe, tmp_path / "out").records
    assert [r.reason for r in record.rejections] == ["unparsable"]
    assert len(record.qas) == 4


def test_checks_that_were_cut_off_are_named_and_made_again_with_a_higher_limit(videos, tmp_path):
    def write(body):
        is_cut_off = body["max_completion_tokens"] < 900
        if schema_name(body) == "answer":
            return {"message": {}, "finish_reason": "length"} if is_cut_off else '{"answer": "?"}'
        if schema_name(body) == "verdicts":
            claims = [line for line in texts_in(body)[1].splitlines() if line[:1].isdigit()]
            text = json.dumps({"verdicts": ["supported"] * len(claims)})
            cut_off = {"message": {"content": text[:20]}, "finish_reason": "length"}
            return cut_off if is_cut_off else text
        return write_answer(body)

    checks = {"faithfulness__enabled": True, "blind__enabled": True}
    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, endpoint__max_output_tokens=800, **checks)
        [record] = run_quietly(videos / "v0.mp4", recipe, tmp_path / "out").records
        assert {r.reason for r in record.rejections} == {"truncated"}
        assert [r.subject_id for r in record.rejections] == [
            "v0/faithfulness",
            *(f"{qa.qa_id}/blind" for qa in record.qas),
        ]
        num_calls = fake.num_requests
        more = recipe_for(fake, endpoint__max_output_tokens=1000, **checks)
        [record] = run_quietly(videos / "v0.mp4", more, tmp_path / "out").records
    assert record.rejections == ()
    assert all(qa.tags == ("supported",) for qa in record.qas)
    assert fake.num_requests == num_calls + 1 + 4 * len(record.qas)


def test_each_blind_trial_that_was_cut_off_is_made_again(videos, tmp_path):
    """Trials are no tries: one that came whole takes no other's place."""
    cut_off = []

    def write(body):
        if schema_name(body) != "answer":
            return write_answer(body)
        if body["max_completion_tokens"] < 900 and len(cut_off) < 2:
            cut_off.append(body)
            return {"message": {}, "finish_reason": "length"}
        return '{"answer": "?"}'

    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, endpoint__max_output_tokens=800, blind__enabled=True)
        [record] = run_quietly(videos / "v0.mp4", recipe, tmp_path / "out").records
        assert {r.reason for r in record.rejections} == {"truncated"}
        num_calls = fake.num_requests
        more = recipe_for(fake, endpoint__max_output_tokens=1000, blind__enabled=True)
        [record] = run_quietly(videos / "v0.mp4", more, tmp_path / "out").records
    assert record.rejections == ()
    assert fake.num_requests == num_calls + 2


def knowing_blind(body):
    """Knows the count question without the video, in a sentence, and guesses A for the other."""
    if schema_name(body) != "answer":
        return write_answer(body)
    lines = texts_in(body)[1].splitlines()
    if len(lines) == 1:
        return '{"answer": "I have no idea at all"}'
    if not lines[0].startswith("Count"):
        return '{"answer": "A"}'
    right = next(line for line in lines[1:] if line.endswith("is lifted."))
    return json.dumps({"answer": f"A guess: the answer is {right[0]}, because they mostly do."})


def test_luck_is_told_from_leakage_by_repeating(videos, tmp_path):
    with FakeEndpoint(write=knowing_blind) as fake:
        recipe = recipe_for(fake, blind__enabled=True)
        [record] = run_quietly(videos / "v0.mp4", recipe, tmp_path / "out").records
        trials = [
            request.body for request in fake.received if schema_name(request.body) == "answer"
        ]
    assert len(trials) == 4 * 4
    assert all(images_in(body) == [] for body in trials)
    [rejection] = record.rejections
    assert (rejection.subject_id, rejection.reason) == ("v0/mc/count", "answerable_blind")
    assert "4 of 4 trials" in rejection.detail


def test_a_recipe_may_tag_instead_of_dropping(videos, tmp_path):
    with FakeEndpoint(write=knowing_blind) as fake:
        recipe = recipe_for(fake, blind__enabled=True, blind__action="tag")
        [record] = run_quietly(videos / "v0.mp4", recipe, tmp_path / "out").records
    tags = {qa.qa_id: qa.tags for qa in record.qas if qa.tags}
    assert tags == {"v0/mc/count": ("answerable_blind",)}
