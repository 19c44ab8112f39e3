"""``llava-video tiny`` on the command line."""

import json

import yaml

from tests.cli.run import Shell


def test_the_recipe_of_tiny_is_the_default(shell: Shell, tmp_path) -> None:
    by_default = shell("tiny", "train", f"out={tmp_path}/new", "--dry-run")
    assert by_default.code == 0
    assert shell("tiny", "train", "tiny", f"out={tmp_path}/new", "--dry-run") == by_default
    as_json = shell("tiny", "train", f"out={tmp_path}/new", "seed=3", "--dry-run", "--json")
    assert json.loads(as_json.out) == {**yaml.safe_load(by_default.out), "seed": 3}
    assert not (tmp_path / "new").exists()


def test_what_is_no_recipe_or_no_table_is_one_line(shell: Shell, tmp_path) -> None:
    done = shell("tiny", "train", "lora", f"out={tmp_path}/new", "--dry-run")
    assert done.code == 2
    assert "lora is not a recipe" in done.err and "toyworld-base" in done.err
    done = shell("tiny", "tables", "3", "--out", tmp_path)
    assert done.code == 2
    assert done.err == "llava-video: there is no table '3' here; use one of 4, 5\n"
    assert shell("train", "tiny", f"out={tmp_path}/new").code == 2
