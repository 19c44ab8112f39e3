"""Questions of a run of ``llava-video eval`` for lmms-eval, and its answers beside the run's.

python rows.py prepare RUN/TASK         writes rows.json, which llava_video_rows.yaml reads
python rows.py compare RUN/TASK OUT     after lmms-eval has written its samples below OUT

Only the standard library is needed, as lmms-eval has an environment of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def visual(row: dict[str, Any]) -> list[str]:
    """The video of a row."""
    return [row["file"]]


def text(row: dict[str, Any], lmms_eval_specific_kwargs: object = None) -> str:
    """The prompt of a row, as the run sent it."""
    return str(row["prompt"])


def results(row: dict[str, Any], answers: list[str]) -> dict[str, float]:
    """Whether an answer is the right letter or the right words."""
    said = answers[0].strip().rstrip(".").casefold()
    return {"accuracy": float(said == row["target"].casefold())}


def prepare(task: Path) -> None:
    """Write the rows of a run's task."""
    rows = [
        {"id": each["id"], "file": each["file"], "prompt": each["prompt"], "target": each["target"]}
        for each in _lines(task / "outcomes.jsonl")
        if each["file"]
    ]
    Path("rows.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    print(f"rows.json: {len(rows)} questions about {len({row['file'] for row in rows})} videos")


def compare(task: Path, out: Path) -> None:
    """Print how many answers are the same, and those that are not."""
    rows = json.loads(Path("rows.json").read_text(encoding="utf-8"))
    ours = {each["id"]: each["text"].strip() for each in _lines(task / "outcomes.jsonl")}
    newest = max(
        out.rglob("*samples_llava_video_rows.jsonl"), key=lambda path: path.stat().st_mtime
    )
    theirs = {rows[each["doc_id"]]["id"]: _answer(each).strip() for each in _lines(newest)}
    same = [name for name in theirs if theirs[name] == ours[name]]
    print(f"{len(same)} of {len(theirs)} answers are the same")
    for name in theirs.keys() - set(same):
        print(f"{name}: {ours[name]!r}, in lmms-eval {theirs[name]!r}")


def _answer(sample: dict[str, Any]) -> str:
    found = sample["filtered_resps"]
    while isinstance(found, list):
        found = found[0]
    return str(found)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"prepare": prepare, "compare": compare}[command](*map(Path, paths))
