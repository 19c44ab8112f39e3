"""Bugs that users of the official code and of its ports meet, each shown absent.

Two more have their tests in test_loading.py: a local copy of SigLIP is not taken for CLIP, and
float16 that overflows is an error rather than exclamation marks.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.load import load
from llava_video.errors import InputError, VideoError
from llava_video.representation import make_layout
from tests.checkpoints.on_disk import change_config
from tests.model.small import random_frames, small_model, small_processor
from tests.video.media import write_video


@pytest.fixture(scope="module")
def processor():  # type: ignore[no-untyped-def]
    return small_processor()


@pytest.fixture(scope="module")
def model(processor):  # type: ignore[no-untyped-def]
    return small_model(video_token_id=processor.video_token_id)


@pytest.fixture
def released(small_checkpoint: Path, tmp_path: Path) -> Path:
    """Slow and fast frames in the released layout, with a stride that the official code ignores."""
    convert_checkpoint(small_checkpoint, tmp_path / "released", "released")
    change_config(tmp_path / "released", mm_spatial_pool_stride=4, faster_token_stride=2)
    return tmp_path / "released"


@torch.no_grad()
def test_the_stride_does_not_grow_along_a_batch(model, processor) -> None:  # type: ignore[no-untyped-def]
    """Upstream doubles it for every video: the second gets 4 and 8, the third 8 and 16."""
    frames = random_frames(6)
    inputs = processor(["What?"] * 3, [frames] * 3)
    first, *others = model(**inputs).video_tokens
    assert len(first) == make_layout(model.config.representation, 6).num_tokens
    for tokens in others:
        torch.testing.assert_close(tokens, first)


@torch.no_grad()
def test_the_configured_strides_are_in_force(released: Path) -> None:
    """Upstream pools with stride 2 whatever ``mm_spatial_pool_stride`` says."""
    model, processor = load(released)
    representation = model.config.representation
    assert (representation.pool_stride, representation.slow_stride) == (4, 2)
    (tokens,) = model(**processor("What?", random_frames(4))).video_tokens
    slow, fast = 2 * (2 + 1), 1 * (1 + 1)  # 8 x 8 patches by 4 and by 8, and a newline after a row
    assert len(tokens) == 2 * (slow + 1) + 2 * (fast + 1)


@torch.no_grad()
def test_the_faster_token_of_a_checkpoint_is_loaded_and_used(released: Path) -> None:
    """Upstream makes it only when training begins, so that a saved one is not loaded."""
    file = released / "model.safetensors"
    weights = load_file(file)
    weights["model.faster_token"] = torch.full_like(weights["model.faster_token"], 7.0)
    save_file(weights, file, {"format": "pt"})
    model, processor = load(released)
    (tokens,) = model(**processor("What?", random_frames(3))).video_tokens
    is_separator = (tokens == 7.0).all(1)
    assert is_separator.nonzero().squeeze(1).tolist() == [6, 9, 16]  # after every frame


@torch.no_grad()
def test_features_are_never_used_twice(model, processor) -> None:  # type: ignore[no-untyped-def]
    """Where a prompt shows more videos than there are, upstream shows the last one again."""
    two = processor.apply_chat_template(
        [
            {
                "role": "user",
                "content": [
                    {"type": "video", "video": random_frames(2)},
                    {"type": "video", "video": random_frames(2, seed=1)},
                    {"type": "text", "text": "Which?"},
                ],
            }
        ]
    )
    only_one = {"pixel_values_videos": two["pixel_values_videos"][:2], "num_frames_per_video": [2]}
    with pytest.raises(InputError, match="placeholders, the videos make"):
        model(**{**two, **only_one})


def test_questions_are_never_cut(processor) -> None:  # type: ignore[no-untyped-def]
    """Upstream cuts what lies beyond the context, which is the question."""
    question = "What colour is it? " * 300
    with pytest.raises(InputError, match="the model takes 1024"):
        processor(question, random_frames(2))


@torch.no_grad()
def test_no_row_of_a_mixed_batch_is_dropped(model, processor) -> None:  # type: ignore[no-untyped-def]
    """Upstream wants a list of modalities and silently drops rows beyond it."""
    video, image = random_frames(3), random_frames(1).pixels[0]
    questions = ["A video?", "An image?", "Only text?"]
    batch = model(**processor(questions, videos=[video, None, None], images=[None, image, None]))
    assert batch.logits.shape[0] == 3
    singles = [
        processor(questions[0], video),
        processor(questions[1], images=image),
        processor(questions[2]),
    ]
    for row, inputs in enumerate(singles):
        logits = model(**inputs).logits[0]
        torch.testing.assert_close(batch.logits[row, -len(logits) :], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("fps", "times"), [(1, "0.00s,1.00s"), (2, "0.00s,0.50s,1.00s,1.50s")])
def test_times_are_seconds_at_every_rate(processor, tmp_path, fps, times) -> None:  # type: ignore[no-untyped-def]
    """Sampling by rate, upstream tells the number of a frame instead of its time."""
    video = write_video(tmp_path / "two_seconds.mp4", num_frames=20, fps=10)
    parts = [{"type": "video", "path": video}, {"type": "text", "text": "What?"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": parts}], fps=fps, tokenize=False
    )
    count = len(times.split(","))
    # One port says the height of the frames where their number belongs.
    assert f"lasts for 2.00 seconds, and {count} frames are uniformly sampled" in text
    assert f"located at {times}." in text


def test_a_video_that_cannot_be_read_is_not_replaced(processor, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Upstream takes the next one of the dataset."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        processor("What?", tmp_path / "broken.mp4")


def test_how_frames_are_pooled_is_read_from_the_checkpoint(released: Path, tmp_path: Path) -> None:
    """Evaluation suites force ``average`` on checkpoints that were trained with ``bilinear``."""
    for name in ("average", "bilinear", "max"):
        copy = tmp_path / name
        shutil.copytree(released, copy)
        change_config(copy, mm_spatial_pool_mode=name)
        model, processor = load(copy)
        assert model.config.representation.pooling == processor.representation.pooling == name
    assert json.loads((released / "config.json").read_text())["mm_spatial_pool_mode"] == "average"
