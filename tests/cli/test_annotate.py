"""The `annotate` verbs as a user types them."""

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from llava_video.cli.app import main
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.make_videos import write_toy_video, write_video


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def llava_video(*words):
    """What a user sees of a command; run in this process, as imports take most of its time."""
    out, err = io.StringIO(), io.StringIO()
    typed = ["llava-video", "annotate", *map(str, words)]
    with patch.object(sys, "argv", typed), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code
    return Done(code, out.getvalue(), err.getvalue())


def test_the_package_runs_as_a_module():
    words = [sys.executable, "-m", "llava_video", "annotate", "status", "nowhere"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "no ledger.sqlite in it" in error_line(done.stderr)


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    for seed in range(2):
        write_toy_video(folder / f"t{seed}.mp4", seed)
    return folder


def test_a_first_session(toys, tmp_path):
    out = tmp_path / "out"
    plan = llava_video("plan", toys, "--model", "toy", "--json")
    assert plan.returncode == 0, plan.stderr
    num_calls = json.loads(plan.stdout)["num_calls"]
    done = llava_video("run", toys, "--model", "toy", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["complete"] and found["annotated"] == 2
    assert found["totals"]["num_calls"] == num_calls
    status = json.loads(llava_video("status", out, "--json").stdout)
    assert status["videos"] == {"done": 2}
    qa_id = json.loads((out / "records.jsonl").read_text().splitlines()[0])["qas"][0]["qa_id"]
    assert "t0/L3/000" in llava_video("explain", out, qa_id).stdout
    report = llava_video("report", out)
    assert report.stdout.strip() == str(out / "report.html")
    exported = llava_video("export", out, "--format", "parquet", "--json")
    assert len(json.loads(exported.stdout)) >= 2


def error_line(stderr):
    """The one line that a user sees."""
    assert "Traceback" not in stderr
    [line] = [text for text in stderr.splitlines() if text.startswith("llava-video:")]
    return line


# A port on which nobody listens, asked twice in quick succession.
NOBODY = ["--model", "m", "--base-url", "http://127.0.0.1:9/v1"]
NOBODY += ["endpoint.attempts=2", "endpoint.max_wait_seconds=0.01"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "missing.mp4", "--out", "OUT"], "missing.mp4: no such file or folder"),
        (["run", "TOYS", *NOBODY, "--out", "OUT"], "--recipe open takes every readable video"),
        (["run", "TOYS", "--model", "toy", "--out", "TOYS"], "is not empty and not a run"),
        (["plan", "TOYS", "describe.histroy=none"], "did you mean 'describe.history'"),
        (["plan", "seed=1"], "no video is named"),
        (["run", "TOYS", "--model", "toy", "--engine", "x", "--out", "OUT"], "use local or ray"),
        (["run", "TOYS", "--model", "m", "--max-usd", "1", "--out", "OUT"], "needs a price of m"),
        (["run", "TOYS", "--recipe", "open", *NOBODY, "--out", "OUT"], "none ever succeeded"),
        (["run", "STRANGE", "--model", "toy", "--out", "OUT"], "no video was annotated; `llava"),
        (["run", "TOYS", "--model", "toy", "--out", "STRANGE/strange.mp4/x"], "cannot be written"),
        (["plan", "TOYS", "ask.types=["], "is not a YAML value"),
        (["status", "OUT"], "no ledger.sqlite in it"),
        (["explain", "OUT", "x"], "no ledger.sqlite in it"),
        (["export", "OUT"], "no run there"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, message, toys, tmp_path):
    strange = write_video(tmp_path / "strange" / "strange.mp4", size=(36, 48)).parent
    places = {"TOYS": str(toys), "OUT": str(tmp_path / "out"), "STRANGE": str(strange)}
    typed = [re.sub("TOYS|OUT|STRANGE", lambda place: places[place[0]], word) for word in words]
    done = llava_video(*typed)
    assert done.returncode == 2
    assert message in error_line(done.stderr)


def test_a_stopped_run_says_why_and_exports_what_is_done(tmp_path):
    write_video(tmp_path / "v" / "one.mp4", size=(36, 48))
    with FakeEndpoint() as fake:
        words = [
            "run",
            tmp_path / "v",
            "--recipe",
            "open",
            "--model",
            "gpt-4o",
            "--base-url",
            fake.url,
        ]
        stopped = llava_video(*words, "--max-usd", "0.001", "--out", tmp_path / "out")
        assert stopped.returncode == 2
        assert "budget of $0.001 reached" in error_line(stopped.stderr)
        assert fake.num_requests == 0
        done = llava_video(*words, "--out", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert "1 of 1 videos annotated" in done.stdout
        assert "done 1" in done.stderr  # plain lines, as this is no terminal


def test_batch_verbs(tmp_path):
    write_video(tmp_path / "v" / "one.mp4", size=(36, 48))
    words = ["batch-write", tmp_path / "v", "--recipe", "open", "--model", "gpt-4o"]
    written = llava_video(*words, "--out", tmp_path / "out", "--json")
    assert written.returncode == 0, written.stderr
    [path] = json.loads(written.stdout)
    row = {"custom_id": json.loads(Path(path).read_text())["custom_id"], "error": {"message": "x"}}
    (tmp_path / "output.jsonl").write_text(json.dumps(row))
    read = llava_video("batch-read", tmp_path / "out", tmp_path / "output.jsonl")
    assert read.stdout.strip() == "settled 0, known 0, failed 1, foreign 0"


def test_values_of_the_recipe_are_changed_behind_the_videos(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["run", toys / "t0.mp4", "export.version=1.0", "--model", "toy", "--out", "2024"]
    done = llava_video(*words, "ask.types=[temporal, count]", "--json")
    assert done.returncode == 0, done.stderr
    assert any("_1.0" in name for name in json.loads(done.stdout)["files"])
    kept = Path("2024/recipe.yaml").read_text()
    assert "version: '1.0'" in kept
    assert "  types:\n  - temporal\n  - count\n" in kept
