"""Sessions: what the model gets, undo, interruption, save and load."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import llava_video as lv
from llava_video.chat.protocol import Answered, AnswerOptions, Sampling, Usage
from llava_video.chat.scripted import ScriptedModel
from llava_video.chat.session import Session
from llava_video.chat.transcript import describe_usage
from llava_video.errors import InputError, LlavaVideoError
from llava_video.representation import VideoRepresentation

SAMPLES = Path(lv.__file__).parent / "assets" / "samples"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLES / "three_shapes.mp4", tmp_path / "clip.mp4"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (20, 20), "green").save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_the_model_sees_the_files_once_and_every_turn_again(video: Path, image: Path) -> None:
    model = ScriptedModel(["one two", "three"])
    session = Session(model, [video], system="Be brief.")
    session.ask("First?")
    session.show(image)
    session.ask("Second?")
    text = lambda question: {"type": "text", "text": question}  # noqa: E731
    assert model.asked[1][0] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "video", "video": str(video)}, text("First?")]},
        {"role": "assistant", "content": "one two"},
        {"role": "user", "content": [{"type": "image", "image": str(image)}, text("Second?")]},
    ]
    assert model.asked[0][0] == [
        *model.asked[1][0][:1],
        model.asked[1][0][1],
    ]


def test_an_answer_streams_and_becomes_a_turn(video: Path) -> None:
    session = Session(ScriptedModel(["one two three"]), [video])
    options = AnswerOptions(max_new_tokens=2)
    assert [piece.text for piece in session.stream("Q?", options)] == ["one", " two"]
    (turn,) = session.turns
    assert (turn.answer.text, turn.answer.finish_reason, turn.options) == (
        "one two",
        "length",
        options,
    )


def test_undo_shows_the_files_of_the_turn_with_the_next_question(video: Path, image: Path) -> None:
    model = ScriptedModel(["one", "two"])
    session = Session(model, [video])
    session.ask("First?")
    session.show(image)
    before = session.conversation("Second?")
    assert session.undo().question == "First?"
    assert session.turns == []
    assert [file.name for file in session.files] == [str(video), str(image)]
    with pytest.raises(InputError, match="no answer to take back"):
        session.undo()
    session.ask("First?")
    assert [part["type"] for part in model.asked[-1][0][0]["content"]] == ["video", "image", "text"]
    assert len(before) == 3


class Interrupted(ScriptedModel):
    """Ctrl-C comes after so many pieces."""

    def __init__(self, num_pieces: int) -> None:
        super().__init__(["one two three"] * 9)
        self.num_pieces = num_pieces

    def answer(self, conversations, options):  # type: ignore[no-untyped-def]
        for number, piece in enumerate(super().answer(conversations, options)):
            if number == self.num_pieces:
                raise KeyboardInterrupt
            yield piece


def test_an_answer_that_ctrl_c_stops_is_kept_as_far_as_it_came(video: Path) -> None:
    session = Session(Interrupted(2), [video])
    with pytest.raises(KeyboardInterrupt):
        session.ask("Q?")
    assert session.turns[0].answer.text == "one two"
    assert session.turns[0].answer.finish_reason == "cancelled"
    assert session.conversation("Next?")[1] == {"role": "assistant", "content": "one two"}


def test_an_answer_without_text_yet_is_no_turn_and_keeps_its_files(video: Path) -> None:
    session = Session(Interrupted(0), [video])
    with pytest.raises(KeyboardInterrupt):
        session.ask("Q?")
    assert session.turns == []
    assert [file.name for file in session.files] == [str(video)]


def test_closing_the_stream_stops_the_model(video: Path) -> None:
    session = Session(ScriptedModel(["one two three"]), [video])
    pieces = session.stream("Q?")
    next(pieces)
    pieces.close()
    assert session.turns[0].answer == Answered(0, "one", "cancelled")


def test_a_failed_answer_leaves_the_session_as_it_was(video: Path) -> None:
    session = Session(ScriptedModel(["one"]), [video])
    session.ask("First?")
    with pytest.raises(LlavaVideoError):
        session.ask("Second?")
    with pytest.raises(InputError, match="the question is empty"):
        session.ask("  ")
    assert [turn.question for turn in session.turns] == ["First?"]


def test_files_that_are_missing_or_shown_twice_are_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4"):
        Session(ScriptedModel([]), [tmp_path / "gone.mp4"])
    session = Session(ScriptedModel(["one"]), [video])
    session.ask("Q?")
    copy = shutil.copy(video, tmp_path / "copy.mp4")
    with pytest.raises(InputError, match=r"copy\.mp4: the same file as .*clip\.mp4"):
        session.show(copy)


def talk(folder: Path) -> Session:
    """Two turns of tiny about a video and an image, with options of every kind."""
    options = AnswerOptions(
        stop=("never",),
        sampling=Sampling(num_frames=4, start_seconds=1.0),
        representation=VideoRepresentation(max_frames=6, grid_side=8),
    )
    session = lv.chat(folder / "clip.mp4", system="Answer.", options=options)
    session.ask("In which direction does the ring move?")
    session.show(folder / "picture.png")
    session.ask("How many shapes are there?", AnswerOptions(max_new_tokens=3))
    return session


def test_a_saved_session_goes_on_as_if_it_had_not_ended(
    video: Path, image: Path, tmp_path: Path
) -> None:
    session = talk(tmp_path)
    (tmp_path / "saved").mkdir()
    session.save(tmp_path / "saved" / "talk.json")
    again = Session.load(tmp_path / "saved" / "talk.json")
    assert again.turns == session.turns
    assert (again.system, again.options) == (session.system, session.options)
    question = "What colour is the ring?"
    assert again.conversation(question) == session.conversation(question)
    assert again.ask(question).text == session.ask(question).text


def test_files_are_found_beside_the_session_wherever_it_lies(
    video: Path, image: Path, tmp_path: Path
) -> None:
    session = talk(tmp_path)
    session.save(tmp_path / "talk.json")
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (video, image, tmp_path / "talk.json"):
        shutil.move(file, moved / file.name)
    again = Session.load(moved / "talk.json")
    assert [file.name for file in again.files] == [str(moved / f.name) for f in (video, image)]
    assert again.videos[0].source == str(moved / "clip.mp4")
    again.export(moved / "talk.html")


def test_a_video_that_is_gone_or_has_changed_is_one_line_with_the_remedy(
    video: Path, image: Path, tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    talk(tmp_path).save(file)
    content = video.read_bytes()
    video.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    with pytest.raises(InputError, match=r"clip\.mp4: has changed since .*put the old file back"):
        Session.load(file)
    video.unlink()
    with pytest.raises(InputError, match=r"clip\.mp4: is gone; put back") as error:
        Session.load(file)
    assert "\n" not in str(error.value)
    video.write_bytes(content)
    assert len(Session.load(file).turns) == 2


def test_a_video_that_changed_during_the_session_cannot_be_saved(video: Path) -> None:
    session = Session(ScriptedModel(["one"]), [video])
    session.ask("Q?")
    video.write_bytes(video.read_bytes() + b"more")
    with pytest.raises(InputError, match=r"clip\.mp4: has changed since it was asked about"):
        session.save(video.with_suffix(".json"))
    assert not video.with_suffix(".json").exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"llava_video_session": 9}', '{"llava_video_session": 1}']
)
def test_what_is_no_session_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "talk.json"
    file.write_text(content)
    with pytest.raises(InputError, match=r"talk\.json: not a session"):
        Session.load(file, ScriptedModel([]))


def test_a_session_with_a_wrong_value_is_refused(video: Path, image: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    talk(tmp_path).save(file)
    record = json.loads(file.read_text())
    record["turns"][0]["answer"]["usage"]["more"] = 3
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"talk\.json: not a session that can be read"):
        Session.load(file)


def test_paths_in_the_file_are_relative(video: Path, image: Path, tmp_path: Path) -> None:
    session = talk(tmp_path)
    session.save(tmp_path / "talk.json")
    record = json.loads((tmp_path / "talk.json").read_text())
    assert [file["path"] for file in record["files"]] == ["clip.mp4", "picture.png"]


def test_what_an_answer_took_is_one_phrase() -> None:
    assert describe_usage(Usage(3412, 9, 0, 0, 12)) == (
        "0 frames decoded, 0 encoded, 12 of 3,412 tokens prefilled"
    )
