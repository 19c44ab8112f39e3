"""Clips of noise as files: the same every time, completed, unlike each other."""

from pathlib import Path

import numpy as np

from llava_video.evaluate.tasks import find_benchmark
from llava_video.records.json_lines import read_lines
from llava_video.toyworld import generate_script, make_questions
from llava_video.toyworld.draw.noise_clips import noise_clip
from llava_video.toyworld.noise_dataset import make_noise_dataset
from llava_video.video import read_video


def test_a_folder_is_completed_with_the_same_files(tmp_path: Path) -> None:
    make_noise_dataset(tmp_path, 1, "simple")
    [first] = (tmp_path / "videos").iterdir()
    before = first.read_bytes()
    first.unlink()
    path = make_noise_dataset(tmp_path, 2, "simple")
    assert first.read_bytes() == before
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 2
    asked = [make_questions(generate_script(number, "simple")) for number in range(2)]
    assert [row["question"] for row in read_lines(path)] == [
        question.question for questions in asked for question in questions
    ]


def test_the_files_show_the_clips(tmp_path: Path) -> None:
    make_noise_dataset(tmp_path, 2, "simple")
    for number, path in enumerate(sorted((tmp_path / "videos").iterdir())):
        drawn = noise_clip(number, 24, 224).pixels.astype(int)
        shown, other = (
            np.abs(read_video(each, num_frames=24).pixels.astype(int) - drawn).mean()
            for each in (path, tmp_path / f"videos/noise_{1 - number:07d}.mp4")
        )
        assert shown < 12 < other


def test_right_is_to_say_that_it_is_not_toyworld(tmp_path: Path) -> None:
    benchmark = find_benchmark("toyworld-noise")
    questions = benchmark.load(make_noise_dataset(tmp_path, 1, "standard")).questions
    assert {question.answer for question in questions} == {"The video is not of toyworld."}
    assert {question.type for question in questions} == {"choice", "open"}
    for question in questions:
        prompt = benchmark.prompts["official"](question)
        assert ("\nA. " in prompt) == (question.type == "choice")
        assert prompt.endswith(("Answer in one word.", "the letter of the correct answer."))
