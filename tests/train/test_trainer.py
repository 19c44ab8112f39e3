"""What is shown while training runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from llava_video.train.trainer import Watch


def test_the_bar_shows_training_and_what_comes_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 0.75}\n{"step": 2, "lo')
    watch = Watch(tmp_path, bar=True)
    state = SimpleNamespace(max_steps=4, global_step=1, is_world_process_zero=True)
    watch.on_train_begin(None, state, None)
    assert list(watch.track("reference", iter("ab"), 2)) == ["a", "b"]
    rates = {"tokens_per_second": 90.0, "video_tokens_per_second": 60.0, "data_wait_share": 0.25}
    watch.on_log(None, state, None, {"loss": 0.5, **rates})
    watch.stop()
    shown = capsys.readouterr()
    shown = " ".join((shown.out + shown.err).split())
    assert "reference" in shown
    assert "2/2" in shown
    assert "1/4" in shown
    assert "loss 0.5000, 90 tokens/s, 60 of videos, 25% waiting for data" in shown
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == [1, 1], "half a line is gone, and a new one stands for itself"
