"""Filters: every one names its reason, and keeps what is fine."""

import json

import pytest

from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.records import QA, Provenance, VideoRecord
from llava_video.annotate.steps.decontaminate import DecontaminationSet
from llava_video.annotate.steps.filter import compare, judge_choices, judge_refusal, screen
from llava_video.errors import InputError
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import recipe_for, run_quietly

ORIGIN = Provenance("k", "m", "p")
LONG = "a large brown dog with a collar"


def qa(answer, question="What is there?", kind="open_ended", options=(), type="count", number=0):
    return QA(f"v/{kind}/{number}", kind, type, question, answer, ORIGIN, tuple(options))


def record(*qas, video_id="v"):
    return VideoRecord(video_id, f"{video_id}.mp4", qas=tuple(qas))


def reasons(records):
    return [r.reason for found in records for r in found.rejections]


@pytest.mark.parametrize(
    "answer",
    [
        "Does not specify.",
        "does not mention the colour",
        "The video does not specify the colour.",
        "The description does not specifically mention a dog.",
        "It doesn't show who opened the door, but a man is near.",
        "This is not mentioned in the video.",
        "The colour is not specified.",
        "The text does not explicitly state it, nor does it depict a car.",
    ],
)
def test_refusals_are_found_at_the_first_clause(answer):
    found = judge_refusal(qa(answer), "first_clause")
    if "explicitly state" in answer:
        assert found is None  # "state" is not a verb of the paper's list
    else:
        assert found is not None and found[0] == "refusal"


@pytest.mark.parametrize(
    "answer",
    [
        "The man does not show his face.",
        "He closes the door. The video does not show why.",
        "No, the bus does not stop.",
        "She never mentions his name, and leaves.",
    ],
)
def test_answers_that_only_sound_like_refusals_stay(answer):
    assert judge_refusal(qa(answer), "first_clause") is None


def test_the_papers_literal_rule_looks_at_the_beginning_only():
    assert judge_refusal(qa("Does not depict a dog."), "prefix") is not None
    assert judge_refusal(qa("The video does not depict a dog."), "prefix") is None
    assert judge_refusal(qa("Does not depict a dog."), "off") is None


@pytest.mark.parametrize(
    ("answer", "options", "reason"),
    [
        ("a dog", ["a dog", "a cat"], "malformed_choices"),
        ("a dog", ["a dog", "a cat", "", "a cow"], "malformed_choices"),
        ("a dog", ["a hen", "a cat", "a fox", "a cow"], "answer_not_among_choices"),
        ("a dog", ["a dog", "a cat", "the dog.", "a cow"], "distractor_repeats_answer"),
        ("a dog", ["a dog", "a cat", "A cat", "a cow"], "repeated_choices"),
        (LONG, [LONG, "a cat", "a fox", "a cow"], "length_bias"),
        ("a dog", ["a dog", "a cat", "a fox", "a cow"], None),
    ],
)  # fmt: skip
def test_unfit_choices(answer, options, reason):
    found = judge_choices(qa(answer, kind="multi_choice", options=options), load_recipe("open"))
    assert (found and found[0]) == reason


def test_yes_or_no_may_have_two_choices():
    recipe = load_recipe("open")
    two = qa("Yes", kind="multi_choice", options=["Yes", "No"], type="binary")
    assert judge_choices(two, recipe) is None


def test_screening_keeps_the_rest_and_the_reason():
    recipe = load_recipe("open")
    [found] = screen([record(qa("A dog.", number=0), qa("Does not mention it.", number=1))], recipe)
    assert [kept.qa_id for kept in found.qas] == ["v/open_ended/0"]
    assert found.rejections[0].subject_id == "v/open_ended/1"
    assert found.rejections[0].stage == "filter"


def test_near_duplicates_within_a_video_leave_the_first():
    one = qa("Red.", "What colour is the big ball in the video?", number=0)
    two = qa("It is red.", "What colour is a big ball in the video?", number=1)
    choice = qa("Red", one.question, "multi_choice", ["Red", "Blue", "Green", "Pink"])
    [found] = compare([record(one, two, choice)], load_recipe("open"))
    assert [kept.qa_id for kept in found.qas] == [one.qa_id, choice.qa_id]
    assert reasons([found]) == ["near_duplicate"]


def test_across_videos_a_number_of_copies_may_stay():
    recipe = load_recipe("open", ["filters.across_videos_copies=2"])
    records = [
        VideoRecord(f"v{i}", "x.mp4", qas=(
            QA(f"v{i}/oe/binary", "open_ended", "binary", "Is a dog there?", "Yes.", ORIGIN),
            QA(f"v{i}/oe/count", "open_ended", "count", "How many dogs?", f"{i}.", ORIGIN),
        ))
        for i in range(4)
    ]  # fmt: skip
    found = compare(records, recipe)
    assert [len(r.qas) for r in found] == [2, 2, 1, 1]
    assert set(reasons(found)) == {"near_duplicate_across_videos"}


def test_benchmark_questions_and_videos_are_kept_out(tmp_path):
    path = tmp_path / "bench.json"
    question = "What does the man in the red hat do after opening the door?"
    path.write_text(json.dumps([{"video_path": "x/bench7.mp4", "video_id": 0,
                                 "conversations": [{"question": question}]}]))  # fmt: skip
    recipe = load_recipe("open", [f"filters.benchmark_files=[{path}]"])
    copied = qa("He sits.", "What does a man in the red hat do after opening the door?")
    short = qa("Two.", "How many?", number=1)
    found = compare(
        [record(copied, short), record(short, video_id="bench7"), record(short, video_id="0")],
        recipe,
    )
    assert reasons(found) == ["benchmark_question", "benchmark_video"]
    assert [len(r.qas) for r in found] == [1, 0, 1]
    with pytest.raises(InputError, match="no such benchmark file"):
        compare(found, load_recipe("open", ["filters.benchmark_files=[nowhere.json]"]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.txt", b"What is caf\xe9?"),
        ("b.json", b"[" * 100_000),
        ("b.parquet", b"no parquet"),
        ("b.csv", b'question\n"' + b"x" * 200_000),
    ],
)
def test_an_unreadable_benchmark_file_is_named_before_anything_is_paid(
    name, content, videos, tmp_path
):
    path = tmp_path / name
    path.write_bytes(content)
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, filters__benchmark_files=[str(path)])
        with pytest.raises(InputError, match=f"{name}: not readable as"):
            run_quietly(videos, recipe, tmp_path / "out")
        assert fake.num_requests == 0
    assert not (tmp_path / "out").exists()


def test_any_character_may_stand_in_a_benchmark_question(tmp_path):
    (tmp_path / "b.jsonl").write_text(json.dumps({"question": "a\u2028b"}, ensure_ascii=False))
    (tmp_path / "b.csv").write_text('question\n"what is\nthis"\n')
    paths = tuple(str(tmp_path / name) for name in ("b.jsonl", "b.csv"))
    found = DecontaminationSet.load(paths)
    assert found.question_like("a b", 1, 1) == "a\u2028b"
    assert found.question_like("what is this", 1, 1) == "what is\nthis"
