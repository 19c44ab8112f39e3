"""The embedded model answers about the sample videos that come with it, and is small."""

from importlib.resources import files
from pathlib import Path

from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, answer_one
from llava_video.checkpoints.load import find_checkpoint, load
from llava_video.records.options import LETTER_ENDING

ASSETS = Path(str(files("llava_video") / "assets"))


def ask(name: str, question: str) -> Answered:
    shown = {"type": "video", "video": ASSETS / "samples" / name}
    content = [shown, {"type": "text", "text": question}]
    return answer_one(LocalModel.load("tiny"), [{"role": "user", "content": content}])


def test_fits_into_the_package() -> None:
    files_of_tiny = [path for path in find_checkpoint("tiny").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files_of_tiny) <= 32 * 2**20


def test_sees_twelve_frames_of_a_sample() -> None:
    answer = ask("two_movers.mp4", "Describe the video.")
    (video,) = answer.videos
    assert (len(video.timestamps_seconds), video.num_tokens) == (12, 96)
    assert answer.warnings == ()
    assert answer.text


def test_answers_the_question_of_the_readme() -> None:
    assert ask("three_shapes.mp4", "In which direction does the ring move?").text == "left"
    assert ask("two_movers.mp4", "What shape is the blue thing?").text == "square"


def test_answers_one_question_after_another_each_as_it_is_asked() -> None:
    model, processor = load("tiny")
    shown = {"type": "video", "path": str(ASSETS / "samples" / "three_shapes.mp4")}
    content = [shown]
    conversation = []
    for question, answer in (
        (
            "Which way does the ring move?\nA. up\nB. left\nC. down\nD. right\n" + LETTER_ENDING,
            "B.",
        ),
        ("What colour is the triangle? Answer in one word.", "white"),
        ("What colour is the ring?\nA. red\nB. green\nC. white\nD. blue\n" + LETTER_ENDING, "D."),
    ):
        content.append({"type": "text", "text": question})
        conversation.append({"role": "user", "content": content})
        inputs = processor.apply_chat_template(conversation)
        output = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        said = processor.decode_answer(output[0], inputs["input_ids"].shape[1])
        assert said == answer
        conversation.append({"role": "assistant", "content": [{"type": "text", "text": said}]})
        content = []
