"""The script for a GPU runs to its end on a CPU with small shapes, and goes on where it stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import fork_module

ROOT = Path(__file__).parents[1]


def run_script(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), *options],
        env={**os.environ, "OUT": str(out), "PYTHON": sys.executable},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def figures(out: Path) -> list[dict[str, str]]:
    """Every figure that is in the folder."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("part", ["correctness", "inference", "training", "tiny"])
def test_every_part_can_be_rehearsed(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (ROOT, ROOT / "benchmarks"):  # as the script does
        monkeypatch.syspath_prepend(folder)
    log = tmp_path / "log"
    process = fork_module(f"gpu.{part}", ["--rehearse"], {"OUT": str(tmp_path)}, log)
    process.join(300)
    assert process.exitcode == 0, log.read_text()[-4000:]
    found = figures(tmp_path)
    assert len(found) > 3
    assert {line["part"] for line in found} == {part}
    assert not [line for line in found if "FAILED" in str(line["value"])]


def test_a_part_is_run_once(tmp_path: Path) -> None:
    done = run_script(tmp_path, "--rehearse", "--parts", "decoding")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "decoding: ended after" in done.stdout
    assert "| decoding | ended after s |" in (tmp_path / "table.md").read_text()
    again = run_script(tmp_path, "--rehearse", "--parts", "decoding")
    assert (again.returncode, again.stdout) == (0, "")

    # A killed run leaves half a line; what it had not ended is run again.
    results = tmp_path / "results.jsonl"
    kept = [line for line in results.read_text().splitlines() if "ended after" not in line]
    results.write_text("\n".join(kept) + '\n{"part": "deco')
    again = run_script(tmp_path, "--rehearse", "--parts", "decoding")
    assert again.stdout.count("ended after") == 1
    assert "decoding: ended after" in again.stdout


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    done = run_script(tmp_path, "--parts", "cooking")
    assert done.returncode == 2
    assert "cooking" in done.stderr
