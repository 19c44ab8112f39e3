"""The examples run as they stand."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.cli.run import Shell

EXAMPLES = Path(__file__).parents[1] / "examples"
DOCS = EXAMPLES.parent / "docs"


def run(name: str, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", [name, *map(str, words)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_ask(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    run("ask.py", monkeypatch)
    assert capsys.readouterr().out.strip() == "left"


def test_fewer_tokens(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    run("fewer_tokens.py", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["all", "96", "video", "tokens:", "left"]
    assert [int(line.split()[1]) for line in lines] == [96, 72, 48, 48, 24, 24]


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


def test_the_page_about_capabilities(tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    shell = Shell(monkeypatch, capsys)
    page = (EXAMPLES / "capabilities.md").read_text(encoding="utf-8")
    asked = 0
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for step in block.split("$ llava-video ")[1:]:
            command, _, said = step.partition("\n")
            done = shell(*shlex.split(command))
            assert done.code == 0, done.err
            if command.startswith("ask "):
                asked += 1
                assert [line for line in done.out.splitlines() if line] == said.splitlines()
    assert asked == 8
