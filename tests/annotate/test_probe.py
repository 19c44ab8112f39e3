"""One small call of each kind goes before a run, so that what is refused is not found late."""

import json

import pytest
from typer.testing import CliRunner

from llava_video.annotate.probe import probe, probe_requests
from llava_video.annotate.recipe import load_recipe
from llava_video.calls.ledger import open_ledger
from llava_video.cli.annotate import app
from llava_video.errors import EndpointError
from tests.annotate.fake_endpoint import Failure, FakeEndpoint, images_in, schema_name, texts_in
from tests.annotate.make_videos import write_video
from tests.annotate.running import overrides, recipe_for, run_quietly

CHECKS = {"faithfulness__enabled": True, "blind__enabled": True}


def no_schema(request):
    if "response_format" in request.body:
        return Failure(400, "response_format of type json_schema is not supported")
    return None


def no_pictures(request):
    if images_in(request.body):
        return Failure(400, "At most 3 image(s) may be provided in one prompt.")
    return None


def test_a_run_asks_for_one_answer_of_each_kind_first_and_once(videos, tmp_path):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, endpoint__probe=True, endpoint__concurrency=1, **CHECKS)
        run_quietly(videos, recipe, tmp_path / "out")
        first = [request.body for request in fake.received[:6]]
        assert [schema_name(body) for body in first] == [
            *("", "", "open_ended_pairs", "multi_choice_pairs", "verdicts", "answer")
        ]
        assert [len(images_in(body)) for body in first] == [10, 0, 0, 0, 32, 0]
        stages = dict(open_ledger(tmp_path / "out").query(
            "SELECT stage, COUNT(*) FROM calls GROUP BY stage"
        ))  # fmt: skip
        assert stages["probe"] == 6
        before = fake.num_requests
        run_quietly(videos, recipe, tmp_path / "out")
        assert fake.num_requests == before
        changed = recipe_for(
            fake, endpoint__probe=True, endpoint__structured="json_object", **CHECKS
        )
        run_quietly(videos, changed, tmp_path / "out")
        assert len({r.key for r in fake.received if len(texts_in(r.body)[1]) < 400}) > 6


@pytest.mark.parametrize(
    ("fail", "words", "num_answered"),
    [
        (no_schema, "open_ended: .* 400: .*; set endpoint.structured=json_object, or none", 2),
        (no_pictures, "level1: .*At most 3 image.*; take a model that reads as many pictures", 0),
        (lambda r: Failure(422, "max_tokens is too large: 2048"), "lower endpoint.max_output_", 0),
        (lambda r: Failure(404, "no such model"), "check --base-url and --model gpt-4o", 0),
        (lambda r: Failure(raw="<html>"), "is not a chat completion .*; check --base-url", 0),
    ],
)
def test_what_is_refused_ends_the_run_before_a_video_is_paid_for(
    fail, words, num_answered, videos, tmp_path
):
    with FakeEndpoint(fail=fail) as fake:
        recipe = recipe_for(fake, endpoint__probe=True, endpoint__attempts=2)
        result = run_quietly(videos, recipe, tmp_path / "out")
        assert isinstance(result.stopped_by, EndpointError)
        assert "\n" not in str(result.stopped_by)
        assert fake.num_requests <= num_answered + 2
    with pytest.raises(EndpointError, match=words):
        raise result.stopped_by
    assert open_ledger(tmp_path / "out").totals().num_calls == num_answered
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, endpoint__probe=True)
        assert run_quietly(videos, recipe, tmp_path / "out").stopped_by is None


def test_the_remedy_of_a_refused_schema_works(videos, tmp_path):
    with FakeEndpoint(fail=no_schema) as fake:
        recipe = recipe_for(fake, endpoint__probe=True, endpoint__structured="none")
        assert run_quietly(videos, recipe, tmp_path / "out").stopped_by is None


def test_without_probes_a_refusal_of_every_call_still_ends_the_run(tmp_path):
    folder = tmp_path / "many"
    for number in range(12):
        write_video(folder / f"v{number}.mp4", seconds=1, size=(32, 32), seed=number)
    with FakeEndpoint(fail=no_pictures) as fake:
        recipe = recipe_for(fake, selection__drop_near_duplicates=False, endpoint__concurrency=1)
        result = run_quietly(folder, recipe, tmp_path / "out")
        assert isinstance(result.stopped_by, EndpointError)
        assert "level1: every call so far was refused" in str(result.stopped_by)
        assert fake.num_requests < 12


def test_checks_are_probed_where_they_are_made():
    kinds = [kind for kind, _ in probe_requests(load_recipe("open", ["endpoint.model=gpt-4o"]))]
    assert kinds == ["level1", "level3", "open_ended", "multi_choice"]


def test_the_command_says_what_works_and_what_does_not(monkeypatch):
    def write(body):
        return {"message": {"content": "<think>Hm.</think>I cannot view images."}}

    with FakeEndpoint(write=write, fail=no_schema, usage=lambda body: {}) as fake:
        changes = overrides({"endpoint.base_url": fake.url, "endpoint.model": "gpt-4o"})
        result = CliRunner().invoke(app, ["probe", "--recipe", "open", "--json", *changes])
    found = {row["kind"]: row for row in json.loads(result.stdout)}
    assert list(found) == ["level1", "level3", "open_ended", "multi_choice"]
    for part in ("thoughts are cut off", "no usage", "refusal: I cannot view images."):
        assert part in found["level1"]["notes"]
    assert "endpoint.structured" in found["multi_choice"]["problem"]
    assert isinstance(result.exception, EndpointError)


def test_every_probe_is_made_even_where_one_ends_a_run(tmp_path):
    with FakeEndpoint(fail=lambda request: Failure(401, "bad key")) as fake:
        found = probe(recipe_for(fake), tmp_path)
    assert [("OPENAI_API_KEY" in one.problem) for one in found] == [True] * 4


def parts_of(request):
    content = request.body["messages"][1]["content"]
    return {part["type"] for part in content}


REMEDIES = {
    "a schema": (no_schema, {}, "set endpoint.structured=json_object", {"structured": "none"}),
    "a limit": (
        lambda r: r.body["max_completion_tokens"] > 999 and "max_tokens is too large: 2048",
        {},
        "lower endpoint.max_output_tokens",
        {"max_output_tokens": 500},
    ),
    "a temperature": (
        lambda r: "temperature" in r.body and "temperature is not supported with this model",
        {"temperature": 0.5},
        "unset endpoint.temperature",
        {"temperature": None},
    ),
    "a field": (
        lambda r: "top_k" in r.body and "Unrecognized request argument supplied: top_k",
        {"extra_body": {"top_k": 1}},
        "the field of endpoint.extra_body that it names",
        {"extra_body": {}},
    ),
    "a video": (
        lambda r: "video_url" in parts_of(r) and "Unknown part type: video_url",
        {"describe.send": "video"},
        "set describe.send=frames",
        {"describe.send": "frames"},
    ),
    "many pictures": (
        lambda r: len(images_in(r.body)) > 3 and "At most 3 image(s) may be provided",
        {},
        "send fewer (describe.fps, describe.clip_seconds",
        {"describe.clip_seconds": 3.0, "describe.min_clip_seconds": 0.0},
    ),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_the_remedy_that_is_named_is_one(name, videos, tmp_path):
    refuses, asked, remedy, changed = REMEDIES[name]

    def fail(request):
        found = refuses(request)
        return Failure(400, found) if isinstance(found, str) else found or None

    def recipe(fake, changes):
        named = {k if "." in k else f"endpoint.{k}": v for k, v in changes.items()}
        return recipe_for(fake, endpoint__probe=True, **named)

    with FakeEndpoint(fail=fail) as fake:
        refused = run_quietly(videos / "v0.mp4", recipe(fake, asked), tmp_path / "out")
        assert remedy in str(refused.stopped_by)
        done = run_quietly(videos / "v0.mp4", recipe(fake, changed), tmp_path / "out")
    assert done.stopped_by is None
    assert done.records[0].description is not None
