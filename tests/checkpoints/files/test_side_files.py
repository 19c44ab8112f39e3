"""Files beside the weights: whatever is wrong with one is a sentence with its name, and early."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import llava_video as lv
from llava_video.checkpoints.files.side_files import load_generation_config
from llava_video.checkpoints.load import load, load_config, load_processor
from llava_video.errors import CheckpointError
from tests.checkpoints.on_disk import change_config
from tests.model.small import random_frames

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
JSON_FILES = [
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
]


@pytest.fixture
def copy(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_checkpoint, tmp_path / "copy"))


def change(file: Path, **changes: object) -> None:
    values = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**values, **changes}))


@pytest.mark.parametrize("name", [*JSON_FILES, "merges.txt", "chat_template.jinja"])
def test_pointers_of_git_lfs_and_what_helps(name: str, copy: Path) -> None:
    whole = (copy / name).read_bytes() if (copy / name).is_file() else None
    (copy / name).write_text(POINTER)
    for read in (load, load_config):
        with pytest.raises(
            CheckpointError, match=rf"{name} is a pointer of git-lfs .*git lfs pull"
        ):
            read(copy)
    (copy / name).unlink()
    if whole is not None:
        (copy / name).write_bytes(whole)
    load(copy)  # once the file itself is there


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json"])
def test_pointers_in_the_place_of_weights(name: str, copy: Path) -> None:
    (copy / name).write_text(POINTER)
    with pytest.raises(CheckpointError, match=rf"{name} is a pointer of git-lfs"):
        load_config(copy)


@pytest.mark.parametrize("name", JSON_FILES)
def test_files_that_are_cut_short(name: str, copy: Path) -> None:
    content = (copy / name).read_text() if (copy / name).is_file() else '{"a": "b", "c": 1}'
    (copy / name).write_text(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=rf"{name} is not valid JSON .*download it again"):
        load(copy)


def test_a_tokenizer_of_a_newer_library(copy: Path) -> None:
    change(copy / "tokenizer.json", model={"type": "NewKind", "vocab": {}})
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: .*cannot be read by tokenizers"):
        load(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer_class": 7},
        {"added_tokens_decoder": {"x": 1}},
        {"added_tokens_decoder": "x"},
        {"extra_special_tokens": 5},
    ],
)
def test_settings_of_a_tokenizer_that_cannot_be(changes: dict[str, Any], copy: Path) -> None:
    change(copy / "tokenizer_config.json", **changes)
    with pytest.raises(CheckpointError, match="the tokenizer cannot be read by"):
        load(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eos_token_id": "<|im_end|>"}, "eos_token_id cannot be '<|im_end|>'"),
        ({"eos_token_id": [1, "x"]}, "eos_token_id cannot be"),
        ({"suppress_tokens": [1.5]}, "suppress_tokens cannot be"),
        ({"temperature": "hot"}, "temperature cannot be 'hot'"),
        ({"repetition_penalty": True}, "repetition_penalty cannot be True"),
        ({"max_new_tokens": "many"}, "max_new_tokens cannot be"),
        ({"cache_implementation": "none such"}, "cannot be followed"),
    ],
)
def test_settings_of_generation_that_cannot_be(
    changes: dict[str, Any], message: str, copy: Path
) -> None:
    file = copy / "generation_config.json"
    before = file.read_text()
    change(file, **changes)
    with pytest.raises(
        CheckpointError, match=rf"generation_config\.json:? .*{message}".replace("|", r"\|")
    ):
        load_config(copy)
    file.unlink()  # "or remove it"
    load(copy)
    file.write_text(before)
    assert load_generation_config(copy) is not None


def test_settings_of_generation_stay_what_they_are(copy: Path) -> None:
    change(
        copy / "generation_config.json",
        eos_token_id=[3, 5],
        repetition_penalty=1.05,
        do_sample=True,
        temperature=0.7,
    )
    model, _ = load(copy)
    assert model.generation_config.eos_token_id == [3, 5]
    assert model.generation_config.repetition_penalty == 1.05


def test_a_tokenizer_without_a_padding_token_answers_and_pads(copy: Path) -> None:
    """The official code pads with the end token."""
    file = copy / "tokenizer_config.json"
    values = json.loads(file.read_text())
    del values["pad_token"]
    file.write_text(json.dumps(values))
    model, processor = lv.load(copy)
    inputs = processor(["What colour is it?", "x"], [random_frames(2), None])
    assert not inputs["attention_mask"].all()
    model.generate(**inputs, max_new_tokens=2)


def test_no_tokenizer_at_all(copy: Path) -> None:
    config = load_config(copy)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        load_processor(copy, config)


def test_a_configuration_is_named_by_its_file(copy: Path) -> None:
    change_config(copy, dtype="fp8")
    with pytest.raises(CheckpointError, match=r"config\.json: dtype 'fp8' is not one of float32"):
        load(copy)
