"""``ask --keep``, ``chat --keep``, ``ps`` and ``stop``, as people type them."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import llava_video as lv
from llava_video.chat.keep.status import kept_models
from llava_video.cli.answering import options
from llava_video.errors import InputError
from tests.chat.keep.processes import own_folder, wait_until
from tests.cli.run import Shell

SAMPLES = Path(lv.__file__).parent / "assets" / "samples"
FIRST, SECOND = SAMPLES / "three_shapes.mp4", SAMPLES / "two_movers.mp4"
NUMBER = "How many shapes are there?"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with own_folder() as folder:
        yield folder


@pytest.fixture(autouse=True)
def nothing_is_said_of_keeping(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAVA_VIDEO_KEEP")


def test_where_nothing_is_kept_ps_and_stop_say_so(shell: Shell) -> None:
    assert shell("ps").out == shell("stop").out == "no model is kept ready\n"
    assert shell("ps", "--json").out == "[]\n"
    done = shell("stop", "tiny")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "llava-video: tiny: is not kept ready; `llava-video ps` lists the models that are\n"
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1.5h", 5400), ("90", 90), ("0", 0)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert options.parse_keep(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "5 weeks", "inf"])
def test_what_is_no_time_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="is not a time; write it like 30s, 5m or 1h"):
        options.parse_keep(text)


def test_a_kept_model_answers_questions_of_every_kind(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAVA_VIDEO_KEEP", "2m")
    together = shell("ask", FIRST, SECOND, NUMBER, "--json")
    assert together.code == 0, together.err
    assert [video["source"] for video in json.loads(together.out)["videos"]] == [
        str(FIRST), str(SECOND)
    ]  # fmt: skip
    (listed,) = json.loads(shell("ps", "--json").out)
    assert (listed["model"], listed["device"], listed["is_busy"]) == ("tiny", "cpu", False)
    assert 100 < listed["seconds_left"] <= 120

    questions, out = tmp_path / "questions.txt", tmp_path / "answers.jsonl"
    questions.write_text(f"{NUMBER}\nIn which direction does the ring move?\n")
    done = shell("ask", FIRST, SECOND, "--questions", questions, "--out", out)
    assert done.code == 0, done.err
    assert len(out.read_text().splitlines()) == 4

    lines = f"{NUMBER}\n/representation 6,64,1,2\n{NUMBER}\n/why\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    talk = shell("chat", FIRST)
    assert talk.code == 0, talk.err
    assert "(0 frames decoded, 0 encoded" in talk.out
    assert "V = 6,64,1,2 average" in talk.out
    assert talk.out.count(" s  slow") == 6
    (after,) = json.loads(shell("ps", "--json").out)
    assert after["pid"] == listed["pid"]

    table = shell("ps").out
    assert "tiny" in table
    assert "ready, for" in table
    assert shell("stop", "tiny").out == "tiny: is not kept any more\n"
    assert shell("ps").out == "no model is kept ready\n"


def test_ctrl_c_ends_the_answer_and_not_the_model(small_checkpoint: Path) -> None:
    words = ["ask", FIRST, "What?", "--model", small_checkpoint, "--max-new-tokens", 100_000]
    # Ctrl-C may be ignored here, which programs inherit.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from llava_video.cli.app import main; main()"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words), "--stream", "--keep", "2m"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert program.stdout is not None
    assert program.stdout.read(20)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "Traceback" not in errors
    wait_until(lambda: [kept.is_busy for kept in kept_models()] == [False])


def test_where_no_model_can_be_kept_it_is_said_and_answered_without(
    shell: Shell, folder: Path
) -> None:
    folder.mkdir(exist_ok=True)  # by the first process that is kept, which may be none yet
    folder.chmod(0o755)
    try:
        done = shell("ask", FIRST, NUMBER, "--keep", "5m", "--json")
        refused = f"{folder}: others can open it; run `chmod 700 {folder}`"
        assert done.err == f"{refused}; answering without it\n"
        assert json.loads(done.out)["answer"] == "3"
        assert shell("ask", FIRST, NUMBER, "--json").err == ""  # nobody asked for it
        assert shell("ps").err == f"llava-video: {refused}\n"
    finally:
        folder.chmod(0o700)


def test_a_long_start_is_remarked_on_unless_something_was_said_of_keeping(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "LONG_START_SECONDS", 0.0)
    hint = "with --keep 5m the next call finds the model ready"
    assert hint in shell("ask", FIRST, NUMBER).err
    monkeypatch.setenv("LLAVA_VIDEO_KEEP", "0")
    assert hint not in shell("ask", FIRST, NUMBER).err
