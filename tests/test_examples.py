"""The examples run as they stand."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", [name, *map(str, words)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_ask(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    run("ask.py", monkeypatch)
    assert capsys.readouterr().out.strip() == "down"


def test_adapt(monkeypatch, capsys, tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("peft")
    run("adapt.py", monkeypatch, tmp_path)
    before, after = capsys.readouterr().out.splitlines()
    assert before == "before: down"
    assert after == "after:  The ring moves down."
