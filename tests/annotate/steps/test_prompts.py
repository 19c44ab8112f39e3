"""Prompts and question types of one's own, over those of the package."""

import re

import pytest

from llava_video.annotate.export.card import write_card
from llava_video.annotate.preflight import check_recipe
from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.run_folder import load_run
from llava_video.annotate.steps.prompts import PROMPTS, load_prompt, question_types
from llava_video.calls.ledger import open_ledger
from llava_video.errors import InputError
from tests.annotate.fake_endpoint import FakeEndpoint, texts_in
from tests.annotate.running import recipe_for, run_quietly

TYPE = """# Weather

Rain, sun, wind and their signs.

## Example
Description: Rain falls on a street.
Question: What is the weather like?
Answer: It rains.
Wrong: The sun shines. | It snows. | It is foggy.
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own" / "types").mkdir(parents=True)
    (tmp_path / "own" / "types" / "weather.md").write_text(TYPE)
    user = load_prompt("level1").user
    (tmp_path / "own" / "level1.md").write_text(
        f"## System\n\nDescribe the weather.\n\n## User\n\n{user}"
    )
    return tmp_path / "own"


def test_a_folder_changes_what_is_sent_and_asks_types_of_its_own(folder, videos, tmp_path):
    with FakeEndpoint() as fake:
        changes = {"prompts": str(folder), "ask__types": ["weather", "count"]}
        result = run_quietly(videos / "v0.mp4", recipe_for(fake, **changes), tmp_path / "out")
        systems = [request.body["messages"][0]["content"] for request in fake.received]
        assert systems[0] == "Describe the weather."
        assert all("#### Weather\nRain, sun" in s and "It rains." in s for s in systems[2:])
        before = fake.num_requests
        run_quietly(videos / "v0.mp4", recipe_for(fake, **changes), tmp_path / "out")
        assert fake.num_requests == before
        (folder / "types" / "weather.md").write_text(TYPE.replace("Rain, sun", "Clouds, sun"))
        clear_caches()
        run_quietly(videos / "v0.mp4", recipe_for(fake, **changes), tmp_path / "out")
        assert fake.num_requests == before + 2  # questions, whose prompt is another one now
    [record] = result.records
    assert {qa.type for qa in record.qas} == {"weather", "count"}
    assert record.captions[0].provenance.prompt != load_prompt("level1").version
    run = load_run(tmp_path / "out")
    write_card(run.reviewed(), run.recipe, open_ledger(tmp_path / "out"), tmp_path / "card")
    card = (tmp_path / "card" / "README.md").read_text()
    assert re.search(r"\| Weather +\| 2 ", card)
    assert record.captions[0].provenance.prompt.split("@")[1] in card


def clear_caches():
    from llava_video.annotate.steps import ask, prompts

    for cached in (prompts.load_prompt, prompts.load_examples, prompts.question_types):
        cached.cache_clear()
    ask.instructions.cache_clear()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("level2.md", "no parts", "level2.md: has no lines '## System' and '## User'"),
        ("level2.md", "## System\nx\n## User\n{{end}}", "placeholders of its user part must be"),
        ("levl2.md", "x", "levl2.md: no prompt has this name; did you mean 'level2.md'"),
        ("types/mood.md", "Mood\n", "mood.md: its first line must be '# ' and the name"),
        ("types/weather.md", TYPE.replace("Wrong", "False"), "an example without 'Wrong'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_is_paid(name, text, message, folder):
    (folder / name).write_text(text)
    clear_caches()
    with pytest.raises(InputError, match=re.escape(message)):
        check_recipe(
            load_recipe("open", [f"prompts={folder}", "ask.types=[weather]"]), is_sent=False
        )


def test_a_type_or_folder_that_is_not_there_is_named(folder):
    with pytest.raises(InputError, match="'wether' is not a question type; did you mean 'weather'"):
        load_recipe("open", [f"prompts={folder}", "ask.types=[wether]"])
    with pytest.raises(InputError, match="nowhere: no such folder"):
        check_recipe(load_recipe("open", ["prompts=nowhere"]), is_sent=False)
    assert [own.title for own in question_types(str(folder))][16:] == ["Weather"]
    assert all(load_prompt(name).system for name in PROMPTS)


def test_questions_of_any_kind_are_asked_for_without_examples(videos, tmp_path):
    def write(body):
        from tests.annotate.fake_endpoint import schema_name, write_answer

        if schema_name(body) != "open_ended_pairs":
            return write_answer(body)
        pairs = [f'{{"question": "What is {n}?", "answer": "Number {n} is red."}}' for n in "abc"]
        return f'{{"pairs": [{", ".join(pairs)}]}}'

    with FakeEndpoint(write=write) as fake:
        recipe = recipe_for(fake, ask__mode="free", ask__num_free=3, ask__kinds=["open_ended"])
        result = run_quietly(videos / "v0.mp4", recipe, tmp_path / "out")
        asked = fake.received[-1].body
    assert "Write 3 pairs" in texts_in(asked)[0]
    assert "####" not in texts_in(asked)[0]
    pair = asked["response_format"]["json_schema"]["schema"]["properties"]["pairs"]["items"]
    assert list(pair["properties"]) == ["question", "answer"]
    [record] = result.records
    assert [(qa.qa_id, qa.type) for qa in record.qas] == [
        (f"v0/oe/free_form_{n}", "free_form") for n in (1, 2, 3)
    ]
    assert "Free-form" in (tmp_path / "out" / "dataset" / "README.md").read_text()
