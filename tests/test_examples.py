"""The examples run as they stand."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
DOCS = EXAMPLES.parent / "docs"


def run(name: str, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", [name, *map(str, words)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_ask(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    run("ask.py", monkeypatch)
    assert capsys.readouterr().out.strip() == "left"


def test_adapt(monkeypatch, capsys, tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("peft")
    run("adapt.py", monkeypatch, tmp_path)
    before, after = capsys.readouterr().out.splitlines()
    assert before == "before: left"
    assert after == "after:  The ring moves left."


@pytest.mark.parametrize(
    ("name", "said"), [("ask.py", "[video] [question]"), ("adapt.py", "[folder]")]
)
def test_examples_tell_their_usage(monkeypatch, capsys, name, said) -> None:  # type: ignore[no-untyped-def]
    if name == "adapt.py":
        pytest.importorskip("peft")
    with pytest.raises(SystemExit, match="0"):
        run(name, monkeypatch, "--help")
    assert said in capsys.readouterr().out


def test_the_page_about_transformers(monkeypatch, capsys, tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "transformers.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)), {})
    assert capsys.readouterr().out.startswith("The video shows ")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_the_page_about_transformers_trains_with_trl(monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("trl", reason="trl is not installed")
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "transformers.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"^```py(?:thon)?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)), {})
    assert list((tmp_path / "run").glob("checkpoint-*/model.safetensors"))
