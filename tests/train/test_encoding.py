"""What is learnt of a sample, and how its length is known before its video is read."""

import json
from pathlib import Path

import pytest
import torch

from llava_video.errors import VideoError
from llava_video.model import LlavaVideoProcessor
from llava_video.train.encoding import Encoder, RowCollator, RowDataset
from llava_video.train.recipe import Recipe, load_recipe
from llava_video.train.rows import LABEL_IGNORED
from llava_video.train.samples import Sample, read_mixture
from tests.model.small import small_processor


def recipe_with(*changes: str) -> Recipe:
    return load_recipe("projector", ["model=m", "mixture=x", "out=o", *changes])


def encoder_with(*changes: str) -> Encoder:
    return Encoder(small_processor(), recipe_with(*changes))


@pytest.fixture(scope="session")
def samples(toy_data: Path) -> list[Sample]:
    return [s for part in read_mixture(toy_data / "mixture.yaml", toy_data) for s in part.samples]


@pytest.mark.parametrize("change", ["num_frames=5", "fps=1", "fps=30"])
def test_the_length_is_known_before_the_video_is_read(samples: list[Sample], change: str) -> None:
    encoder = encoder_with(change)
    for sample in samples:
        assert encoder.measure(sample) == len(encoder.encode(sample).input_ids)


def spoken(processor: LlavaVideoProcessor, ids: list[int], labels: list[int]) -> list[str]:
    """Each unbroken stretch of what is learnt, as text."""
    stretches: list[list[int]] = [[]]
    for token, wanted in zip(ids, labels, strict=True):
        if wanted == LABEL_IGNORED:
            stretches.append([])
        else:
            assert wanted == token
            stretches[-1].append(token)
    return [processor.tokenizer.decode(stretch) for stretch in stretches if stretch]


TALK = Sample(
    "talk",
    (
        {"role": "user", "content": "What colour?"},
        {"role": "assistant", "content": "It is red."},
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "Red."},
    ),
    (),
)


def test_the_assistant_learns_what_it_says_and_when_to_stop() -> None:
    encoder = encoder_with()
    encoded = encoder.encode(TALK)
    said = spoken(encoder.processor, encoded.input_ids, encoded.labels)
    assert said == ["It is red.<|im_end|>", "Red.<|im_end|>"]


def test_the_official_mask_has_its_quirks() -> None:
    encoder = encoder_with("labels=llava_next")
    encoded = encoder.encode(TALK)
    said = spoken(encoder.processor, encoded.input_ids, encoded.labels)
    assert said == [
        "<|im_start|>", "\n", "<|im_end|>\n<|im_start|>", "\n",
        "<|im_end|>\n<|im_start|>assistant\nIt is red.<|im_end|>\n<|im_start|>", "\n",
        "<|im_end|>\n<|im_start|>assistant\nRed.<|im_end|>\n",
    ]  # fmt: skip


def test_a_row_holds_what_its_samples_hold(samples: list[Sample]) -> None:
    encoder = encoder_with("num_frames=3")
    rows = RowDataset(samples, [(0, 1), (2,)], encoder, None)
    batch = RowCollator(encoder.processor)([rows[0], rows[1]])
    singles = [encoder.encode(samples[i]) for i in range(3)]
    assert batch["names"] == [single.name for single in singles]
    assert batch["num_tokens"] == sum(len(single.input_ids) for single in singles)
    assert batch["num_frames_per_video"].tolist() == [3, 3, 3]
    assert batch["pixel_values_videos"].shape[0] == 9
    first = len(singles[0].input_ids)
    assert batch["position_ids"][0, first] == 0, "the second sample starts anew"
    assert (batch["attention_mask"][0, 0, first:, :first] < 0).all(), "and sees only itself"


def test_a_video_that_fails_is_an_error_or_is_reported(
    samples: list[Sample], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    message = {"role": "user", "content": [{"type": "video", "path": str(broken)}]}
    bad = Sample("bad", (message, samples[0].messages[1]), (broken,))
    encoder = encoder_with("num_frames=3")
    with pytest.raises(VideoError, match=r"bad: .*broken\.mp4"):
        RowDataset([bad], [(0,)], encoder, None)[0]

    report = tmp_path / "skipped.jsonl"
    rows = RowDataset([bad, samples[0]], [(0, 1), (0,)], encoder, report)
    assert [encoded.name for encoded in rows[0]] == [samples[0].name]
    batch = RowCollator(encoder.processor)([rows[1]])
    assert (batch["labels"] == LABEL_IGNORED).all()
    assert torch.isfinite(batch["attention_mask"]).all()
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [line["sample"] for line in lines] == ["bad", "bad"]
    assert "broken.mp4" in lines[0]["reason"]
