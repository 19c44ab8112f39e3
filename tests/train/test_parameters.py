"""What is trained gets gradients, and nothing else does."""

from pathlib import Path

import pytest
import torch

from llava_video.checkpoints.load import find_checkpoint, load_config
from llava_video.train.parameters import build_model, checkpoint_activations
from tests.train.test_run import recipe_for


@pytest.mark.parametrize("name", ["projector", "lora", "video-sft"])
def test_a_frozen_vision_encoder_gets_no_gradients(
    name: str, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(name, toy_data, small_checkpoint, tmp_path / "run")
    directory = find_checkpoint(recipe.model)
    model = build_model(recipe, directory, load_config(directory, None), torch.float32).train()
    checkpoint_activations(model)
    frames = torch.rand(3, 3, 64, 64)
    is_frozen = recipe.learning_rates.vision_encoder is None
    inner = model if recipe.lora is None else model.get_base_model()
    assert inner.model.encode_frames(frames).requires_grad is not is_frozen
    assert inner.get_video_features(frames, [3])[0].requires_grad, "the projector learns"
