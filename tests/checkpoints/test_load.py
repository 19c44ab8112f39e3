"""Loading: our layout, the released one, and one clear error for everything else."""

import json
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig

import llava_video as lv
from llava_video.checkpoints.load import load, load_config, load_model
from llava_video.errors import CheckpointError, InputError, RepresentationError
from tests.checkpoints.on_disk import change_config
from tests.model.released import GOLDENS
from tests.model.small import random_frames, small_config, small_model, small_processor

INDEX = "model.safetensors.index.json"


@pytest.fixture
def copy(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_checkpoint, tmp_path / "copy"))


@pytest.fixture
def released(small_checkpoint: Path, tmp_path: Path) -> Path:
    """The golden checkpoint in released layout, with a tokenizer beside it."""
    directory = tmp_path / "released"
    directory.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(GOLDENS / name, directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small_checkpoint / name, directory)
    return directory


def change_weights(directory: Path, change) -> None:  # type: ignore[no-untyped-def]
    path = directory / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def test_our_layout_answers(small_checkpoint: Path) -> None:
    model, processor = lv.load(small_checkpoint)
    output = model.generate(**processor("What?", random_frames(8)), max_new_tokens=3)
    assert output.shape[1] > 3
    assert not model.training


def test_released_layout_maps_every_weight(released: Path) -> None:
    weights = load_file(released / "model.safetensors")
    model = load_model(released, dtype=torch.float32)
    loaded = model.state_dict()
    assert len(loaded) == len(weights)
    renamed = {
        "model.image_newline": "model.newline",
        "model.faster_token": "model.separator",
        "model.mm_projector.2.bias": "model.projector.linear_2.bias",
        "model.norm.weight": "model.language_model.norm.weight",
        "lm_head.weight": "lm_head.weight",
    }
    for theirs, ours in renamed.items():
        assert torch.equal(weights[theirs], loaded[ours])


def test_a_released_checkpoint_is_saved_in_our_layout(released: Path, tmp_path: Path) -> None:
    model = load_model(released, dtype=torch.float32)
    model.save_pretrained(tmp_path / "ours")
    saved = load_model(tmp_path / "ours").state_dict()
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in model.state_dict().items())


def test_released_layout_in_shards(released: Path) -> None:
    whole = load_model(released, dtype=torch.float32).state_dict()
    weights = load_file(released / "model.safetensors")
    names = sorted(weights)
    shards = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for shard, members in shards.items():
        save_file({name: weights[name] for name in members}, released / shard, {"format": "pt"})
    (released / "model.safetensors").unlink()
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    index = released / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    sharded = load_model(released, dtype=torch.float32).state_dict()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)
    (released / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"00002\.safetensors is missing, though the index"):
        load_model(released)


def test_released_slowfast_reads_its_stride_and_separator(released: Path) -> None:
    change_config(released, add_faster_video=True, faster_token_stride=3)
    representation = load_model(released).config.representation
    assert (representation.slow_stride, representation.separator) == (3, True)


def test_configured_pool_stride_is_not_ignored(released: Path) -> None:
    change_config(released, mm_spatial_pool_stride=4)
    assert load_model(released).config.representation.slow_grid.num_tokens == 49


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mm_projector_type": "linear"}, "projector 'linear'"),
        ({"mm_spatial_pool_mode": "mean"}, "mm_spatial_pool_mode 'mean'"),
        ({"mm_newline_position": "row"}, "mm_newline_position 'row'"),
        ({"hidden_size": None}, "has no 'hidden_size'"),
        ({"vision_config": None, "mm_vision_tower": "openai/clip"}, "only SigLIP exists here"),
        ({"hidden_size": 64}, "of another shape than config.json says"),
        ({"num_hidden_layers": 3}, "lacks the tensor model.language_model.layers.2"),
        ({"num_hidden_layers": 1}, "has a tensor that the model does not know"),
    ],
)
def test_released_configurations_that_cannot_be(
    released: Path, changes: dict[str, object], message: str
) -> None:
    change_config(released, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_model(released)


def test_a_local_copy_of_siglip_is_still_siglip(released: Path) -> None:
    """Upstream takes a local directory of that name for CLIP; the name decides here."""
    change_config(released, vision_config=None, mm_vision_tower="/data/siglip-so400m-patch14-384")
    vision = load_config(released).vision_config
    assert (vision.model_type, vision.hidden_size) == ("siglip_vision_model", 1152)


def test_missing_and_left_over_weights(copy: Path) -> None:
    change_weights(copy, lambda weights: weights.pop("model.newline"))
    with pytest.raises(CheckpointError, match=r"lacks the tensor model\.newline"):
        load(copy)
    change_weights(copy, lambda weights: weights.update({"model.newline": torch.zeros(48)}))
    change_weights(copy, lambda weights: weights.update({"extra": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match="does not know: extra"):
        load(copy)


def test_weights_of_another_shape(copy: Path) -> None:
    change_weights(copy, lambda weights: weights.update({"model.newline": torch.zeros(7)}))
    with pytest.raises(CheckpointError, match=r"another shape .* model\.newline"):
        load(copy)


def test_truncated_weights(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is cut short"):
        load(copy)


@pytest.mark.parametrize(
    "content", [b"", b"abc", struct.pack("<Q", 1 << 60), struct.pack("<Q", 4) + b"[{}]"]
)
def test_files_that_are_not_safetensors(copy: Path, content: bytes) -> None:
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load(copy)


def test_pickles_are_never_read(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="is a pickle"):
        load(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "does not hold a JSON object"),
        ('{"model_type": "llama"}', "describes a 'llama' model"),
        ("{}", "describes a None model"),
    ],
)
def test_configurations_that_are_not_ours(copy: Path, content: str, message: str) -> None:
    (copy / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load(copy)


def test_directories_that_are_no_checkpoint(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such directory"):
        load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="is a file"):
        load(copy / "config.json")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        load(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        load(copy)  # noticed before the tokenizer


@pytest.fixture
def sharded(copy: Path) -> Path:
    """Our layout in two shards with their index."""
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(weights)
    weight_map = {}
    for part in range(2):
        shard = f"model-0000{part + 1}-of-00002.safetensors"
        members = {name: weights[name] for name in names[part::2]}
        save_file(members, copy / shard, {"format": "pt"})
        weight_map.update(dict.fromkeys(members, shard))
    (copy / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return copy


def test_shards_load_as_one_file_does(sharded: Path, small_checkpoint: Path) -> None:
    whole, parts = load(small_checkpoint)[0].state_dict(), load(sharded)[0].state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_an_index_that_disagrees_with_its_shards(sharded: Path) -> None:
    values = json.loads((sharded / INDEX).read_text())
    moved = {**values["weight_map"], "model.newline": "model-00001-of-00002.safetensors"}
    if moved == values["weight_map"]:
        moved["model.newline"] = "model-00002-of-00002.safetensors"
    for weight_map in (moved, {**values["weight_map"], "extra": moved["model.newline"]}):
        (sharded / INDEX).write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(CheckpointError, match=r"index\.json and the shards disagree"):
            load(sharded)
    (sharded / INDEX).write_text("{}")
    with pytest.raises(CheckpointError, match="is not an index of shards"):
        load(sharded)


def test_a_shard_that_is_cut_short(sharded: Path) -> None:
    shard = sharded / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"00002-of-00002\.safetensors is cut short"):
        load(sharded)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}}),
        ("config.json", {"attn_implementation": "somebody/kernels"}),
        ("config.json", {"text_config": {"_attn_implementation_internal": "somebody/kernels"}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}),
    ],
)
def test_code_of_a_checkpoint_is_never_run(copy: Path, file: str, values: dict) -> None:  # type: ignore[type-arg]
    before = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps({**before, **values}))
    with pytest.raises(CheckpointError, match=f"{file} asks to run code by"):
        load(copy)


def test_a_tokenizer_without_control_tokens(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = []
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CheckpointError, match=r"copy: the tokenizer has no <\|im_start\|>"):
        load(copy)


def test_overflow_is_an_error_and_not_an_answer(copy: Path) -> None:
    """What upstream prints as exclamation marks."""
    name = "model.language_model.layers.0.mlp.down_proj.weight"
    change_weights(copy, lambda weights: weights.update({name: weights[name] * 1e7}))
    model, processor = load(copy, dtype=torch.float16)
    inputs = processor("What?", random_frames(2))
    with pytest.raises(CheckpointError, match="overflows in float16"):
        model.generate(**inputs, max_new_tokens=2)
    model, _ = load(copy, dtype=torch.bfloat16)
    model.generate(**inputs, max_new_tokens=2)


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {"device_map": "cpu"},
        {"device_map": "auto"},
        {"attn_implementation": "eager"},
        {"attn_implementation": "sdpa"},
        {"dtype": torch.bfloat16},
    ],
)
def test_options_of_transformers_pass_through(small_checkpoint: Path, options: dict) -> None:  # type: ignore[type-arg]
    plain, processor = load(small_checkpoint)
    model, _ = load(small_checkpoint, **options)
    inputs = processor("What?", random_frames(3))
    tolerance = 0.1 if "dtype" in options else 1e-4
    torch.testing.assert_close(
        model(**inputs).logits.float(), plain(**inputs).logits, rtol=tolerance, atol=tolerance
    )
    assert model.dtype == options.get("dtype", torch.float32)
    if "attn_implementation" in options:
        assert model.config.text_config._attn_implementation == options["attn_implementation"]
        assert model.config.vision_config._attn_implementation == options["attn_implementation"]


@pytest.mark.parametrize("bits", [4, 8])
def test_only_the_language_model_is_quantized(tmp_path: Path, bits: int) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    layer = {4: bitsandbytes.nn.Linear4bit, 8: bitsandbytes.nn.Linear8bitLt}[bits]
    processor = small_processor()
    text = {**small_config().text_config.to_dict(), "hidden_size": 128}  # kernels want 32 n
    small_model(text_config=text, video_token_id=processor.video_token_id).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    plain, _ = load(tmp_path, dtype=torch.bfloat16)
    config = BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8)
    model, _ = load(tmp_path, dtype=torch.bfloat16, quantization_config=config)
    quantized = [name for name, module in model.named_modules() if isinstance(module, layer)]
    assert len(quantized) == 14
    assert all(name.startswith("model.language_model.layers") for name in quantized)
    inputs = processor("What?", random_frames(4))
    exact, rounded = plain(**inputs).logits, model(**inputs).logits
    assert 0 < (exact - rounded).norm() / exact.norm() < {4: 0.3, 8: 0.03}[bits]
    assert model.generate(**inputs, max_new_tokens=2).shape[1] > inputs["input_ids"].shape[1]


def test_few_bits_need_a_library(small_checkpoint: Path) -> None:
    if find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(InputError, match="pip install bitsandbytes"):
        load(small_checkpoint, quantization_config=BitsAndBytesConfig(load_in_8bit=True))


def test_dtype_is_the_checkpoints(copy: Path) -> None:
    def halve(weights: dict[str, torch.Tensor]) -> None:
        weights.update({name: weight.bfloat16() for name, weight in weights.items()})

    change_weights(copy, halve)
    change_config(copy, dtype="bfloat16")
    assert load(copy)[0].dtype == torch.bfloat16


def test_hub_names_say_what_failed_without_a_network() -> None:
    with pytest.raises(CheckpointError, match="nobody/nothing: there is no complete copy"):
        load("nobody/nothing")


@pytest.mark.parametrize(
    ("representation", "message"),
    [
        ("64,729,3,2", "M = 729 does not fit this model"),
        ("8,64,0,2", "slow_stride must be"),
        ("8,64,3,9", "would keep no token"),
        ("nonsense", "no representation is called"),
    ],
)
def test_representations_that_do_not_fit(
    small_checkpoint: Path, representation: str, message: str
) -> None:
    with pytest.raises(RepresentationError, match=message):
        load(small_checkpoint, representation=representation)


def test_presets_take_the_grid_of_the_model(small_checkpoint: Path) -> None:
    model, processor = load(small_checkpoint, representation="llava-video-slowfast")
    assert model.config.representation == processor.representation
    assert model.config.representation.grid_side == 8
    assert model.config.representation.slow_stride == 3
