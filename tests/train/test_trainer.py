"""What is shown while training runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from llava_video.train.trainer import Watch

from llava_video.checkpoints.load import find_checkpoint, load_config
from llava_video.train.run import _build, _checkpoint_activations
from tests.train.test_run import recipe_for


@pytest.mark.parametrize("name", ["projector", "lora", "video-sft"])
def test_a_frozen_vision_encoder_gets_no_gradients(
    name: str, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(name, toy_data, small_checkpoint, tmp_path / "run")
    directory = find_checkpoint(recipe.model)
    model = _build(recipe, directory, load_config(directory, None), torch.float32).train()
    _checkpoint_activations(model)
    frames = torch.rand(3, 3, 64, 64)
    is_frozen = recipe.learning_rates.vision_encoder is None
    inner = model if recipe.lora is None else model.get_base_model()
    assert inner.model.encode_frames(frames).requires_grad is not is_frozen
    assert inner.get_video_features(frames, [3])[0].requires_grad, "the projector learns"


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
