"""Judges: real calls to a server on loopback, a ledger, a budget, and judges that answer prose."""

import json
from pathlib import Path

import pytest

from llava_video.errors import BudgetError, InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.harness.judge import judge_prompt, read_judgement
from llava_video.evaluate.run import Judge, Settings, evaluate
from llava_video.evaluate.scoring.outcomes import read_outcomes
from llava_video.toyworld import generate_script
from llava_video.toyworld.dataset import write_video
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.evaluate.runs import scripted


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("yes_no_judge", "{'pred': 'yes', 'score': 4.8}", 1.0),
        ("yes_no_judge", 'Sure!\n```python\n{"pred": "no", "score": 0}\n```', 0.0),
        ("yes_no_judge", "Yes, they match.", None),
        ("yes_no_judge", "{'pred': 'maybe', 'score': 3}", None),
        ("yes_no_judge", "{'pred': yes}", None),
        ("score_judge", "{'score': 4.8}", 4.0),
        ("score_judge", "{'score': '4'}", None),
        ("score_judge", "{'score': 9}", None),
        ("score_judge", "{'score': True}", None),
        ("score_judge", "__import__('os')", None),
    ],
)
def test_a_judgement_is_read_or_it_is_none(kind, text: str, value: float | None) -> None:
    assert read_judgement(kind, text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Reasoning: it says so.\nAnswer: B. it walks", 1.0),
        ("Answer: A. it runs", 0.0),
        ("Answer: None of the choices are correct", 0.0),
        ("Answer: A. it runs or B. it walks", 0.0),
        ("B. it walks", 1.0),
        ("It is the second option.", None),
    ],
)
def test_a_judge_of_captions_chooses_an_option(text: str, value: float | None) -> None:
    assert read_judgement("caption_judge", text, "B. it walks") == value


def test_captions_go_to_the_judge_with_its_question(tmp_path: Path) -> None:
    write_video(generate_script(0, seconds=5), tmp_path / "v.mp4", (64, 64), 2)
    rows = [
        {"video_id": "v", "dim": "speed", "question": f"Say {n}.", "answer": "x",
         "mc_question": "How?\nA. it runs\nB. it walks", "mc_answer": "B. it walks"}
        for n in range(2)
    ]  # fmt: skip
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    model, _ = scripted(lambda prompt: "It walks." if "0" in prompt else "It stands.")

    def write(body: dict) -> str:
        asked = body["messages"][1]["content"][0]["text"]
        assert asked.endswith("\nHow?\nA. it runs\nB. it walks\nAnswer:")
        walks = "Video Description:It walks." in asked
        return f"Answer: {'B. it walks' if walks else 'None of the choices are correct'}"

    with FakeEndpoint(write=write) as fake:
        results = evaluate(
            ["tempcompass-captioning"], tmp_path / "out", Settings(),
            annotations=path, judge=Judge("judge", fake.url), model=model,
        )["tempcompass-captioning"]  # fmt: skip
    assert (results["headline"], results["scores"]["num_failed"]) == (0.5, {})


def test_the_prompt_holds_question_reference_and_answer() -> None:
    question = Question("1", "v", "is it red", answer="yes")
    system, prompt = judge_prompt("yes_no_judge", question, "Yes, it is")
    assert "Evaluate the correctness of the prediction" in system
    assert "Question: is it red\nCorrect Answer: yes\nPredicted Answer: Yes, it is\n" in prompt


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    for number in range(2):
        script = generate_script(number, seconds=5)
        write_video(script, tmp_path / f"v_x{number}.mp4", (64, 64), 2)
    path = tmp_path / "rows.json"
    rows = [
        {"video_name": f"x{n % 2}", "question": f"is it {n}", "question_id": f"q{n}",
         "answer": "yes", "type": 3}
        for n in range(6)
    ]  # fmt: skip
    path.write_text(json.dumps(rows))
    return path


def says_yes(body: dict) -> str:
    asked = body["messages"][1]["content"][0]["text"]
    return "{'pred': 'yes', 'score': 5}" if "Predicted Answer: right" in asked else (
        "{'pred': 'no', 'score': 0}"
    )  # fmt: skip


def test_every_judgement_is_paid_once(tmp_path: Path, annotations: Path) -> None:
    model, _ = scripted(lambda prompt: "right" if "0" in prompt or "1" in prompt else "wrong")
    with FakeEndpoint(write=says_yes) as fake:
        judge = Judge("judge", fake.url, max_usd=None)
        for _ in range(2):
            results = evaluate(
                ["activitynetqa"], tmp_path / "out", Settings(),
                annotations=annotations, judge=judge, model=model,
            )  # fmt: skip
        assert fake.num_requests == 6
    assert results["activitynetqa"]["headline"] == pytest.approx(2 / 6)
    assert results["activitynetqa"]["judge"]["model"] == "judge"


def test_prose_is_a_failure_after_a_second_call(tmp_path: Path, annotations: Path) -> None:
    model, _ = scripted(lambda prompt: "prose" if "0" in prompt or "1" in prompt else "right")

    def write(body: dict) -> str:
        asked = body["messages"][1]["content"][0]["text"]
        return "They mean the same." if "Answer: prose" in asked else says_yes(body)

    with FakeEndpoint(write=write) as fake:
        results = evaluate(
            ["activitynetqa"], tmp_path / "out", Settings(),
            annotations=annotations, judge=Judge("judge", fake.url), model=model,
        )["activitynetqa"]  # fmt: skip
        assert fake.num_requests == 4 + 2 * 2
    assert results["scores"]["num_failed"] == {"judge": 2}
    assert results["headline"] == 1.0
    [first, *_] = [o for o in read_outcomes(tmp_path / "out/activitynetqa") if o.failure]
    assert first.failure == "the judge answered 'They mean the same.', not a judgement"


def test_a_judge_that_only_answers_prose_is_one_line(tmp_path: Path, annotations: Path) -> None:
    model, _ = scripted(lambda prompt: "right")
    with (
        FakeEndpoint(write=lambda body: "They mean the same.") as fake,
        pytest.raises(
            InputError, match="all 6 questions of activitynetqa failed, the first: the j"
        ),
    ):
        evaluate(
            ["activitynetqa"], tmp_path / "out", Settings(),
            annotations=annotations, judge=Judge("judge", fake.url), model=model,
        )  # fmt: skip


def test_a_spent_budget_ends_the_run(tmp_path: Path, annotations: Path) -> None:
    model, _ = scripted(lambda prompt: "right")
    with FakeEndpoint(write=says_yes) as fake, pytest.raises(BudgetError, match="raise --max-usd"):
        evaluate(
            ["activitynetqa"], tmp_path / "out", Settings(), annotations=annotations,
            judge=Judge("gpt-4o-2024-05-13", fake.url, max_usd=0.000001), model=model,
        )  # fmt: skip


def test_a_task_that_needs_a_judge_says_so(tmp_path: Path, annotations: Path) -> None:
    model, script = scripted(lambda prompt: "right")
    with pytest.raises(InputError, match="give --judge MODEL"):
        evaluate(
            ["activitynetqa"], tmp_path / "out", Settings(), annotations=annotations, model=model
        )
    assert script.asked == []
