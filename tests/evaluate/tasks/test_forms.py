"""The other forms of annotations: those of the original repositories, and of one's own."""

import json
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.tasks import find_benchmark
from llava_video.evaluate.tasks.toyworld import make
from llava_video.records.options import LETTER_ENDING


def save(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def ego(uid: str) -> dict:
    return {"q_uid": uid, "google_drive_id": "g", "question": "what?"} | {
        f"option {n}": f"C does {n}" for n in range(5)
    }


def test_egoschema_takes_the_public_answers_beside_it(tmp_path: Path) -> None:
    path = save(tmp_path / "questions.json", [ego("a"), ego("b")])
    save(tmp_path / "subset_answers.json", {"b": 4})
    whole = find_benchmark("egoschema").load(path).questions
    assert [(q.id, q.answer) for q in whole] == [("a", ""), ("b", "E")]
    [scored] = find_benchmark("egoschema-subset").load(path).questions
    assert (scored.video, scored.answer) == ("b", "E")


def test_activitynetqa_joins_questions_and_answers(tmp_path: Path) -> None:
    save(tmp_path / "test_q.json", [
        {"video_name": "x", "question": "is it big", "question_id": "v_x_1"},
        {"video_name": "x", "question": "is it red", "question_id": "v_x_2"},
    ])  # fmt: skip
    with pytest.raises(InputError, match=r"test_a\.json: missing; it has the answers"):
        find_benchmark("activitynetqa").load(tmp_path)
    save(tmp_path / "test_a.json", [{"answer": "yes", "type": 3, "question_id": "v_x_1"}])
    found = find_benchmark("activitynetqa").load(tmp_path)
    [question] = found.questions
    assert (question.video, question.answer, question.type) == ("v_x", "yes", "3")
    assert len(found.problems) == 1


def test_tempcompass_reads_questions_by_video_and_dimension(tmp_path: Path) -> None:
    mc = {"question": "What? \nA. it runs\nB. it walks", "answer": "B. it walks"}
    match = {"question": "Which?\nOption 1: It runs.\nOption 2: It walks.",
             "answer": "Option 1: It runs."}  # fmt: skip
    save(tmp_path / "multi-choice.json", {"7": {"speed": [mc]}})
    save(tmp_path / "yes_no.json",
         {"7": {"speed": [{"question": "Does it run?", "answer": "no"}]}})  # fmt: skip
    save(tmp_path / "caption_matching.json", {"7": {"speed": [match]}})
    save(tmp_path / "captioning.json", {"7": {"speed": [{"question": "Say", "answer": "A"}]}})
    questions = find_benchmark("tempcompass").load(tmp_path).questions
    found = [(q.id, q.options, q.answer, q.type) for q in questions]
    assert found == [
        ("caption_matching_7_1", ("It runs.", "It walks."), "A", "speed"),
        ("multi-choice_7_1", ("it runs", "it walks"), "B", "speed"),
        ("yes_no_7_1", ("yes", "no"), "B", "speed"),
    ]
    prompts = find_benchmark("tempcompass").prompts["official"]
    assert prompts(questions[2]) == "Does it run?\nPlease answer yes or no:"


def test_captions_are_judged_by_the_first_question_about_their_dimension(tmp_path: Path) -> None:
    first, second = (
        {"question": f"{which}?\nA. it runs\nB. it walks", "answer": f"{letter}. it"}
        for which, letter in (("First", "A"), ("Second", "B"))
    )
    caption = {"question": "Say it.", "answer": "C. other letters"}
    path = save(tmp_path / "captioning.json", {"7": {"speed": [caption, caption]}})
    with pytest.raises(InputError, match=r"multi-choice\.json: missing; a judge answers its"):
        find_benchmark("tempcompass-captioning").load(tmp_path)
    save(tmp_path / "multi-choice.json", {"7": {"speed": [first, second]}})
    questions = find_benchmark("tempcompass-captioning").load(tmp_path).questions
    assert questions == find_benchmark("tempcompass-captioning").load(path).questions
    assert [(q.id, q.answer, q.judged_by) for q in questions] == [
        (f"captioning_7_{n}", "A. it", first["question"]) for n in (1, 2)
    ]
    whole = {"7": {"captioning": {"speed": [caption]}, "multi-choice": {"speed": [second]}}}
    [question] = (
        find_benchmark("tempcompass-captioning")
        .load(save(tmp_path / "of_one_clip.json", whole))
        .questions
    )
    assert question.judged_by == second["question"]


def test_nextqa_takes_the_further_answers_beside_its_open_questions(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("video,question,answer,qid,type\n7,why,to eat,0,CW\n7,when,now,1,TP\n")
    save(tmp_path / "add_reference_answer_test.json", {"7": {"0": "hungry"}})
    first, second = find_benchmark("nextqa-oe").load(path).questions
    assert (first.answer, first.also) == ("to eat", ("hungry",))
    assert (second.also, second.type) == ((), "TN")
    path.write_text("video,question,answer,qid,type,a0,a1,a2,a3,a4\n7,why,0,0,CW,a,b,c,d,e\n")
    found = find_benchmark("nextqa-oe").load(path)
    assert "the multiple-choice questions are the task nextqa" in found.problems[0]


def test_mlvu_reads_the_files_of_its_repository(tmp_path: Path) -> None:
    row = {"video": "m.mp4", "duration": 246, "question": "What?", "answer": "Red",
           "candidates": ["Blue", "Red"], "question_type": "plotQA"}  # fmt: skip
    [question] = find_benchmark("mlvu").load(save(tmp_path / "1_plotQA.json", [row])).questions
    assert (question.id, question.answer, question.type) == ("plotQA_1", "B", "plotQA")


def test_mvbench_reads_a_file_per_task_and_a_flat_list(tmp_path: Path) -> None:
    row = {"video": "a.mp4", "question": "What?", "candidates": ["up", "down"], "answer": "up"}
    save(tmp_path / "moving_direction.json", [row])
    [question] = find_benchmark("mvbench").load(tmp_path).questions
    assert (question.type, question.answer) == ("moving_direction", "A")
    part = row | {"start": 1.5, "end": "4"}
    [question] = find_benchmark("mvbench").load(save(tmp_path / "a.json", [part])).questions
    assert (question.start_seconds, question.end_seconds) == (1.5, 4.0)
    for end in (1.5, "x", -1):
        found = find_benchmark("mvbench").load(save(tmp_path / "a.json", [part | {"end": end}]))
        assert len(found.problems) == 1
    (tmp_path / "a.json").unlink()
    inner = {"question": "What?", "choices": ["up", "down"], "answer": "down"}
    flat = {"video_path": "/d/a.webm", "conversations": [inner], "video_id": 0}
    path = save(tmp_path / "flat.json", [flat])
    [question] = find_benchmark("mvbench").load(path).questions
    assert (question.id, question.video, question.answer) == ("0", "/d/a.webm", "B")


def test_videomme_reads_the_official_list_of_videos(tmp_path: Path) -> None:
    asked = {"question_id": "001-1", "task_type": "Counting", "question": "How many?",
             "options": ["A. One.", "B. Two."], "answer": "B"}  # fmt: skip
    video = {"video_id": "001", "url": "https://www.youtube.com/watch?v=yt-1", "duration": "short",
             "questions": [asked, asked | {"question_id": "001-2"}]}  # fmt: skip
    questions = find_benchmark("videomme").load(save(tmp_path / "v.json", [video])).questions
    assert [q.id for q in questions] == ["001-1", "001-2"]
    assert {(q.video, q.duration, q.answer, q.options) for q in questions} == {
        ("yt-1", "short", "B", ("One.", "Two."))
    }


def test_own_reads_conversations_and_keeps_their_wording(tmp_path: Path) -> None:
    asked = f"<image>\nWhat is it?\nA. cat\nB. dog\n{LETTER_ENDING}"
    turns = [
        {"from": "human", "value": asked}, {"from": "gpt", "value": "B."},
        {"from": "human", "value": "Which colour?"}, {"from": "gpt", "value": "Red."},
    ]  # fmt: skip
    path = save(tmp_path / "o.json", [{"id": "r", "video": "a.mp4", "conversations": turns}])
    first, second = find_benchmark("own").load(path).questions
    assert (first.id, first.video, first.options, first.answer) == (
        "r_0", "a.mp4", ("cat", "dog"), "B",
    )  # fmt: skip
    assert find_benchmark("own").prompts["lmms-eval"](first) == asked.removeprefix("<image>\n")
    assert (second.text, second.options, second.answer) == ("Which colour?", (), "Red.")


@pytest.mark.parametrize("names", [("a0", "a1"), ("A", "B")])
def test_own_reads_options_from_columns(tmp_path: Path, names: tuple[str, str]) -> None:
    row = {"video": "a.mp4", "question": "What?", "answer": "B", names[0]: "cat", names[1]: "dog"}
    [question] = find_benchmark("own").load(save(tmp_path / "o.json", [row])).questions
    assert (question.options, question.answer) == (("cat", "dog"), "B")


def test_toyworld_makes_questions_of_all_types_about_its_videos(tmp_path: Path) -> None:
    questions = find_benchmark("toyworld").load(make(tmp_path, 2, "standard")).questions
    assert {question.video for question in questions} == {
        f"videos/toyworld_standard_000000{n}.mp4" for n in range(2)
    }
    assert all(question.answer in question.letters for question in questions if question.options)


def test_follow_ups_come_after_the_right_answer_to_the_question_before(tmp_path: Path) -> None:
    row = {"type": "t", "kind": "k", "video": "a.mp4"}
    path = save(tmp_path / "q.json", [
        row | {"question": "which?", "answer": "two", "options": ["one", "two"]},
        row | {"question": "colour?", "answer": "red", "options": []},
        row | {"video": "b.mp4", "question": "other?", "answer": "x", "options": []},
    ])  # fmt: skip
    [question] = find_benchmark("toyworld-follow-ups").load(path).questions
    assert (question.text, question.type) == ("colour?", "open after choice")
    assert question.before == (f"which?\nA. one\nB. two\n{LETTER_ENDING}", "B.")
