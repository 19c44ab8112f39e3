"""Converting: the same bits under other names, the same answers, and nothing half done."""

import json
import os
import shutil
import signal
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LlavaOnevisionImageProcessorPil,
    SiglipConfig,
    SiglipModel,
)

import llava_video as lv
from llava_video.checkpoints import layouts
from llava_video.checkpoints.convert import convert_checkpoint
from llava_video.checkpoints.load import TINY, load_config, load_model
from llava_video.errors import CheckpointError
from llava_video.representation import VideoRepresentation, make_layout
from tests.checkpoints.on_disk import ONEVISION, save_native
from tests.forked import fork
from tests.model.released import GOLDENS
from tests.model.small import (
    REPRESENTATION,
    random_frames,
    small_config,
    small_model,
    small_processor,
)


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for file in directory.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def assert_same_weights(first: Path, second: Path) -> None:
    ours, theirs = weights_of(first), weights_of(second)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype
        assert torch.equal(ours[name], theirs[name]), name


def config_of(directory: Path) -> dict[str, object]:
    return json.loads((directory / "config.json").read_text())


def write_shards(directory: Path, num_shards: int) -> None:
    """Cut ``model.safetensors`` into shards with an index, as the released checkpoint comes."""
    single = directory / "model.safetensors"
    weights = load_file(single)
    single.unlink()
    weight_map = {}
    for number in range(num_shards):
        file = f"model-{number + 1:05d}-of-{num_shards:05d}.safetensors"
        members = sorted(weights)[number::num_shards]
        save_file({name: weights[name] for name in members}, directory / file, {"format": "pt"})
        weight_map |= dict.fromkeys(members, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.fixture
def released(small_checkpoint: Path, tmp_path: Path) -> Path:
    """The golden checkpoint in the released layout, in three shards, with a tokenizer."""
    directory = tmp_path / "released"
    directory.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(GOLDENS / name, directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(small_checkpoint / name, directory)
    write_shards(directory, 3)
    return directory


def test_there_and_back_gives_the_same_bits_and_the_same_configuration(
    released: Path, tmp_path: Path
) -> None:
    there = convert_checkpoint(released, tmp_path / "native")
    assert (there.source_layout, there.layout) == ("released", "native")
    back = convert_checkpoint(tmp_path / "native", tmp_path / "back")
    assert (back.source_layout, back.layout) == ("native", "released")
    assert_same_weights(released, tmp_path / "back")
    before, after = config_of(released), config_of(tmp_path / "back")
    vision_before, vision_after = before.pop("vision_config"), after.pop("vision_config")
    assert before.items() <= after.items()
    assert vision_before.items() <= vision_after.items()  # type: ignore[attr-defined]
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "back" / name).read_bytes() == (released / name).read_bytes()


@torch.no_grad()
def test_both_load_and_compute_the_same(released: Path, tmp_path: Path) -> None:
    convert_checkpoint(released, tmp_path / "native")
    logits = []
    for directory in (released, tmp_path / "native"):
        model, processor = lv.load(directory)
        pixels = processor.preprocess(random_frames(3))
        num_tokens = make_layout(model.config.representation, 3).num_tokens
        ids = torch.tensor([[5, *[model.config.video_token_id] * num_tokens, 7, 9]])
        logits.append(model(input_ids=ids, pixel_values_videos=pixels).logits)
    assert torch.equal(*logits)


def test_the_native_one_is_what_save_pretrained_writes(released: Path, tmp_path: Path) -> None:
    model, processor = lv.load(released)
    model.save_pretrained(tmp_path / "saved", save_original_format=False)
    processor.save_pretrained(tmp_path / "saved")
    convert_checkpoint(released, tmp_path / "native")
    assert_same_weights(tmp_path / "saved", tmp_path / "native")
    saved, converted = config_of(tmp_path / "saved"), config_of(tmp_path / "native")
    for part in ("vision_config", "text_config"):
        for values in (saved, converted):
            values[part].pop("dtype", None)  # type: ignore[attr-defined]
    assert saved.items() <= converted.items()
    assert converted["released_config"] == config_of(released)
    auto = AutoProcessor.from_pretrained(tmp_path / "native")
    assert auto.representation == processor.representation
    assert isinstance(
        AutoModelForImageTextToText.from_pretrained(tmp_path / "native"),
        lv.LlavaVideoForConditionalGeneration,
    )


def test_shards_stay_shards_with_an_index_that_is_true(released: Path, tmp_path: Path) -> None:
    done = convert_checkpoint(released, tmp_path / "native")
    files = sorted((tmp_path / "native").glob("*.safetensors"))
    assert done.num_files == len(files) == 3
    index = json.loads((tmp_path / "native" / "model.safetensors.index.json").read_text())
    held = {name: file.name for file in files for name in load_file(file)}
    assert index["weight_map"] == held
    assert index["metadata"]["total_size"] == done.num_bytes
    assert done.num_bytes == sum(t.nbytes for t in weights_of(released).values())


def test_every_dtype_stays_as_it_is(released: Path, tmp_path: Path) -> None:
    file = released / "model-00001-of-00003.safetensors"
    mixed = load_file(file)
    dtypes = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
    mixed = {name: t.to(dtypes[i % 4]) for i, (name, t) in enumerate(mixed.items())}
    save_file(mixed, file, {"format": "pt"})
    convert_checkpoint(released, tmp_path / "native")
    convert_checkpoint(tmp_path / "native", tmp_path / "back")
    assert_same_weights(released, tmp_path / "back")


def test_memory_stays_below_one_tensor(tmp_path: Path) -> None:
    """The embedding alone is 24 MB here; a buffer of one megabyte carries it."""
    text = {**small_config().text_config.to_dict(), "vocab_size": 120_000}
    text["tie_word_embeddings"] = True
    model = small_model(text_config=text, tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "native")
    largest = max(t.nbytes for t in weights_of(tmp_path / "native").values())
    assert largest > 20e6
    convert_checkpoint(tmp_path / "native", tmp_path / "first")  # imports what is imported once
    tracemalloc.start()
    convert_checkpoint(tmp_path / "native", tmp_path / "second")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < largest / 4
    assert_same_weights(tmp_path / "first", tmp_path / "second")


def test_a_vision_encoder_that_lies_beside(released: Path, tmp_path: Path) -> None:
    """Of SigLIP's own checkpoint the last layer, the head and the text encoder stay behind."""
    vision = config_of(released)["vision_config"]
    whole = SiglipConfig(
        vision_config={**vision, "num_hidden_layers": 3},  # type: ignore[dict-item]
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    )
    siglip = SiglipModel(whole)
    siglip.save_pretrained(released / "siglip")
    for file in released.glob("model-*.safetensors"):
        kept = {n: t for n, t in load_file(file).items() if "vision_tower" not in n}
        save_file(kept, file, {"format": "pt"})
    index = released / "model.safetensors.index.json"
    listed = json.loads(index.read_text())["weight_map"]
    listed = {name: file for name, file in listed.items() if "vision_tower" not in name}
    index.write_text(json.dumps({"weight_map": listed}))
    values = {**config_of(released), "mm_vision_tower": "siglip"}
    (released / "config.json").write_text(json.dumps(values))

    done = convert_checkpoint(released, tmp_path / "native")
    assert done.num_files == 4
    model = load_model(tmp_path / "native")
    original = siglip.state_dict()
    for name, tensor in model.model.vision_encoder.state_dict().items():
        assert torch.equal(tensor, original[f"vision_model.{name}"]), name


@torch.no_grad()
def test_llava_onevision_gives_the_same_logits(tmp_path: Path) -> None:
    source = save_native(tmp_path / "native", ONEVISION)
    done = convert_checkpoint(source, tmp_path / "onevision", "llava-onevision")
    model, processor = lv.load(source)
    inputs = processor("What colour is it?", random_frames(5))
    ours = model(**inputs).logits

    theirs, report = AutoModelForImageTextToText.from_pretrained(
        tmp_path / "onevision", output_loading_info=True
    )
    assert type(theirs).__name__ == "LlavaOnevisionForConditionalGeneration"
    assert not any(report.values())
    assert done.num_tensors == len(theirs.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "onevision")
    video_id = tokenizer.convert_tokens_to_ids("<video>")
    assert theirs.config.video_token_id == video_id
    assert theirs.config.image_token_id == tokenizer.convert_tokens_to_ids("<image>")
    ids = inputs["input_ids"]
    ids = ids.masked_fill(ids == processor.video_token_id, video_id)
    logits = theirs(input_ids=ids, pixel_values_videos=inputs["pixel_values_videos"][None]).logits
    torch.testing.assert_close(logits, ours, rtol=1e-5, atol=1e-6)
    image_processor = LlavaOnevisionImageProcessorPil.from_pretrained(tmp_path / "onevision")
    assert tuple(image_processor.image_mean) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("representation", "reason"),
    [
        (replace(ONEVISION, newline="grid"), "12,545 tokens there and 13,440"),
        (replace(ONEVISION, newline="none"), "newline='none'"),
        (replace(ONEVISION, slow_stride=3), "no slow and fast frames"),
        (replace(ONEVISION, arrangement="fast_then_slow"), "no slow and fast frames"),
        (replace(ONEVISION, pooling="average"), "pools by average with stride 2"),
        (replace(ONEVISION, pool_stride=4), "pools by bilinear with stride 4"),
        (replace(ONEVISION, separator=True), "no place for a separator"),
        (replace(ONEVISION, selection="tstm", keep_ratio=0.5), "keeps all video tokens"),
    ],
)
def test_llava_onevision_is_refused_where_it_would_lose(
    representation: VideoRepresentation, reason: str, tmp_path: Path
) -> None:
    source = save_native(tmp_path / "native", representation)
    with pytest.raises(CheckpointError, match=reason):
        convert_checkpoint(source, tmp_path / "onevision", "llava-onevision")
    assert [path.name for path in tmp_path.iterdir()] == ["native"]


def test_llava_onevision_needs_rows_for_its_placeholders(tmp_path: Path) -> None:
    text = {**small_config().text_config.to_dict()}
    text["vocab_size"] = len(small_processor().tokenizer)
    source = save_native(tmp_path / "native", ONEVISION, text_config=text)
    with pytest.raises(CheckpointError, match=r"only .* rows"):
        convert_checkpoint(source, tmp_path / "onevision", "llava-onevision")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slow_phase": 2}, "cannot say representation.slow_phase = 2"),
        ({"arrangement": "slow_then_fast"}, "arrangement = 'slow_then_fast'"),
        ({"separator": False}, "cannot say representation.slow_stride = 3"),
        ({"fast_pooling": "max"}, "fast_pooling = 'max'"),
        ({"selection": "evs", "keep_ratio": 0.5}, "cannot say representation.selection = 'evs'"),
        ({"pooling": "adaptive", "adaptive_side": 4}, "no pooling 'adaptive'"),
    ],
)
def test_the_released_layout_is_refused_where_it_has_no_words(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    representation = VideoRepresentation.from_dict({**REPRESENTATION.to_dict(), **changes})
    source = save_native(tmp_path / "native", representation)
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(source, tmp_path / "released")


def test_a_model_of_ours_becomes_a_released_one(small_checkpoint: Path, tmp_path: Path) -> None:
    done = convert_checkpoint(small_checkpoint, tmp_path / "released")
    assert any("T = 8" in note for note in done.notes)
    values = config_of(tmp_path / "released")
    assert (values["add_faster_video"], values["faster_token_stride"]) == (True, 3)
    before, after = load_config(small_checkpoint), load_config(tmp_path / "released")
    assert after.representation == replace(before.representation, max_frames=64)
    convert_checkpoint(tmp_path / "released", tmp_path / "native")
    assert_same_weights(small_checkpoint, tmp_path / "native")


@pytest.mark.parametrize(
    "images",
    [
        {"tile_grids": [[1, 2], [2, 1], [2, 2]], "max_tiles": 4},
        {"tile_grids": [[1, 2], [3, 1]], "max_tiles": None},
        {"tile_grids": []},
    ],
)
def test_what_is_said_of_images_comes_back(images: dict[str, object], tmp_path: Path) -> None:
    source = save_native(tmp_path / "native", REPRESENTATION, image_representation=images)
    convert_checkpoint(source, tmp_path / "released")
    assert load_config(tmp_path / "released").images == replace(
        load_config(source).images, max_tiles=images.get("max_tiles", 9)
    )


def test_tensor_names_have_an_inverse() -> None:
    for name in small_model().state_dict():
        theirs = layouts.released_name(name)
        assert layouts.native_name(theirs) == name
        assert theirs == name or not theirs.startswith(("model.vision_encoder", "model.language"))


def test_tiny_has_no_place_in_the_released_layout(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot say"):
        convert_checkpoint(TINY, tmp_path / "released")


def convert_and_be_killed(source: Path, target: Path) -> None:
    seen = 0

    def on_bytes(done: int, total: int) -> None:
        nonlocal seen
        seen += done
        if seen > total // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    convert_checkpoint(source, target, on_bytes=on_bytes)


def test_killed_half_way_leaves_nothing_that_looks_finished(released: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sources = [GOLDENS, released]  # in one file and in three
    for number, source in enumerate(sources):
        process = fork(convert_and_be_killed, source, folder / f"native-{number}")
        process.join(100)
        assert process.exitcode == -signal.SIGKILL
    remains = sorted(folder.iterdir())
    assert len(remains) == 2
    for number, path in enumerate(remains):
        assert path.name.startswith(f".native-{number}.")
        with pytest.raises(CheckpointError):
            load_config(path)
        convert_checkpoint(sources[number], folder / f"native-{number}")  # nothing is in the way
        load_config(folder / f"native-{number}")


def test_interrupted_leaves_nothing(released: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_checkpoint(released, tmp_path / "native", on_bytes=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["released"]


def test_bad_destinations_and_layouts(released: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    for target in ("there", "file"):
        with pytest.raises(CheckpointError, match="exists already"):
            convert_checkpoint(released, tmp_path / target)
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert_checkpoint(released, tmp_path / "file" / "native")
    with pytest.raises(CheckpointError, match="in the released layout already"):
        convert_checkpoint(released, tmp_path / "other", "released")
    with pytest.raises(CheckpointError, match="no layout is called 'gguf'"):
        convert_checkpoint(released, tmp_path / "other", "gguf")  # type: ignore[arg-type]


def test_broken_sources(released: Path, tmp_path: Path) -> None:
    target = tmp_path / "native"
    shard = released / "model-00002-of-00003.safetensors"
    index = released / "model.safetensors.index.json"
    whole, listed = shard.read_bytes(), json.loads(index.read_text())
    shard.write_bytes(whole[:-10])
    with pytest.raises(CheckpointError, match="cut short"):
        convert_checkpoint(released, target)
    shard.write_bytes(whole)
    moved = {**listed["weight_map"], "lm_head.weight": "model-00003-of-00003.safetensors"}
    index.write_text(json.dumps({"weight_map": moved}))
    with pytest.raises(CheckpointError, match=r"disagree about the tensor lm_head\.weight"):
        convert_checkpoint(released, target)
    index.write_text(json.dumps(listed))
    values = config_of(released)
    for changes, message in (
        ({"num_hidden_layers": 3}, r"lacks the tensor model\.language_model\.layers\.2"),
        ({"num_hidden_layers": 1}, r"does not know: model\.layers\.1"),
        ({"hidden_size": 64}, r"has the shape .* config\.json says"),
    ):
        (released / "config.json").write_text(json.dumps({**values, **changes}))
        with pytest.raises(CheckpointError, match=message):
            convert_checkpoint(released, target)
    assert not target.exists()
