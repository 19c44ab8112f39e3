"""Questions about many videos: the answers of asking one by one, and a file that goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import llava_video as lv
from llava_video.chat.protocol import AnswerOptions
from llava_video.chat.questions_file import Question
from llava_video.cli.answering.many_answers import answer_each
from llava_video.cli.answering.one_answer import Ask
from llava_video.cli.answering.request import Job
from tests.cli.run import Shell

SAMPLES = Path(lv.__file__).parent / "assets" / "samples"
QUESTIONS = ["In which direction does the ring move?", "How many shapes are there?"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for video in SAMPLES.glob("*.mp4"):
        shutil.copy(video, folder)
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.txt"
    file.write_text("\n".join(QUESTIONS) + "\n")
    return file


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_answers_are_those_of_asking_one_by_one(
    shell: Shell, folder: Path, questions: Path
) -> None:
    done = shell("ask", folder, "--questions", questions, "--json")
    assert done.code == 0, done.err
    found = {(r["video"], r["question"]): r for r in records(done.out)}
    assert len(found) == 3 * len(QUESTIONS)
    for (video, question), record in found.items():
        alone = json.loads(shell("ask", video, question, "--json").out)
        same = ("answer", "num_frames", "timestamps_seconds", "num_video_tokens", "representation")
        assert {name: record[name] for name in same} == {name: alone[name] for name in same}


def test_each_video_is_decoded_and_encoded_once(folder: Path) -> None:
    ask = Ask(AnswerOptions(), "tiny", "cpu", None, False, None, None, None, None)
    model = ask.open().model
    asked = tuple(Question(str(number), text) for number, text in enumerate(QUESTIONS))
    jobs = [Job((str(video),), asked) for video in sorted(folder.glob("*.mp4"))]
    assert len(list(answer_each(model, ask, jobs))) == 6
    assert model.counts.num_frames_decoded == model.counts.num_frames_encoded == 3 * 12


def test_a_terminal_gets_the_video_the_question_and_the_answer(shell: Shell, folder: Path) -> None:
    done = shell("ask", folder / "t*.mp4", QUESTIONS[1])
    names = [folder / "three_shapes.mp4", folder / "two_movers.mp4"]
    assert re.fullmatch(
        "".join(f"{name}: {re.escape(QUESTIONS[1])}\n\\d\n\n" for name in names), done.out
    )
    assert "tiny knows only toyworld" in done.err


def test_a_file_of_answers_goes_on_where_it_ended(
    shell: Shell, folder: Path, questions: Path, tmp_path: Path
) -> None:
    out, words = tmp_path / "new" / "answers.jsonl", ["ask", folder, "--questions", questions]
    assert shell(*words, "--out", out).code == 0
    whole = out.read_text()
    assert [(r["id"], r["question"]) for r in records(whole)] == [
        *zip("12", QUESTIONS, strict=True)
    ] * 3
    lines = whole.splitlines(keepends=True)
    out.write_text("".join(lines[:3]) + lines[3][:20])  # as a kill leaves it
    done = shell(*words, "--out", out)
    assert (done.code, done.out) == (0, "")
    assert "3 answers are there already" in done.err
    kept = [line for line in out.read_text().splitlines(keepends=True) if line.endswith("}\n")]
    answer = lambda r: (r["video"], r["question"], r["answer"])  # noqa: E731
    assert sorted(map(answer, records("".join(kept)))) == sorted(map(answer, records(whole)))
    before = out.read_bytes()
    assert shell(*words, "--out", out).code == 0
    assert out.read_bytes() == before


def test_nothing_is_asked_twice_after_a_kill(folder: Path, questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    words = [sys.executable, "-m", "llava_video", "ask", folder, "--questions", questions]
    for number in range(12):
        shutil.copy(folder / "two_movers.mp4", folder / f"{number}.mp4")
        with (folder / f"{number}.mp4").open("ab") as file:
            file.write(bytes([number]))  # another file
    command = [*map(str, words), "--out", str(out)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    written = out.read_text().count("\n")
    assert written >= 1
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    found = records(out.read_text())
    assert len({(r["video"], r["id"]) for r in found}) == len(found) == 15 * len(QUESTIONS)


def test_a_file_with_other_settings_is_not_mixed(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    words = ["ask", folder / "two_movers.mp4", QUESTIONS[1], "--out", out]
    assert shell(*words).code == 0
    before = out.read_bytes()
    done = shell(*words, "--system", "Be brief.")
    assert (done.code, out.read_bytes()) == (2, before)
    assert "asked for with system not given, now Be brief.; choose another --out" in done.err


def test_a_video_that_cannot_be_read_does_not_stop_the_others(
    shell: Shell, folder: Path, questions: Path, tmp_path: Path
) -> None:
    (folder / "a_letter.mp4").write_text("no film")
    out = tmp_path / "answers.jsonl"
    done = shell("ask", folder, "--questions", questions, "--out", out)
    assert done.code == 1
    assert len(records(out.read_text())) == 3 * len(QUESTIONS)
    assert done.err.count("a_letter.mp4") == 1
    assert "1 of 4 videos could not be asked about; all others are answered" in done.err
    (folder / "a_letter.mp4").unlink()
    assert shell("ask", folder, "--questions", questions, "--out", out).code == 0


def test_the_same_file_under_two_names_has_an_answer_under_both(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "two_movers.mp4", folder / "z.mp4")
    found = records(shell("ask", folder, QUESTIONS[1], "--json").out)
    assert [Path(r["video"]).name for r in found][-2:] == ["two_movers.mp4", "z.mp4"]
    assert found[-1]["answer"] == found[-2]["answer"]
    assert found[-1]["warnings"] == [f"the same file as {folder}/two_movers.mp4, which was asked"]


def test_a_folder_without_videos_is_one_line(shell: Shell, tmp_path: Path) -> None:
    done = shell("ask", tmp_path, "What?")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"llava-video: {tmp_path}: no video in this folder; name one that holds videos\n"
    )


def test_an_output_that_cannot_be_written_is_said_before_anything_is_asked(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "answers.jsonl", folder):
        done = shell("ask", folder, "What?", "--out", out)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert f"llava-video: {out}: cannot be written" in done.err


def test_a_full_disk_loses_no_answer(
    shell: Shell, folder: Path, questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        f"sys.argv = ['llava-video', 'ask', {str(folder)!r}, '--questions', {str(questions)!r}, "
        f"'--out', {str(out)!r}]\nfrom llava_video.cli.app import main; main()"
    )
    full = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert full.returncode == 2
    assert full.stderr.splitlines()[-1].startswith(f"llava-video: {out}: cannot be written (No sp")
    num_whole = out.read_text().count("\n")
    assert 0 < num_whole < 6
    assert shell("ask", folder, "--questions", questions, "--out", out).code == 0
    whole = [line for line in out.read_text().splitlines() if line.endswith("}")]
    assert len({(r["video"], r["id"]) for r in records("\n".join(whole))}) == len(whole) == 6


def test_options_for_one_question_are_refused(shell: Shell, folder: Path) -> None:
    for option in ("--stream", "--why"):
        done = shell("ask", folder, "What?", option)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "are for one question" in done.err


def test_edited_subtitles_are_other_settings(shell: Shell, folder: Path, tmp_path: Path) -> None:
    video = next(folder.glob("*.mp4"))
    subtitles = tmp_path / "a.srt"
    words = ("ask", video, "What?", "--subtitles", subtitles, "--out", tmp_path / "answers.jsonl")
    assert shell(*words).code == 2  # there are none yet
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    assert shell(*words).code == 0
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nGoodbye\n")
    done = shell(*words)
    assert "asked for with subtitles" in done.err
    assert done.code == 2


def test_subtitles_are_those_of_one_video(shell: Shell, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n")
    done = shell("ask", folder, "What?", "--subtitles", tmp_path / "a.srt")
    assert done.code == 2
    assert "--subtitles are those of one video, 3 are asked about" in done.err
