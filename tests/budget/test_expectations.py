"""What to expect of the known models here, and the verb that lists them."""

import json

import pytest
from typer.testing import CliRunner

from llava_video.budget.inference_memory import count_linear_weights, count_parameters
from llava_video.checkpoints.known_models import KNOWN_MODELS, find_known
from llava_video.cli.app import app


def test_shapes_of_the_known_models_have_the_size_of_their_downloads() -> None:
    for model in KNOWN_MODELS:
        config = model.config()
        num_bytes = 2 * count_parameters(config)
        assert num_bytes == pytest.approx(model.download_bytes, rel=0.02), model.short_name
        num_linear, num_head = count_linear_weights(config)
        assert num_linear + num_head < num_bytes / 2
    assert find_known("7B") is find_known("lmms-lab/llava-video-7b-qwen2")
    assert find_known("8b") is None


def test_models_lists_them_with_what_they_need_here() -> None:
    done = CliRunner().invoke(app, ["models", "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["model"] for row in rows] == [model.short_name for model in KNOWN_MODELS]
    assert rows[0]["memory_bytes"] < rows[1]["memory_bytes"] < rows[3]["memory_bytes"]
    assert all(row["first_token_seconds"] > 0 for row in rows)
    assert rows[0]["first_token_seconds"] < rows[1]["first_token_seconds"]
