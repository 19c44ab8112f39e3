"""The script for a GPU runs to its end on a CPU with small shapes, and goes on where it stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("correctness", "inference", "training", "decoding", "tiny")


def rehearse(out: Path, *options: str) -> list[dict[str, str]]:
    """Every figure that is in the folder afterwards."""
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--rehearse", "--seconds", "600"]
    environment = {**os.environ, "OUT": str(out), "PYTHON": sys.executable}
    done = subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, check=False
    )
    logs = "".join(log.read_text()[-2000:] for log in out.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_part_can_be_rehearsed_and_is_run_once(tmp_path: Path) -> None:
    figures = rehearse(tmp_path)
    ended = [line["part"] for line in figures if line["figure"] == "ended after s"]
    assert ended == list(PARTS)
    assert not [line for line in figures if "FAILED" in str(line["value"])]
    table = (tmp_path / "table.md").read_text()
    assert all(f"| {part} | ended after s |" in table for part in PARTS)

    # A killed run leaves half a line; what it had ended is not run again.
    results = tmp_path / "results.jsonl"
    kept = [line for line in results.read_text().splitlines() if '"decoding"' not in line]
    results.write_text("\n".join(kept) + '\n{"part": "deco')
    again = subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--rehearse"],
        env={**os.environ, "OUT": str(tmp_path), "PYTHON": sys.executable},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert again.stdout.count("ended after") == 1
    assert "decoding: ended after" in again.stdout


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--parts", "cooking"],
        env={**os.environ, "OUT": str(tmp_path), "PYTHON": sys.executable},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "cooking" in done.stderr
