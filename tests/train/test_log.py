"""What is shown while training runs, and what is written down."""

import json
import struct
from pathlib import Path
from typing import get_args

import pytest
import torch
from accelerate.tracking import get_available_trackers

from llava_video.errors import InputError
from llava_video.train.devices import make_accelerator
from llava_video.train.log import LOG_FILE, Log, check_trackers
from llava_video.train.recipe import Tracker
from llava_video.train.run import train
from tests.cli.run import Shell
from tests.train.test_run import changes, recipe_for

AVAILABLE = {tracker.value for tracker in get_available_trackers()}


def lines_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]


def test_the_bar_shows_training_and_what_comes_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / LOG_FILE).write_text('{"step": 1, "loss": 0.75}\n{"step": 2, "lo')
    with Log(tmp_path, make_accelerator(), bar=True) as log:
        assert list(log.track("reference", iter("ab"), 2)) == ["a", "b"]
        log.begin(1, 4)
        log.count({"num_tokens": 90})
        log.note(torch.tensor([0.25, 0.5]), {})
        log.advance(2)
        log.write(2, grad_norm=1.0, learning_rate=0.1)
    shown = capsys.readouterr()
    assert shown.out == ""
    shown = " ".join(shown.err.split())
    assert "reference" in shown
    assert "2/2" in shown
    assert "2/4" in shown
    assert "loss 0.7500, " in shown
    assert " tokens/s, 0 of videos, 0% waiting for data" in shown
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 2], "half a line is gone"


def test_a_line_tells_of_the_updates_since_the_last_one(tmp_path: Path) -> None:
    nan = float("nan")
    values = [torch.tensor([1.0, 2.0]), torch.tensor([6.0]), torch.tensor([nan, 8.0])]
    with Log(tmp_path, make_accelerator(), bar=False, steps_per_epoch=4) as log:
        log.begin(0, 3)
        for step, value in enumerate(values, start=1):
            log.note(
                torch.tensor([1.0 * step, 0.5]), {"margin": value, "none": torch.tensor([nan])}
            )
            if step == 2:
                log.write(step, grad_norm=2.0, learning_rate=0.25)
        log.end(3)
    line, end = lines_of(tmp_path)
    assert (line["loss"], line["margin"], line["epoch"]) == (2.0, 3.0, 0.5)
    assert (line["grad_norm"], line["learning_rate"]) == (2.0, 0.25)
    assert "none" not in line, "there was nothing to take the mean of"
    assert (end["step"], end["train_loss"], end["epoch"]) == (3, 2.5, 0.75)


def test_a_tracker_whose_package_is_missing_is_found_by_a_dry_run(
    shell: Shell, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    missing = next(name for name in get_args(Tracker) if name not in AVAILABLE)
    words = changes(toy_data, small_checkpoint, tmp_path / "run", f"trackers=[{missing}]")
    for more in (["--dry-run"], []):
        done = shell("train", "projector", *words, *more)
        assert (done.code, done.out) == (2, "")
        assert f"{missing} needs its package; pip install" in done.err
    assert not (tmp_path / "run").exists()
    unknown = shell("train", "projector", *words, "trackers=[paper]", "--dry-run")
    assert (unknown.code, "trackers.0" in unknown.err) == (2, True)


def test_no_tracker_needs_no_package() -> None:
    check_trackers([])
    with pytest.raises(InputError, match="comet_ml needs its package; pip install comet-ml"):
        check_trackers([name for name in ("comet_ml",) if name not in AVAILABLE] or ["comet_ml?"])


def test_a_tracker_gets_the_values_of_the_log(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    events = pytest.importorskip("tensorboardX.proto.event_pb2")
    recipe = recipe_for(
        "projector", toy_data, small_checkpoint, tmp_path / "run", "max_steps=3",
        "trackers=[tensorboard]", "report_samples=0",
    )  # fmt: skip
    train(recipe, bar=False)
    tracked: dict[str, dict[int, float]] = {}
    for path in (tmp_path / "run" / "tensorboard").rglob("events.*"):
        data, start = path.read_bytes(), 0
        while start < len(data):  # a length, its checksum, an event, its checksum
            (length,) = struct.unpack_from("<Q", data, start)
            event = events.Event.FromString(data[start + 12 : start + 12 + length])
            start += 16 + length
            for value in event.summary.value:
                tracked.setdefault(value.tag, {})[event.step] = value.simple_value
    log = lines_of(tmp_path / "run")
    assert [line["step"] for line in log] == [1, 2, 3, 3]
    for line in log:
        for name, value in line.items():
            if name != "step":
                assert tracked[f"train/{name}"][line["step"]] == pytest.approx(value, rel=1e-6)
