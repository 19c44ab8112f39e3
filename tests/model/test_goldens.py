"""Parity with recorded outputs of the official implementation, for every case of a golden
directory.

Set LLAVA_VIDEO_GOLDENS to check another directory; its README tells how one is laid out.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from llava_video.checkpoints.load import load_model
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.representation import make_layout
from tests.model.released import (
    CASES,
    GOLDENS,
    UPSTREAM_PLACEHOLDER,
    preprocess,
    set_case,
    with_placeholders,
)

KEPT_HEAD, KEPT_TAIL = 3, 5


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "golden.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def model() -> LlavaVideoForConditionalGeneration:
    return load_model(GOLDENS, dtype=torch.float32)


def assert_close(actual: torch.Tensor, expected: np.ndarray) -> None:
    """Within 1e-4 of the largest value: the agreement that the recordings promise."""
    wanted = torch.from_numpy(expected)
    assert actual.shape == wanted.shape
    error = (actual - wanted).abs().max() / wanted.abs().max()
    assert error <= 1e-4, f"relative difference {error:.2e}"


def test_preprocessing_is_pils_bicubic(
    model: LlavaVideoForConditionalGeneration, golden: dict[str, np.ndarray]
) -> None:
    for frames, recorded in (("frames", "pixel_values"), ("frames2", "pixel_values2")):
        pixels = preprocess(model, golden[frames])
        assert_close(pixels[0], golden[f"{recorded}_first"])
        side = model.config.vision_config.image_size
        picture = Image.fromarray(golden[frames][0]).resize((side, side), Image.Resampling.BICUBIC)
        levels = ((pixels[0] * 0.5 + 0.5) * 255).round().to(torch.uint8).permute(1, 2, 0)
        np.testing.assert_array_equal(levels, np.asarray(picture))


@torch.no_grad()
def test_vision_features_and_projection(
    model: LlavaVideoForConditionalGeneration, golden: dict[str, np.ndarray]
) -> None:
    features = model.model.encode_frames(preprocess(model, golden["frames"]))
    recorded = golden["tower_features"]
    assert_close(features[: len(recorded)], recorded)
    projected = model.model.projector(features)
    assert_close(projected[: len(recorded)], golden["projected_features"])


@pytest.mark.parametrize("name", CASES["cases"])
@torch.no_grad()
def test_case(
    name: str, model: LlavaVideoForConditionalGeneration, golden: dict[str, np.ndarray]
) -> None:
    settings = CASES["cases"][name]
    set_case(model, settings)
    frames = golden["frames"]
    layout = make_layout(model.config.representation, len(frames))
    assert layout.num_tokens == settings["num_visual_tokens"]

    pixels = preprocess(model, frames)
    input_ids = with_placeholders(model, CASES["input_ids"], [layout.num_tokens])
    output = model(input_ids=input_ids, pixel_values_videos=pixels)
    assert output.video_tokens is not None
    assert_close(output.video_tokens[0], golden[f"{name}/visual_tokens"])
    logits = output.logits[0]
    assert_close(
        torch.cat([logits[:KEPT_HEAD], logits[-KEPT_TAIL:]]), golden[f"{name}/text_logits"]
    )

    recorded_ids = golden[f"{name}/greedy_ids"]
    model.generation_config.eos_token_id = None  # the recordings hold as many ids as were asked for
    generated = model.generate(
        input_ids=input_ids,
        pixel_values_videos=pixels,
        max_new_tokens=len(recorded_ids),
        do_sample=False,
        pad_token_id=0,
    )
    np.testing.assert_array_equal(generated[0, input_ids.shape[1] :], recorded_ids)


@torch.no_grad()
def test_batch_of_unequal_videos_has_the_recorded_loss(
    model: LlavaVideoForConditionalGeneration, golden: dict[str, np.ndarray]
) -> None:
    set_case(model, {})
    videos = [golden["frames"], golden["frames2"]]
    counts = [make_layout(model.config.representation, len(video)).num_tokens for video in videos]
    rows, labels = [], []
    for ids, wanted, count in zip(
        golden["batch/input_ids"], golden["batch/labels"], counts, strict=True
    ):
        rows.append(with_placeholders(model, ids.tolist(), [count])[0])
        row_labels: list[int] = []
        for token, label in zip(ids.tolist(), wanted.tolist(), strict=True):
            row_labels += [-100] * count if token == UPSTREAM_PLACEHOLDER else [label]
        labels.append(torch.tensor(row_labels))
    padded = [torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)]
    padded.append(torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100))
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    output = model(
        input_ids=padded[0],
        attention_mask=mask,
        labels=padded[1],
        pixel_values_videos=torch.cat([preprocess(model, video) for video in videos]),
        num_frames_per_video=[len(video) for video in videos],
    )
    assert output.loss is not None
    assert float(output.loss) == pytest.approx(float(golden["batch/loss"]), rel=1e-4)


@torch.no_grad()
def test_text_only_turn(
    model: LlavaVideoForConditionalGeneration, golden: dict[str, np.ndarray]
) -> None:
    output = model(input_ids=torch.from_numpy(golden["text_only/input_ids"]))
    assert_close(output.logits[0], golden["text_only/logits"])
