"""Records of two answers become rows of one pair, and what is no preference is named."""

import json
from pathlib import Path

import pytest
import torch

from llava_video.errors import InputError
from llava_video.train.data.encode import RowCollator, label
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.train.data.preferences import PairCollator, PairDataset, as_preference
from llava_video.train.data.samples import Folders
from llava_video.train.plan import make_plan
from llava_video.train.recipe import load_recipe
from tests.train.test_run import recipe_for


def test_both_conversations_are_those_of_the_renderer(pairs: PairDataset) -> None:
    encoder = pairs._encoder
    for sample in pairs._samples:
        pair = encoder.encode(sample)
        paths = [medium.source for medium in sample.media]
        frames = [encoder.processor.sample_frames(path, num_frames=3) for path in paths]
        slots = [encoder.processor.slot_of(video) for video in frames]
        for messages, ids, labels in (
            (sample.messages, pair.input_ids, pair.labels),
            (sample.rejected, pair.other_ids, pair.other_labels),
        ):
            prompt = encoder.processor.renderer.render(messages, slots, add_generation_prompt=False)
            assert prompt.input_ids == ids
            assert label(prompt, "assistant", None) == labels
        shared = pair.num_shared
        assert pair.input_ids[:shared] == pair.other_ids[:shared]
        assert set(pair.labels[: shared + 1]) == {LABEL_IGNORED}
        assert encoder.measure(sample) == max(len(pair.input_ids), len(pair.other_ids))


def test_a_data_loader_hands_over_no_mask(pairs: PairDataset) -> None:
    processor = pairs._encoder.processor
    collate = PairCollator(RowCollator(processor), processor.tokenizer.pad_token_id)
    batch = collate([pairs[0], pairs[1]])
    text = {k: v for k, v in batch.items() if isinstance(v, torch.Tensor) and "pixel" not in k}
    assert max(value.numel() for value in text.values()) == batch["input_ids"].numel()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chosen": None}, "no 'chosen' that is text"),
        ({"rejected": " "}, "no 'rejected' that is text"),
        ({"prompt": 3}, "no 'prompt' that is text"),
        ({"video": None}, "shows no video"),
        ({"video": "none.mp4"}, "none.mp4 does not exist"),
        ({"rejected": "The chosen one."}, "the same"),
        ({"image": "a.png"}, "it shows images"),
        ({"video": None, "video_path": "a.mp4"}, "shows no video"),
        ({"start": 3}, "'start' may ask"),
    ],
)
def test_what_is_no_preference_is_named(preferences: Path, change: dict, said: str) -> None:
    record = {**json.loads(preferences.read_text())[0], "chosen": "The chosen one.", **change}
    with pytest.raises(InputError, match=said):
        as_preference(record, "one", Folders(preferences.parent, preferences.parent))


def test_a_video_marker_is_the_place_of_the_video(preferences: Path) -> None:
    record = {**json.loads(preferences.read_text())[0], "answer": "?"}
    folders = Folders(preferences.parent, preferences.parent)
    expected = as_preference(record, "one", folders)
    assert record["prompt"].startswith("<image>\n")
    for prompt in (record["prompt"].replace("<image>", "<video>"), record["prompt"][8:]):
        assert as_preference({**record, "prompt": prompt}, "one", folders) == expected


def test_conversations_are_no_preferences(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for("dpo", toy_data, small_checkpoint, tmp_path / "run")
    with pytest.raises(InputError, match=r"no sample that can be used.*no 'prompt'"):
        make_plan(recipe)
    with pytest.raises(InputError, match="dpo needs labels=assistant"):
        load_recipe("dpo", ["model=m", "mixture=x", "out=o", "labels=llava_next"])
