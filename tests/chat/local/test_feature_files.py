"""Vision features in files: the same after a restart, within their bytes, never a damaged one."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from llava_video.chat.local.feature_files import FeatureFiles
from llava_video.chat.local.limits import CacheLimits
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions, answer_one
from llava_video.errors import InputError
from tests.chat.fresh import user, video
from tests.video.media import write_video

OPTIONS = AnswerOptions(max_new_tokens=4)
FEATURES = torch.arange(24.0, dtype=torch.bfloat16).reshape(2, 3, 4)
FILE_BYTES = 200
"""More than one file of these features, less than two."""


def ask(checkpoint: Path, clip: Path, folder: Path, **options: object) -> Answered:
    """The answer of a process that has just started, as far as its caches go."""
    model = LocalModel.load(
        checkpoint,
        limits=CacheLimits(0, 0, 0),
        feature_files=FeatureFiles(folder, 2**24),
        **options,  # type: ignore[arg-type]
    )
    return answer_one(model, [user(video(clip), "What happens?")], OPTIONS)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mp4", num_frames=12)
    return tmp_path / "a.mp4"


def test_a_restart_encodes_nothing_and_answers_alike(
    small_checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    first = ask(small_checkpoint, clip, tmp_path / "cache")
    again = ask(small_checkpoint, clip, tmp_path / "cache")
    assert first.usage.num_frames_encoded > 0 == again.usage.num_frames_encoded
    assert first.text == again.text and not again.warnings


def test_another_precision_encodes_again(
    small_checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    for options in ({"dtype": "float32"}, {"dtype": "bfloat16"}, {"int8": True}):
        assert ask(small_checkpoint, clip, folder, **options).usage.num_frames_encoded > 0
        assert ask(small_checkpoint, clip, folder, **options).usage.num_frames_encoded == 0
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"x" * 40, None])
def test_a_damaged_file_is_encoded_again(
    small_checkpoint: Path, clip: Path, tmp_path: Path, content: bytes | None
) -> None:
    first = ask(small_checkpoint, clip, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*/*/*.features")
    if content is None:  # one bit of a feature, which safetensors would not notice
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
    file.write_bytes(content)
    again = ask(small_checkpoint, clip, tmp_path / "cache")
    assert again.usage.num_frames_encoded == first.usage.num_frames_encoded
    assert again.text == first.text
    assert ask(small_checkpoint, clip, tmp_path / "cache").usage.num_frames_encoded == 0


def test_those_read_longest_ago_go_first(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, 2 * FILE_BYTES)
    for number, name in enumerate(("aa", "bb", "cc")):
        files.write("encoder", name, FEATURES + number)
        assert files.num_bytes <= files.max_bytes
        for age, file in enumerate(("cc", "bb", "aa")):
            with_time = tmp_path / "encoder" / file / f"{file}.features"
            if with_time.exists():
                os.utime(with_time, (1000 - age, 1000 - age))
        if name == "bb":  # read again: the other one goes
            assert files.read("encoder", "aa") is not None
    assert files.read("encoder", "bb") is None
    kept = files.read("encoder", "aa")
    assert kept is not None and torch.equal(kept, FEATURES)


def test_what_is_larger_than_the_folder_may_be_is_not_written(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, 10)
    files.write("encoder", "aa", FEATURES)
    assert files.num_bytes == 0 and not files.warning


def test_a_folder_that_fails_costs_no_answer(
    small_checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    files = FeatureFiles(folder, 2**24)
    shutil.rmtree(folder)
    folder.write_text("a file where the folder was, as a full disk: nothing can be written")
    model = LocalModel.load(small_checkpoint, feature_files=files)
    answered = answer_one(model, [user(video(clip), "What happens?")], OPTIONS)
    assert "cannot be written" in "".join(answered.warnings)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another"):
        FeatureFiles(tmp_path / "file" / "cache", 10)
