"""A checkpoint brings back what an optimizer remembers, and nothing else."""

import random
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR

from llava_video.train.checkpoints import (
    LAST_FILE,
    load_optimizer,
    load_rng_state,
    load_weights,
    newest_checkpoint,
    save_checkpoint,
    save_state,
)
from llava_video.train.devices import make_accelerator


def learn(model: nn.ModuleDict, optimizer: AdamW, part: str) -> None:
    loss = model[part](torch.ones(1, 3)).square().sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def begin() -> tuple[nn.ModuleDict, AdamW]:
    torch.manual_seed(0)
    model = nn.ModuleDict({"early": nn.Linear(3, 2), "late": nn.Linear(3, 2)})
    return model, AdamW(model.parameters(), lr=0.1)


def test_what_is_first_used_after_a_checkpoint_learns_as_if_there_was_none(tmp_path: Path) -> None:
    whole, optimizer = begin()
    learn(whole, optimizer, "early")
    save_state(tmp_path, whole, optimizer)
    resumed, other_optimizer = begin()
    load_weights(tmp_path, resumed)
    load_optimizer(tmp_path, resumed, other_optimizer)
    for part in ("late", "early", "late"):
        learn(whole, optimizer, part)
        learn(resumed, other_optimizer, part)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_the_two_newest_checkpoints_stay(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-99").mkdir()
    (tmp_path / "checkpoint-99" / "half.safetensors").touch()
    own = tmp_path / "checkpoint-2-best"  # a copy that a user made
    own.mkdir()
    (own / LAST_FILE).touch()
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for step in (2, 4, 10):
        save_checkpoint(tmp_path, step, make_accelerator(), lambda folder: None, scheduler)
    assert {path.name for path in tmp_path.iterdir()} == {own.name, "checkpoint-4", "checkpoint-10"}
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_random_numbers_of_all_kinds_go_on_where_they_were(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = LambdaLR(optimizer, lambda step: 1.0)
    accelerator = make_accelerator()
    draw()
    save_checkpoint(tmp_path, 1, accelerator, lambda folder: None, scheduler)
    drawn = draw()
    assert draw() != drawn
    load_rng_state(tmp_path / "checkpoint-1", accelerator)
    assert draw() == drawn
