"""Figures of a part, on disk as soon as they are known, and the table made of them."""

from __future__ import annotations

import argparse
import datetime
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS, TABLE = "results.jsonl", "table.md"


def out_folder() -> Path:
    """Where everything is written: ``$OUT``."""
    return Path(os.environ.get("OUT", "gpu-results"))


@dataclass(frozen=True)
class Part:
    """One part of a run: whether it rehearses, and where its figures go."""

    name: str
    rehearse: bool

    @classmethod
    def of_command_line(cls, name: str) -> Part:
        """The part that this process is."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--rehearse", action="store_true")
        return cls(name, parser.parse_args().rehearse)

    def note(self, figure: str, value: Any, goal: str = "") -> None:
        """Write down one figure: what it is with its unit, its value, and what was aimed at."""
        write(self.name, figure, value, goal)


def write(part: str, figure: str, value: Any, goal: str = "") -> None:
    """Add a line to the results; it is on disk when this returns."""
    if isinstance(value, float):
        value = float(f"{value:.4g}")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = {"part": part, "figure": figure, "value": value, "goal": goal, "time": now}
    path = out_folder() / RESULTS
    # A killed process may have left half a line.
    begun = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if begun else "") + json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
    print(f"{part}: {figure}: {value}" + (f" (goal: {goal})" if goal else ""), flush=True)


def read() -> list[dict[str, Any]]:
    """Every figure so far; half a line of a killed process is left out."""
    path = out_folder() / RESULTS
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def write_table() -> None:
    """All figures as Markdown."""
    rows = ["| part | figure | value | goal |", "|---|---|---|---|"]
    rows += [f"| {r['part']} | {r['figure']} | {r['value']} | {r['goal']} |" for r in read()]
    (out_folder() / TABLE).write_text("\n".join(rows) + "\n", encoding="utf-8")
