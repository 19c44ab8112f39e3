"""The estimate counts what training holds; benchmarks/memory_plans/training.py measures it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from transformers import Qwen2Config, Qwen2Model

from llava_video.model import LlavaVideoConfig
from llava_video.representation import VideoRepresentation
from llava_video.train.data.packing import branch_mask
from llava_video.train.memory import (
    Batch,
    TrainingMemory,
    _text_layer_bytes,
    estimate_memory,
)
from llava_video.train.objectives import objective_of
from llava_video.train.parameters import build_model, parameter_groups
from llava_video.train.plan import estimate_plan, make_plan
from llava_video.train.recipe import load_recipe
from tests.train.test_run import recipe_for

REAL = LlavaVideoConfig(
    vision_config={
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
        "num_attention_heads": 16, "image_size": 384, "patch_size": 14,
    },
    text_config={
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
    video_token_id=1, video_representation=VideoRepresentation(pooling="bilinear").to_dict(),
)  # fmt: skip
BATCH = Batch(num_tokens=8000, num_frames=32, num_video_tokens=6500, num_logits=200)


def estimate(name: str, *changes: str, devices: int = 1) -> TrainingMemory:
    recipe = load_recipe(name, ["model=m", "mixture=x", "out=o", *changes])
    return estimate_memory(recipe, REAL, BATCH, devices, "cuda")


@pytest.mark.parametrize("name", ["projector", "lora", "dpo"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_weights_gradients_and_moments_are_those_that_training_makes(
    name: str, dtype: str, preferences: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    mixture = preferences if name == "dpo" else preferences.parent / "mixture.yaml"
    recipe = recipe_for(
        name, preferences.parent, small_checkpoint, tmp_path / "run", f"dtype={dtype}",
        f"mixture={mixture}",
    )  # fmt: skip
    plan = make_plan(recipe)
    told = estimate_plan(plan, device_type="cpu")
    model = build_model(recipe, plan.directory, plan.config, getattr(torch, dtype))
    assert told.weights == sum(p.numel() * p.element_size() for p in model.parameters())
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), lr=0.0)
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    assert told.optimizer == sum(v.numel() * v.element_size() for v in states if v.ndim)
    assert told.gradients == told.optimizer / 2


def test_the_largest_batch_is_what_is_counted(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for("projector", toy_data, small_checkpoint, tmp_path / "run")
    plan = make_plan(recipe)
    objective = objective_of(recipe, plan.processor)
    dataset = objective.dataset(plan.samples, plan.rows, tmp_path / "skipped.jsonl")
    batches = [
        Batch.of(objective.collate([dataset[i]]), plan.config) for i in range(len(plan.rows))
    ]
    used = [sum(plan.lengths[i] for i in row) for row in plan.rows]
    largest = batches[used.index(max(used))]
    assert largest.num_tokens == max(used)
    assert largest.num_frames == 3 * len(plan.rows[used.index(max(used))])
    assert 0 < largest.num_logits < largest.num_tokens
    same = estimate_memory(recipe, plan.config, largest, 1, "cuda")
    assert estimate_plan(plan) == same


def test_the_mask_of_answers_that_share_a_video_is_counted(
    preferences: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(
        "dpo", preferences.parent, small_checkpoint, tmp_path / "run", f"mixture={preferences}",
        "rows_per_step=2", "rows_per_update=2", "dtype=bfloat16",
    )  # fmt: skip
    plan = make_plan(recipe)
    objective = objective_of(recipe, plan.processor)
    dataset = objective.dataset(plan.samples, plan.rows, tmp_path / "skipped.jsonl")
    starts = range(0, len(plan.rows), 2)
    branches = [objective.collate([dataset[i], dataset[i + 1]])["branches"] for i in starts]
    masks = [branch_mask(several, torch.bfloat16) for several in branches]
    told = estimate_plan(plan)
    assert told.mask in [mask.numel() * mask.element_size() for mask in masks]
    assert told.peak - replace(told, mask=0).peak == told.mask
    assert estimate("video-sft").mask == 0


def test_copies_of_all_weights_are_held_by_one_pass_or_by_both() -> None:
    once = estimate("video-sft")
    assert once.copies == once.weights / 2
    assert once.copies_backward == REAL.text_config.vocab_size * REAL.text_config.hidden_size * 2
    kept = estimate("video-sft", "gradient_checkpointing=false")
    assert kept.copies_backward == kept.copies == once.copies
    assert estimate("video-sft", "dtype=float32").copies == 0


def test_adapters_keep_their_inputs_and_what_was_dropped() -> None:
    dropped, whole = (estimate("lora", f"lora.dropout={share}") for share in (0.05, 0))
    own = (6 * 3584 + 18944) * (2 + 1)  # each adapter's own, and whether it was dropped
    shared = (2 * 3584 + 18944) * 2
    assert dropped.layer - whole.layer == BATCH.num_tokens * (own - shared)
    assert estimate("lora", "dtype=float32").layer > dropped.layer


def bytes_kept(model: Qwen2Model, hidden: int, dtype: torch.dtype) -> int:
    """Bytes of all that autograd keeps of a row of `LENGTH`, weights apart."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if LENGTH in tensor.shape:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    row = torch.randn(1, LENGTH, hidden, dtype=dtype, requires_grad=True)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16),
    ):
        output = model(inputs_embeds=row, use_cache=False).last_hidden_state  # keeps all alive
    return sum(kept.values()) if output.requires_grad else 0


LENGTH = 61
TEXT = {
    "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 8,
    "num_key_value_heads": 2, "vocab_size": 32,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "changes",
    [
        ["lora.dropout=0"],
        ["lora.dropout=0.1"],
        ["lora=", "learning_rates.projector=1e-3"],
        ["lora=", "learning_rates.language_model=1e-5"],
    ],
)
def test_a_layer_keeps_what_is_counted(changes: list[str], dtype: str) -> None:
    """The difference of two layers and one, as autograd keeps it."""
    recipe = load_recipe("lora", ["model=m", "mixture=x", "out=o", f"dtype={dtype}", *changes])
    wanted = getattr(torch, dtype)
    kept = []
    for num_layers in (1, 2):
        config = Qwen2Config(**TEXT, num_hidden_layers=num_layers)
        model: Any = Qwen2Model(config).to(wanted).requires_grad_(False)
        if recipe.lora is not None:
            model = inject_adapter_in_model(
                LoraConfig(r=2, lora_dropout=recipe.lora.dropout, target_modules="all-linear"),
                model,
            )
            for module in model.modules():
                if isinstance(module, LoraLayer):
                    module.cast_input_dtype_enabled = False
            for name, weight in model.named_parameters():
                if "lora_" in name:
                    weight.data = weight.data.float()
                    weight.requires_grad_()
        elif recipe.learning_rates.language_model is not None:
            model = model.float().requires_grad_()
        kept.append(bytes_kept(model.train(), TEXT["hidden_size"], wanted))
    counted = _text_layer_bytes(recipe, Qwen2Config(**TEXT), wanted.itemsize, "cpu") * LENGTH
    assert kept[1] - kept[0] == pytest.approx(counted, rel=0.06)


def test_what_is_shared_checkpointed_or_frozen_takes_less() -> None:
    everything = estimate("video-sft")
    shared = estimate("video-sft", "shard=true", "rows_per_update=8", devices=8)
    assert shared.weights == everything.weights // 8
    assert shared.optimizer == everything.optimizer // 8
    assert estimate("video-sft", "gradient_checkpointing=false").activations > (
        10 * everything.activations
    )
    assert estimate("lora").peak < 24 * 2**30 < everything.weights, "one card of 24 GB"
    copied = estimate("video-sft", "rows_per_update=8", devices=8)
    assert copied.gradients == 2 * everything.gradients, "buffers of the exchange"
