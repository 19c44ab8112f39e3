"""``convert`` on the command line."""

import json
from pathlib import Path

from llava_video.checkpoints.load import load_config
from tests.cli.run import Shell
from tests.model.released import GOLDENS


def test_converts_and_says_what_was_done(shell: Shell, tmp_path: Path) -> None:
    done = shell("convert", GOLDENS, tmp_path / "native")
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("released -> native: 70 tensors")
    assert "no tokenizer" in done.err
    result = json.loads(shell("convert", tmp_path / "native", tmp_path / "back", "--json").out)
    assert (result["layout"], result["num_tensors"]) == ("released", 70)
    assert load_config(tmp_path / "back").to_dict() == load_config(GOLDENS).to_dict()


def test_refusals_are_one_line(shell: Shell, tmp_path: Path) -> None:
    for words in ((tmp_path,), (tmp_path / "x", "--to", "gguf")):
        done = shell("convert", GOLDENS, *words)
        assert (done.code, done.err.count("\n")) == (2, 1)
    done = shell("convert", GOLDENS, tmp_path / "x", "--to", "llava-onevision")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "12,545" in done.err
