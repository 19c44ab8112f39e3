"""``chat``: line by line from a pipe, and on a terminal with history and Ctrl-C."""

import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import llava_video as lv
from llava_video.pages.terminal import harmless
from llava_video.representation import make_layout
from tests.cli.run import Done, Shell

SAMPLES = Path(lv.__file__).parent / "assets" / "samples"
DIRECTION = "In which direction does the ring move?"
NUMBER = "How many shapes are there?"
TOOK = re.compile(r"\(([\d,]+) frames decoded, ([\d,]+) encoded, ([\d,]+) of ([\d,]+) tokens pre")
PROMPT_BEGINS, PROMPT_ENDS = "\x1b[?2004h", "\x1b[?2004l"
"""What switches bracketed paste on and off."""

Talk = Callable[..., Done]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLES / "three_shapes.mp4", tmp_path / "clip.mp4"))


@pytest.fixture
def talk(shell: Shell, video: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Run ``chat`` with lines on standard input."""

    def run(*lines: str, words: tuple[object, ...] = ()) -> Done:
        content = "".join(f"{line}\n" for line in lines).encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return shell("chat", *(words or [video]))

    return run


def test_a_second_question_decodes_and_encodes_nothing(talk: Talk) -> None:
    done = talk(DIRECTION, "", NUMBER)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [lines[0], lines[3]] == [f"> {DIRECTION}", f"> {NUMBER}"]
    assert [lines[1], lines[4]] == ["left", "3"]
    first, second = (tuple(map(int, found)) for found in TOOK.findall(done.out))
    assert first == (12, 12, first[3], first[3])
    assert second[:2] == (0, 0)
    assert 0 < second[2] < 40 < second[3]


def test_answers_are_those_of_a_session_in_python(talk: Talk, video: Path) -> None:
    done = talk("Describe the video.", NUMBER)
    session = lv.chat(video)
    for question in ("Describe the video.", NUMBER):
        assert f"> {question}\n{session.ask(question).text}\n(" in done.out


def test_what_was_seen_is_shown_and_drawn(talk: Talk, tmp_path: Path) -> None:
    sheet, tape = tmp_path / "sheet.png", tmp_path / "tape.svg"
    done = talk(DIRECTION, "/frames", f"/frames {sheet}", "/tokens", f"/tokens {tape}")
    assert done.code == 0, done.err
    assert "12 frames of 6.70 s, 96 video tokens, V = 12,64,3,2 average" in done.out
    assert "at 0.00, 0.60, " in done.out
    assert "slow             4 frames x (4 x 4 = 16)" in done.out
    assert Image.open(sheet).width > 8 * 144
    assert "96 video tokens" in tape.read_text()


def test_another_representation_is_used_from_then_on(talk: Talk) -> None:
    done = talk(NUMBER, "/representation 6,64,1,2", NUMBER, "/frames", "/representation")
    assert done.code == 0, done.err
    assert done.out.count("V = 6,64,1,2 average\n") == 3
    assert "6 frames of 6.70 s, 96 video tokens" in done.out


def test_undo_takes_back_the_last_question(talk: Talk) -> None:
    done = talk(DIRECTION, "/undo", DIRECTION)
    (_, _, _, first), (_, _, _, second) = TOOK.findall(done.out)
    assert first == second  # the prompt is the same again
    assert f"took back {DIRECTION!r}" in done.out


def test_a_session_is_saved_and_continued(talk: Talk, tmp_path: Path) -> None:
    file, page = tmp_path / "talk.json", tmp_path / "talk.html"
    assert talk(DIRECTION, f"/save {file}", f"/save {page}").code == 0
    assert "data:image/jpeg" in page.read_text()
    done = talk(NUMBER, f"/save {file}", words=("--session", file))
    assert done.code == 0, done.err
    session = lv.Session.load(file)
    assert [turn.question for turn in session.turns] == [DIRECTION, NUMBER]
    (took,) = TOOK.findall(done.out)
    assert int(took[3]) > 160  # both turns are in the prompt


def test_a_session_keeps_its_options_but_those_that_are_given(talk: Talk, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    first = ("--representation", "8,64,1,2", "--temperature", "0.7", "--seed", "3", "--fps", "2")
    assert talk(DIRECTION, f"/save {file}", words=first).code == 0
    second = ("--session", file, "--temperature", "0", "--end", "1.5")
    assert talk(f"/save {file}", words=second).code == 0
    options = lv.Session.load(file).options
    assert str(options.representation) == "8,64,1,2 average"
    assert (options.temperature, options.seed) == (0.0, 3)
    assert (options.sampling.fps, options.sampling.end_seconds) == (2.0, 1.5)
    third = ("--session", file, "--num-frames", "3")
    assert talk(f"/save {file}", words=third).code == 0
    sampling = lv.Session.load(file).options.sampling
    assert (sampling.num_frames, sampling.fps, sampling.end_seconds) == (3, None, 1.5)
    limit = ("--session", file, "--max-video-tokens", "100")
    assert talk(f"/save {file}", words=limit).code == 0
    chosen = lv.Session.load(file).options.representation
    assert chosen is not None
    assert make_layout(chosen, chosen.max_frames).num_tokens <= 100


def test_a_session_whose_video_is_gone_is_one_line(talk: Talk, video: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    talk(DIRECTION, f"/save {file}")
    video.unlink()
    done = talk(NUMBER, words=("--session", file))
    assert (done.code, done.out) == (2, "")
    assert done.err == f"llava-video: {video}: is gone; put back what the session {file} shows\n"


def test_another_file_may_be_shown_on_the_way(talk: Talk) -> None:
    other = SAMPLES / "two_movers.mp4"
    done = talk(NUMBER, f"/show {other}", NUMBER, "/frames")
    assert done.code == 0, done.err
    assert f"{other}: 12 frames of 5.40 s" in done.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/frames", "the model saw nothing yet; ask something first"),
        ("/undo", "there is no answer to take back"),
        ("/nothing", "/nothing: no such command; /help lists them"),
        ("/save talk.txt", "/save needs a file that ends in .json, or in .html"),
        ("/save", "/save needs a file"),
        ("/show", "/show needs a file"),
        ("/show gone.mp4", "gone.mp4: cannot be read (No such file"),
        ("/representation 6,64,1", "is not a video representation"),
        ("/representation 6,64,1,9", "would keep no token"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_the_talk_goes_on(
    talk: Talk, line: str, message: str
) -> None:
    done = talk(line, DIRECTION)
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1
    assert "\nleft\n" in done.out


def test_help_lists_the_commands_and_quit_leaves(talk: Talk) -> None:
    done = talk("/help", "/quit", DIRECTION)
    assert done.code == 0
    for name in ("/frames", "/tokens", "/why", "/representation", "/save", "/undo", "/quit"):
        assert f"\n{name} " in done.out
    assert "left" not in done.out.splitlines()


class Tty:
    """A program on a terminal of its own."""

    def __init__(self, *words: object) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        # Ctrl-C may be ignored here, which programs inherit.
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from llava_video.cli.app import main; main()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str, count: int = 1, num_more: int = 0) -> None:
        """Read until a text was shown so often, and so many characters more than now."""
        deadline, num_characters = time.monotonic() + 90, len(self.shown) + num_more
        while self.shown.count(text) < count or len(self.shown) < num_characters:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown[-2000:]!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self.shown += os.read(self._master, 65536).decode(errors="replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def tty() -> Callable[..., Tty]:
    programs: list[Tty] = []

    def start(*words: object) -> Tty:
        programs.append(Tty(*words))
        return programs[-1]

    yield start  # type: ignore[misc]
    for program in programs:
        program.close()


def test_on_a_terminal_arrow_up_brings_the_last_question_back(
    tty: Callable[..., Tty], video: Path
) -> None:
    program = tty("chat", video)
    program.wait_for("/help lists commands")
    program.wait_for(f"video {video}")
    program.type(f"{DIRECTION}\r")
    program.wait_for("tokens prefilled")
    program.type("\x1b[A\r")
    program.wait_for("tokens prefilled", 2)
    program.type("/quit\r")
    assert program.process.wait(60) == 0
    first, second = TOOK.findall(program.shown)
    assert first[0] != "0" and second[0] == "0"
    asked_again = program.shown.partition("tokens prefilled")[2]
    assert DIRECTION in asked_again


def test_ctrl_c_stops_an_answer_and_keeps_the_conversation(
    tty: Callable[..., Tty], small_checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    program = tty("chat", video, "--model", small_checkpoint, "--max-new-tokens", 100_000)
    program.wait_for(f"video {video}")
    program.type("What?\r")
    program.wait_for(PROMPT_ENDS)
    program.wait_for("What?", num_more=40)  # the answer is on its way
    program.process.send_signal(signal.SIGINT)
    program.wait_for("stopped; the conversation continues")
    program.type(f"/save {file}\r")
    program.wait_for(f"wrote {file}")
    program.wait_for(PROMPT_BEGINS, 3)
    program.type("\x03")  # at the prompt it ends nothing
    program.wait_for("Ctrl-D or /quit leaves")
    program.wait_for(PROMPT_BEGINS, 4)
    program.type("\x04")
    assert program.process.wait(60) == 0
    (turn,) = lv.Session.load(file, lv.LocalModel.load("tiny")).turns
    assert turn.answer.finish_reason == "cancelled"
    assert harmless(turn.answer.text) in program.shown.replace("\r\n", "\n")


def test_why_shows_every_frame_and_draws_it(talk: Talk, tmp_path: Path) -> None:
    drawn = tmp_path / "why.svg"
    done = talk(DIRECTION, NUMBER, f"/why {drawn}")
    assert done.code == 0, done.err
    shown = re.findall(r"^ +([\d.]+) s  (?:slow|fast) +([+-][\d.]+)", done.out, re.MULTILINE)
    session = lv.chat(SAMPLES / "three_shapes.mp4")
    for question in (DIRECTION, NUMBER):
        session.ask(question)
    turn = session.turns[-1]
    influence = session.model.influence(session.conversation_of(turn), turn.answer.text)  # type: ignore[attr-defined]
    assert [(float(at), float(nats)) for at, nats in shown] == [
        (pytest.approx(span.start_seconds), pytest.approx(span.influence, abs=0.02))
        for span in influence.spans
    ]
    assert drawn.read_text().count("<title>frame ") == 2 * 12
