"""What every command has in common."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from llava_video.recipes import list_keys
from tests.cli.run import Shell


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["annotate", "run", "videos", "--out", "data"], "stamina", "annotate"),
        (["train", "lora", "--dry-run"], "accelerate", "train"),
    ],
)
def test_a_package_that_a_command_lacks_is_one_line_with_the_remedy(
    words: list[str], package: str, extra: str
) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['llava-video', *{words}]\n"
        "from llava_video.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{words[0]} needs {package}" in line
    assert f"pip install -c constraints.txt '.[{extra}]'" in line


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["train"], "train.recipe.Recipe"),
        (["tiny", "train"], "tiny.recipe.TinyRecipe"),
        (["annotate", "plan"], "annotate.recipe.Recipe"),
        (["annotate", "run"], "annotate.recipe.Recipe"),
    ],
)
def test_every_key_of_a_recipe_is_listed_without_naming_anything_else(
    words: list[str], kind: str, shell: Shell
) -> None:
    module, _, name = kind.rpartition(".")
    done = shell(*words, "--keys")
    assert done.code == 0
    shown = {line.split()[0] for line in done.out.splitlines() if line}
    keys = list(list_keys(getattr(importlib.import_module(f"llava_video.{module}"), name)))
    assert {key.name for key in keys} <= shown
    assert all(key.explanation in done.out and f"({key.type})" in done.out for key in keys)
    assert "--keys" in shell(*words, "--help").out


def test_text_and_paths_that_look_like_numbers_are_text_and_paths(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell("tiny", "train", "out=2024", "--dry-run")
    assert (done.code, done.out.splitlines()[0]) == (0, "out: '2024'")
    done = shell("train", "lora", "out=2024", "model=1e5", "mixture=7")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "valid path" not in done.err and "1e5" in done.err
