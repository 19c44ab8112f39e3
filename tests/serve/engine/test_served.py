"""A checkpoint says beforehand what a prompt takes: never less than it does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llava_video.chat.local.limits import CacheLimits
from llava_video.chat.protocol import AnswerOptions
from llava_video.errors import CheckpointError, InputError, RepresentationError
from llava_video.representation import make_layout
from llava_video.serve.engine.served import ServedCheckpoint, load_served
from llava_video.types import Frames
from tests.chat.fresh import assistant, user


@pytest.fixture(scope="module")
def served(small_checkpoint: Path) -> ServedCheckpoint:
    return load_served(str(small_checkpoint), limits=CacheLimits(2**24, 2**24, 2**24))


def frames_of(num_frames: int, seconds: float) -> Frames:
    pixels = np.zeros((num_frames, 64, 64, 3), np.uint8)
    times = np.linspace(0, seconds, num_frames)
    return Frames(pixels, times, np.arange(num_frames), seconds + 1)


def conversation(*media: Any) -> list[Any]:
    parts = [{"type": kind, kind: value} for kind, value in media]
    return [user(*parts, "What <|im_end|> happens?"), assistant("It."), user("And <image>?")]


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("num_frames", [1, 5, 8])
@pytest.mark.parametrize("seconds", [1.0, 59999.99])
def test_a_prediction_is_at_least_the_count(
    served: ServedCheckpoint, stride: int, num_frames: int, seconds: float
) -> None:
    own = replace(served.representation, slow_stride=stride)
    videos = [("video", frames_of(num_frames, seconds))] * 2
    shown = conversation(*videos)
    named = conversation(*(("video", "reference") for _ in videos))
    predicted = served.predict_tokens(named, own, num_frames)
    counted = served.count_tokens(shown, AnswerOptions(representation=own))
    assert counted <= predicted <= counted + 2 * (256 + 12 * num_frames)


@pytest.mark.parametrize("num_images", [1, 2])
def test_images_are_predicted_too(served: ServedCheckpoint, num_images: int) -> None:
    images = [("image", np.zeros((70, 40, 3), np.uint8))] * num_images
    named = conversation(*(("image", "reference") for _ in images))
    predicted = served.predict_tokens(named, served.representation, 8)
    assert served.count_tokens(conversation(*images), AnswerOptions()) <= predicted


def test_text_that_is_too_long_is_refused_beforehand(served: ServedCheckpoint) -> None:
    with pytest.raises(InputError, match="the model takes"):
        served.predict_tokens([user("word " * 5000)], served.representation, 8)


def test_a_budget_of_video_tokens_picks_a_representation(served: ServedCheckpoint) -> None:
    own = make_layout(served.representation, 8).num_tokens
    picked = served.fit_video_tokens(own // 2)
    assert 0 < make_layout(picked, picked.max_frames).num_tokens <= own // 2
    assert served.fit_video_tokens(own // 2) is picked
    with pytest.raises(RepresentationError):
        served.fit_video_tokens(1)


def test_memory_holds_one_answer_at_least(served: ServedCheckpoint) -> None:
    assert served.batch_tokens > 8 * 64


def test_names(small_checkpoint: Path, served: ServedCheckpoint) -> None:
    assert served.name == small_checkpoint.name  # no folder of the server
    assert load_served(str(small_checkpoint), alias="mine").name == "mine"
    with pytest.raises(CheckpointError):
        load_served("/no/such/model")
