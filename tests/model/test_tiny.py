"""The embedded model answers about the sample videos that come with it, and is small."""

from importlib.resources import files
from pathlib import Path

from llava_video.model.answering import answer_question
from llava_video.model.loading import find_checkpoint

ASSETS = Path(str(files("llava_video") / "assets"))


def test_fits_into_the_package() -> None:
    files_of_tiny = [path for path in find_checkpoint("tiny").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files_of_tiny) <= 32 * 2**20


def test_sees_twelve_frames_of_a_sample() -> None:
    answer = answer_question(ASSETS / "samples" / "two_movers.mp4", "Describe the video.")
    assert (answer.num_frames, answer.num_video_tokens) == (12, 96)
    assert answer.warnings == []
    assert answer.answer


def test_answers_the_question_of_the_readme() -> None:
    samples = ASSETS / "samples"
    asked = answer_question(samples / "three_shapes.mp4", "In which direction does the ring move?")
    assert asked.answer == "left"
    asked = answer_question(samples / "two_movers.mp4", "What shape is the blue thing?")
    assert asked.answer == "square"
