"""Images as the released checkpoints were trained, against transformers where it does the same.

Grids with padding, tiles in the right place, scaling down and newlines agree with LlavaOnevision,
given the same weights; so do the pixels.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
)

from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.load import load, load_config
from llava_video.errors import CheckpointError, InputError
from llava_video.model import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation.image_layout import RELEASED_TILE_GRIDS
from tests.model.released import GOLDENS
from tests.model.small import random_frames, small_config, small_model, small_processor

SIZES = [(64, 64), (100, 300), (300, 90), (400, 400), (40, 30)]  # height, width; tiles are 64 px
PINPOINTS = [[64 * rows, 64 * columns] for rows, columns in RELEASED_TILE_GRIDS]
TILED = {"tile_grids": RELEASED_TILE_GRIDS, "max_tiles": 9, "newline": True}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return random_frames(1, seed, (height, width)).pixels[0]


@pytest.fixture(scope="module")
def processor() -> LlavaVideoProcessor:
    config = small_config(image_representation=TILED)
    processor = small_processor(config)
    processor.image_representation = config.images.to_dict()
    processor.max_positions = 10_000
    return processor


@pytest.fixture(scope="module")
def model(processor: LlavaVideoProcessor) -> LlavaVideoForConditionalGeneration:
    return small_model(image_representation=TILED, video_token_id=processor.video_token_id)


@pytest.fixture(scope="module")
def peer(model: LlavaVideoForConditionalGeneration) -> LlavaOnevisionForConditionalGeneration:
    """LlavaOnevision with our weights, renamed."""
    config = LlavaOnevisionConfig(
        vision_config=model.config.vision_config.to_dict(),
        text_config=model.config.text_config.to_dict(),
        image_token_index=298,
        video_token_index=297,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
    )
    names = {
        "model.vision_encoder.": "model.vision_tower.",
        "model.projector.": "model.multi_modal_projector.",
        "model.newline": "model.image_newline",
    }
    weights = model.state_dict()
    for ours, theirs in names.items():
        weights = {name.replace(ours, theirs): weight for name, weight in weights.items()}
    peer = LlavaOnevisionForConditionalGeneration(config).eval()
    report = peer.load_state_dict(weights, strict=False)
    assert report.missing_keys == []
    assert report.unexpected_keys == ["model.separator"]
    return peer


@pytest.fixture(scope="module")
def peers_pixels() -> LlavaOnevisionImageProcessorPil:
    return LlavaOnevisionImageProcessorPil(
        size={"height": 64, "width": 64},
        image_grid_pinpoints=PINPOINTS,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        do_pad=False,
    )


def show(processor: LlavaVideoProcessor, *pictures: np.ndarray):  # type: ignore[no-untyped-def]
    parts = [{"type": "image", "image": image} for image in pictures]
    parts.append({"type": "text", "text": "What?"})
    return processor.apply_chat_template([{"role": "user", "content": parts}])


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_a_single_image_equals_llava_onevision(processor, model, peer, peers_pixels, size) -> None:  # type: ignore[no-untyped-def]
    image = picture(*size)
    inputs = show(processor, image)
    theirs = peers_pixels([Image.fromarray(image)], return_tensors="pt")
    torch.testing.assert_close(inputs["pixel_values"], theirs["pixel_values"][0].float())
    assert inputs["image_sizes"].tolist() == [list(size)]

    tokens = model.get_image_features(
        inputs["pixel_values"], inputs["image_sizes"], inputs["num_tiles_per_image"]
    )
    expected = peer.model.get_image_features(
        inputs["pixel_values"], inputs["image_sizes"], vision_aspect_ratio="anyres_max_9"
    ).pooler_output
    torch.testing.assert_close(tokens[0], expected[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_several_images_equal_llava_onevision(processor, model, peer, peers_pixels) -> None:  # type: ignore[no-untyped-def]
    images = [picture(*size, seed=index) for index, size in enumerate(SIZES)]
    inputs = show(processor, *images)
    theirs = peers_pixels([[Image.fromarray(image) for image in images]], return_tensors="pt")
    torch.testing.assert_close(inputs["pixel_values"], theirs["pixel_values"].flatten(0, 1).float())
    output = model(**inputs)
    expected = peer.model.get_image_features(
        inputs["pixel_values"],
        inputs["image_sizes"],
        vision_aspect_ratio="anyres_max_9",
        batch_num_images=[len(images)],
    ).pooler_output
    for tokens, wanted in zip(output.image_tokens, expected, strict=True):
        assert len(tokens) == 8 * 8 + 1
        torch.testing.assert_close(tokens, wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_logits_equal_llava_onevision(processor, model, peer) -> None:  # type: ignore[no-untyped-def]
    """From the pixels of an image to the logits of every position, with placeholders renamed."""
    inputs = show(processor, picture(100, 300))
    theirs = inputs["input_ids"].masked_fill(inputs["input_ids"] == processor.video_token_id, 298)
    expected = peer(
        input_ids=theirs,
        attention_mask=inputs["attention_mask"],
        pixel_values=inputs["pixel_values"],
        image_sizes=inputs["image_sizes"],
        vision_aspect_ratio="anyres_max_9",
    )
    torch.testing.assert_close(model(**inputs).logits, expected.logits, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_videos_and_images_of_a_batch_equal_single_runs(processor, model) -> None:  # type: ignore[no-untyped-def]
    video, image = random_frames(5, seed=1), picture(70, 130)
    conversations = [
        [
            {"type": "image", "image": image},
            {"type": "text", "text": "and"},
            {"type": "video", "video": video},
            {"type": "video", "video": random_frames(2)},
        ],
        [{"type": "video", "video": random_frames(3, seed=2)}, {"type": "text", "text": "What?"}],
        [{"type": "image", "image": picture(64, 20)}, {"type": "image", "image": image}],
        [{"type": "text", "text": "What colour is it?"}],
    ]
    messages = [[{"role": "user", "content": parts}] for parts in conversations]
    batch = model(**processor.apply_chat_template(messages))
    for row, conversation in enumerate(messages):
        single = model(**processor.apply_chat_template(conversation)).logits[0]
        torch.testing.assert_close(batch.logits[row, -len(single) :], single, rtol=1e-3, atol=1e-4)


def test_the_order_of_images_and_videos_matters(processor, model) -> None:  # type: ignore[no-untyped-def]
    image = {"type": "image", "image": picture(64, 64)}
    video = {"type": "video", "video": random_frames(4)}
    asked = {"type": "text", "text": "What?"}
    first, second = (
        processor.apply_chat_template([{"role": "user", "content": [*parts, asked]}])
        for parts in ([image, video], [video, image])
    )
    assert first["mm_token_type_ids"].flatten().tolist().index(1) < (
        first["mm_token_type_ids"].flatten().tolist().index(2)
    )
    assert not torch.equal(first["mm_token_type_ids"], second["mm_token_type_ids"])
    with pytest.raises(InputError, match="need mm_token_type_ids"):
        model(**{**first, "mm_token_type_ids": None})


def test_a_single_image_comes_before_the_text_as_in_training(processor) -> None:  # type: ignore[no-untyped-def]
    image, text = {"type": "image", "image": picture(64, 64)}, {"type": "text", "text": "What?"}
    one, other = (
        processor.apply_chat_template([{"role": "user", "content": parts}], tokenize=False)
        for parts in ([image, text], [text, image])
    )
    assert one == other
    assert "user\n<image>\nWhat?<|im_end|>" in one


def test_images_of_one_question_or_of_several(processor) -> None:  # type: ignore[no-untyped-def]
    one, other = picture(64, 64), picture(100, 50, seed=1)
    together = processor("What?", images=[one, other])
    assert torch.equal(together["pixel_values"], show(processor, one, other)["pixel_values"])
    apart = processor(["What?", "What?"], images=[one, [other]])
    assert apart["num_tiles_per_image"].tolist() == [2, 3]


def test_models_without_tiles_see_one_square(small_checkpoint: Path) -> None:
    processor = LlavaVideoProcessor.from_pretrained(small_checkpoint)
    inputs = processor("What?", images=picture(100, 300))
    assert inputs["num_tiles_per_image"].tolist() == [1]
    grey = inputs["pixel_values"][0, :, :16]  # padded above and below with the mean colour
    torch.testing.assert_close(grey, torch.full_like(grey, 127 / 127.5 - 1))


def test_pixels_of_another_processor_are_refused(processor, model) -> None:  # type: ignore[no-untyped-def]
    inputs = show(processor, picture(100, 300))
    with pytest.raises(InputError, match="model's own processor"):
        model(**{**inputs, "image_sizes": torch.tensor([[300, 900]])})
    with pytest.raises(InputError, match="need image_sizes and num_tiles_per_image"):
        model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"])


@pytest.mark.parametrize(
    ("changes", "tile_grids", "max_tiles"),
    [
        ({}, RELEASED_TILE_GRIDS, 9),
        ({"image_aspect_ratio": None}, (), 9),
        ({"image_grid_pinpoints": "(1x1),...,(6x6)"}, RELEASED_TILE_GRIDS, 9),
        ({"image_grid_pinpoints": [[768, 384]], "image_aspect_ratio": "anyres"}, ((1, 2),), None),
        ({"image_aspect_ratio": "anyres_max_4"}, RELEASED_TILE_GRIDS, 4),
        ({"image_aspect_ratio": "pad"}, (), 9),
        ({"mm_patch_merge_type": "flat"}, (), 9),
    ],
)
def test_released_configurations(tmp_path, changes, tile_grids, max_tiles) -> None:  # type: ignore[no-untyped-def]
    values = {**json.loads((GOLDENS / "config.json").read_text()), **changes}
    (tmp_path / "config.json").write_text(json.dumps(values))
    shutil.copy(GOLDENS / "model.safetensors", tmp_path)
    images = load_config(tmp_path).images
    assert (images.tile_grids, images.max_tiles) == (tile_grids, max_tiles)
    assert (images.tile_size, images.grid_side) == (384, 27)
    assert images.newline == ("mm_patch_merge_type" not in changes)


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        *({"image_aspect_ratio": name} for name in ("square", "highres", "crop_split", None)),
        {"image_aspect_ratio": "anyres_nobase"},
        *({"mm_patch_merge_type": name} for name in ("flat", "spatial", "spatial_unpad_nobase")),
    ],
)
def test_other_ways_to_cut_images_refuse_images_and_not_videos(  # type: ignore[no-untyped-def]
    changes, small_checkpoint, tmp_path
) -> None:
    shutil.copytree(GOLDENS, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.npz"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small_checkpoint / name, tmp_path)
    file = tmp_path / "config.json"
    file.chmod(0o644)
    values = {**json.loads(file.read_text()), "image_token_index": 159, **changes}
    file.write_text(json.dumps(values))
    convert_checkpoint(tmp_path, tmp_path / "native")
    convert_checkpoint(tmp_path / "native", tmp_path / "back")
    for directory in (tmp_path, tmp_path / "native", tmp_path / "back"):
        model, processor = load(directory)
        key, value = next(iter(changes.items()))
        reason = f"{key} = {value or 'square'!r}"
        with pytest.raises(InputError, match=f"videos can: config.json says {reason}"):
            processor("What?", images=picture(100, 300))
        with pytest.raises(InputError, match="images cannot be shown"):
            model.get_image_features(torch.zeros(1, 3, 384, 384), [(100, 300)], [1])
        video = model.get_video_features(torch.zeros(2, 3, 384, 384), [2])
        assert len(video[0]) == processor.slot_of(random_frames(2)).num_tokens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_grid_pinpoints": [[336, 672]]}, "not multiples of the vision encoder's 384"),
        ({"image_grid_pinpoints": "many"}, "not multiples of the vision encoder's 384"),
    ],
)
def test_released_configurations_that_cannot_be(tmp_path, changes, message) -> None:  # type: ignore[no-untyped-def]
    values = {**json.loads((GOLDENS / "config.json").read_text()), **changes}
    (tmp_path / "config.json").write_text(json.dumps(values))
    shutil.copy(GOLDENS / "model.safetensors", tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_config(tmp_path)
