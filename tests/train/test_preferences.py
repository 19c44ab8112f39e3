"""Of two answers, the chosen one becomes more likely; the loss is the one of the paper."""

import json
import math
from pathlib import Path

import pytest
import torch
from llava_video.train.preferences import (
    PairCollator,
    PairDataset,
    PairEncoder,
    answer_logps,
    as_preference,
    preference_loss,
)
from safetensors.torch import load_file

from llava_video.errors import InputError
from llava_video.train.data.encode import RowCollator, label
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.train.data.samples import Folders
from llava_video.train.plan import make_plan
from llava_video.train.recipe import load_recipe
from llava_video.train.run import train
from tests.model.small import small_model, small_processor
from tests.train.test_run import recipe_for

NEEDED = ["model=m", "mixture=x", "out=o", "num_frames=3"]


@pytest.fixture(scope="module")
def dataset(preferences: Path) -> PairDataset:
    records = json.loads(preferences.read_text())
    samples = [
        as_preference(r, f"{n}", Folders(preferences.parent, preferences.parent))
        for n, r in enumerate(records)
    ]
    encoder = PairEncoder(small_processor(), load_recipe("dpo", NEEDED))
    return PairDataset(samples, [(n,) for n in range(len(samples))], encoder)


def test_both_conversations_are_those_of_the_renderer(dataset: PairDataset) -> None:
    encoder = dataset._encoder
    for sample in dataset._samples:
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


def test_the_loss_is_that_of_single_conversations(dataset: PairDataset) -> None:
    model = small_model(video_token_id=small_processor().video_token_id)
    processor = dataset._encoder.processor
    collate = PairCollator(RowCollator(processor), processor.tokenizer.pad_token_id)
    batch = collate([dataset[0], dataset[1], dataset[2]])
    assert batch.pop("sample_names") == ["0", "1", "2"]
    batch.pop("num_tokens")
    together = answer_logps(model, batch)

    singles = []
    for _, pair in (dataset[n][0] for n in range(3)):
        pixels = processor.preprocess(pair.seen.frames[0])
        for ids, labels in ((pair.input_ids, pair.labels), (pair.other_ids, pair.other_labels)):
            logits = model(input_ids=torch.tensor([ids]), pixel_values_videos=pixels).logits[0]
            logps = logits.double().log_softmax(-1)
            singles.append(sum(logps[i - 1, t] for i, t in enumerate(labels) if t != LABEL_IGNORED))
    torch.testing.assert_close(together.flatten().double(), torch.stack(singles))

    reference = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    loss, margins = preference_loss(together, reference, beta=0.1)
    by_hand = []
    for (chosen, rejected), (before, before_other) in zip(
        together.tolist(), reference.tolist(), strict=True
    ):
        margin = (chosen - before) - (rejected - before_other)
        by_hand.append(-math.log(1 / (1 + math.exp(-0.1 * margin))))
    assert loss.item() == pytest.approx(sum(by_hand) / 3, rel=1e-5)
    assert margins.shape == (3,)


def test_a_data_loader_hands_over_no_mask(dataset: PairDataset) -> None:
    processor = dataset._encoder.processor
    collate = PairCollator(RowCollator(processor), processor.tokenizer.pad_token_id)
    batch = collate([dataset[0], dataset[1]])
    text = {k: v for k, v in batch.items() if isinstance(v, torch.Tensor) and "pixel" not in k}
    assert max(value.numel() for value in text.values()) == batch["input_ids"].numel()


def test_the_chosen_answers_gain_on_the_rejected_ones(
    preferences: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(
        "dpo", preferences.parent, small_checkpoint, tmp_path / "run", f"mixture={preferences}",
        "epochs=4", "learning_rates.language_model=1e-3", "warmup_ratio=0", "rows_per_update=2",
        "rows_per_step=2",
    )  # fmt: skip
    train(recipe, bar=False)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    log = [line for line in map(json.loads, lines) if "loss" in line]
    assert log[0]["loss"] == pytest.approx(math.log(2), rel=1e-4), "nothing is learnt yet"
    assert log[0]["margin"] == pytest.approx(0.0, abs=1e-3)
    assert log[-1]["margin"] > 1.0
    assert log[-1]["accuracy"] == 1.0
    assert log[-1]["loss"] < log[0]["loss"]
    num_pairs = len(json.loads(preferences.read_text()))
    assert load_file(tmp_path / "run" / "reference.safetensors")["logps"].shape == (num_pairs, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chosen": None}, "no 'chosen' that is text"),
        ({"rejected": " "}, "no 'rejected' that is text"),
        ({"prompt": 3}, "no 'prompt' that is text"),
        ({"video": None}, "shows no video"),
        ({"video": "none.mp4"}, "none.mp4 does not exist"),
        ({"rejected": "The chosen one."}, "the same"),
    ],
)
def test_what_is_no_preference_is_named(preferences: Path, change: dict, said: str) -> None:
    record = {**json.loads(preferences.read_text())[0], "chosen": "The chosen one.", **change}
    with pytest.raises(InputError, match=said):
        as_preference(record, "one", Folders(preferences.parent, preferences.parent))


def test_conversations_are_no_preferences(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for("dpo", toy_data, small_checkpoint, tmp_path / "run")
    with pytest.raises(InputError, match=r"no sample that can be used.*no 'prompt'"):
        make_plan(recipe)
    with pytest.raises(InputError, match="dpo needs labels=assistant"):
        load_recipe("dpo", [*NEEDED, "labels=llava_next"])
