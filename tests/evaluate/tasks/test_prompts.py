"""Golden prompts: what each harness sends for a row, to the character."""

import json
from pathlib import Path

import pytest

from llava_video.evaluate.tasks import BENCHMARKS, find_benchmark

DIRECTLY = "Answer with the option's letter from the given choices directly."
MC = {"question": "what is it", "options": ["cat", "dog", "owl", "cow"]}

ROWS = {
    "nextqa": {"video": "1", "qid": "0", "type": "CH", "question": "how ", "answer": 1,
               "a0": "up", "a1": "down", "a2": "left", "a3": "right", "a4": "so"},
    "perceptiontest": {"video_name": "v1", "question": "Is it?", "question_id": 3,
                       "options": ["yes", "no", "maybe"], "answer_id": "2", "area": "memory"},
    "egoschema": {"question_idx": "1", "question": "What?", "video_idx": "u-1", "answer": None,
                  "option": ["A. p", "B. q", "C. r", "D. s", "E. t"]},
    "videomme": {"video_id": "001", "videoID": "yt", "question_id": "001-1", "duration": "short",
                 "task_type": "Counting", "question": "How many?", "answer": "C",
                 "options": ["A. 1.", "B. 2.", "C. 3.", "D. 4."]},
    "activitynetqa": {"video_name": "x", "question": "is the Dog big", "question_id": "v_x_1",
                      "answer": "yes", "type": 3},
    "mvbench": {"video": "a.mp4", "question": "What?", "candidates": ["up", "down"],
                "answer": "down"},
    "mlvu": {"video_name": "1.mp4", "question": "Which?\n(A) red\n(B) blue", "answer": "B",
             "task_type": "count"},
    "longvideobench": {"id": "i", "video_path": "a.mp4", "question": "Who?", "correct_choice": 1,
                       "duration_group": 15, "question_category": "T3E", "option0": "he",
                       "option1": "she", "option2": "N/A", "option3": "N/A", "option4": "N/A"},
    "tempcompass": {"video_id": "7", "dim": "speed", "answer": "B. slow",
                    "question": "How fast? \nA. fast\nB. slow"},
    "videodetailcaption": {"video_name": "v", "question": "Describe it.", "answer": "A man."},
    "toyworld": {"video": "videos/t.mp4", "type": "count", "kind": "count", "question": "How many?",
                 "answer": "two", "options": ["one", "two"]},
    "own": {"video": "a.mp4", "question": "What?", "answer": "dog", "options": ["cat", "dog"]},
}  # fmt: skip
ROWS["egoschema-subset"] = ROWS["egoschema"] | {"answer": "2"}
ROWS["tempcompass-captioning"] = ROWS["tempcompass"] | {
    "question": "Which fits?\nInformation A: fast\nGenerated Caption:", "answer": "A. fast",
    "mc_question": ROWS["tempcompass"]["question"], "mc_answer": "B. slow",
}  # fmt: skip
ROWS["nextqa-oe"] = {"video": "1", "qid": "0", "type": "TP", "question": "how ", "answer": "by car"}
ROWS["toyworld-follow-ups"] = ROWS["toyworld-noise"] = ROWS["toyworld"]
ROWS["videomme-subtitles"] = ROWS["videomme"]

_SELECT = "Select the best answer to the following multiple-choice question based on the video"
_ONLY = "Respond with only the letter (A, B, C, or D) of the correct option."
_COUNTED = "How many?\nA. 1.\nB. 2.\nC. 3.\nD. 4."
_LISTED = "This video's subtitles are listed below:"
_MVBENCH = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail "
    "and movement of objects, and the action and pose of persons. Based on your observations, "
    "select the best option that accurately addresses the question.\n"
    "Question: What?\nOptions:\n(A) up\n(B) down\nOnly give the best option.Best option:("
)
_MLVU = (
    "Carefully watch this video and pay attention to every detail. Based on your observations, "
    "select the best option that accurately addresses the question."
    "Question: Which?\nOptions:\n(A) red\n(B) blue\nOnly give the best option."
)
_EGO = f"What?\nA. p\nB. q\nC. r\nD. s\nE. t\n{DIRECTLY}"
_HOW = "how\nA. up\nB. down\nC. left\nD. right\nE. so"

GOLDEN = {
    ("nextqa", "lmms-eval"): _HOW,
    ("nextqa", "official"): f"{_HOW}\n{DIRECTLY}",
    ("nextqa-oe", "lmms-eval"): "how\nAnswer a question using a short phrase or sentence.",
    ("nextqa-oe", "official"): "how",
    **{
        ("tempcompass-captioning", preset): ("Which fits?\nInformation A: fast\nGenerated Caption:")
        for preset in ("lmms-eval", "official")
    },
    ("perceptiontest", "lmms-eval"): f"Is it?\nA. yes\nB. no\nC. maybe\n{DIRECTLY}",
    ("egoschema", "lmms-eval"): _EGO,
    ("egoschema-subset", "lmms-eval"): _EGO,
    ("videomme", "lmms-eval"): (
        f"{_SELECT} and the subtitles. {_ONLY}\n{_COUNTED}\nThe best answer is:"
    ),
    ("videomme", "lmms-eval-default"): (
        f"{_SELECT} and the subtitles. {_ONLY}\n{_COUNTED}\n\n{DIRECTLY}"
    ),
    ("videomme", "vlmevalkit"): (
        f"\nThese are the frames of a video. {_SELECT}. {_ONLY}\nQuestion: {_COUNTED}\nAnswer: "
    ),
    ("videomme", "official"): f"{_SELECT}. {_ONLY}\n{_COUNTED}\nThe best answer is:",
    ("videomme-subtitles", "lmms-eval"): (
        f"{_LISTED} \n{{subtitles}}\n{_SELECT} and the subtitles. {_ONLY}\n{_COUNTED}\n"
        "The best answer is:"
    ),
    ("videomme-subtitles", "vlmevalkit"): (
        f"\nThese are the frames of a video. {_LISTED}\n{{subtitles}}\n{_SELECT}. {_ONLY}\n"
        f"Question: {_COUNTED}\nAnswer: "
    ),
    ("videomme-subtitles", "official"): (
        f"{_LISTED}\n{{subtitles}}\n{_SELECT} and the subtitles. {_ONLY}\n{_COUNTED}\n"
        "The best answer is:"
    ),
    ("activitynetqa", "lmms-eval"): (
        "Is the dog big? Answer the question using a single word or phrase."
    ),
    ("activitynetqa", "official"): "is the Dog big",
    ("mvbench", "lmms-eval"): (
        "Question:What?\nOption:\n(A) up\n(B) down\nOnly give the best option.\n"
    ),
    ("mvbench", "vlmevalkit"): _MVBENCH,
    ("mvbench", "official"): _MVBENCH,
    ("mlvu", "lmms-eval"): (
        "Which?\n(A) red\n(B) blue\nOnly give the best option.\nBest option: ("
    ),
    ("mlvu", "vlmevalkit"): _MLVU,
    ("mlvu", "official"): f"{_MLVU}\nBest Option: (",
    ("longvideobench", "lmms-eval"): f"Who?\nA. he\nB. she\n{DIRECTLY}\n",
    ("longvideobench", "vlmevalkit"): f"Who?\nA. he\nB. she\n{DIRECTLY}",
    **{
        ("tempcompass", preset): (
            "How fast? \nA. fast\nB. slow\nPlease directly give the best option:"
        )
        for preset in ("lmms-eval", "vlmevalkit", "official")
    },
    ("videodetailcaption", "lmms-eval"): "Describe it.",
    **{
        (task, preset): f"How many?\nA. one\nB. two{ending}"
        for task in ("toyworld", "toyworld-follow-ups", "toyworld-noise")
        for preset, ending in (
            ("official", "\nPlease respond with only the letter of the correct answer."),
            ("lmms-eval", f"\n{DIRECTLY}"),
            ("bare", ""),
            ("videomme", "\nThe best answer is:"),
            ("mvbench", "\nOnly give the best option."),
            ("tempcompass", "\nPlease directly give the best option:"),
        )
    },
    ("own", "official"): (
        "What?\nA. cat\nB. dog\nPlease respond with only the letter of the correct answer."
    ),
    ("own", "lmms-eval"): f"What?\nA. cat\nB. dog\n{DIRECTLY}",
}


def test_every_preset_of_every_task_has_a_golden_prompt() -> None:
    assert {(b.name, preset) for b in BENCHMARKS.values() for preset in b.prompts} == set(GOLDEN)


@pytest.mark.parametrize(("task", "preset"), GOLDEN)
def test_golden(tmp_path: Path, task: str, preset: str) -> None:
    path = tmp_path / "count.json"
    rows = [ROWS[task]] * (2 if task == "toyworld-follow-ups" else 1)
    path.write_text(json.dumps(rows))
    [question] = find_benchmark(task).load(path).questions
    assert find_benchmark(task).prompts[preset](question) == GOLDEN[task, preset]


@pytest.mark.parametrize(
    ("task", "answer"),
    [("nextqa", "B"), ("nextqa-oe", "by car"), ("tempcompass-captioning", "B. slow"),
     ("perceptiontest", "C"), ("egoschema", ""),
     ("egoschema-subset", "C"), ("videomme", "C"), ("activitynetqa", "yes"), ("mvbench", "B"),
     ("mlvu", "B"), ("longvideobench", "B"), ("tempcompass", "B"), ("toyworld", "B"),
     ("toyworld-noise", "The video is not of toyworld."),
     ("own", "B")],
)  # fmt: skip
def test_the_answer_of_a_row(tmp_path: Path, task: str, answer: str) -> None:
    path = tmp_path / "count.json"
    path.write_text(json.dumps([ROWS[task]]))
    [question] = find_benchmark(task).load(path).questions
    assert question.answer == answer
