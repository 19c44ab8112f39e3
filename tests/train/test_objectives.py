"""The losses of both objectives are those of single conversations, and of the papers."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llava_video.train.data.encode import RowCollator
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.train.data.preferences import PairCollator, PairDataset
from llava_video.train.objectives import Dpo, Sft, answer_logps, objective_of, preference_loss
from llava_video.train.plan import make_plan
from llava_video.train.run import train
from tests.model.small import small_model, small_processor
from tests.train.test_run import recipe_for


def test_a_recipe_names_its_objective(
    preferences: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    named = {
        name: type(
            objective_of(
                recipe_for(name, preferences.parent, small_checkpoint, tmp_path), small_processor()
            )
        )
        for name in ("projector", "video-sft", "lora", "dpo")
    }
    assert named == {"projector": Sft, "video-sft": Sft, "lora": Sft, "dpo": Dpo}


def test_the_loss_over_the_weight_is_the_mean_cross_entropy_of_labels(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    plan = make_plan(recipe_for("projector", toy_data, small_checkpoint, tmp_path))
    objective = objective_of(plan.recipe, plan.processor)
    dataset = objective.dataset(plan.samples, plan.rows[:2], tmp_path / "skipped.jsonl")
    batch = objective.collate([dataset[0], dataset[1]])
    names, num_tokens = batch.pop("sample_names"), batch.pop("num_tokens")
    assert len(names) > 2 and num_tokens == batch["input_ids"].numel()
    model = small_model(video_token_id=plan.config.video_token_id)
    model.set_attn_implementation({"text_config": objective.attention})
    assert objective.weight(batch) == (batch["labels"] != LABEL_IGNORED).sum()
    mean = model(**batch).loss
    summed, noted = objective.loss(model, dict(batch))
    torch.testing.assert_close(summed / objective.weight(batch), mean)
    assert noted == {}


def test_preferences_have_the_loss_of_single_conversations(pairs: PairDataset) -> None:
    model = small_model(video_token_id=small_processor().video_token_id)
    processor = pairs._encoder.processor
    collate = PairCollator(RowCollator(processor), processor.tokenizer.pad_token_id)
    batch = collate([pairs[0], pairs[1], pairs[2]])
    assert batch.pop("sample_names") == ["0", "1", "2"]
    batch.pop("num_tokens")
    together = answer_logps(model, batch)

    singles = []
    for _, pair in (pairs[n][0] for n in range(3)):
        pixels = processor.preprocess(pair.seen.frames[0])
        for ids, labels in ((pair.input_ids, pair.labels), (pair.other_ids, pair.other_labels)):
            logits = model(input_ids=torch.tensor([ids]), pixel_values_videos=pixels).logits[0]
            logps = logits.double().log_softmax(-1)
            singles.append(sum(logps[i - 1, t] for i, t in enumerate(labels) if t != LABEL_IGNORED))
    singles_summed = torch.stack(singles).float()
    torch.testing.assert_close(together.flatten(), singles_summed, rtol=1e-5, atol=1e-5)

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
    assert log[0]["loss"] == pytest.approx(math.log(2), rel=1e-4), "nothing is trained yet"
    assert log[0]["margin"] == pytest.approx(0.0, abs=1e-3)
    assert log[-1]["margin"] > 1.0
    assert log[-1]["accuracy"] == 1.0
    assert log[-1]["loss"] < log[0]["loss"]
    num_pairs = len(json.loads(preferences.read_text()))
    assert load_file(tmp_path / "run" / "reference.safetensors")["logps"].shape == (num_pairs, 2)
