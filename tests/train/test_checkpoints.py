"""A checkpoint brings back what an optimizer remembers, and nothing else."""

from pathlib import Path

import torch
from torch import nn
from torch.optim import AdamW

from llava_video.train.checkpoints import load_optimizer, load_weights, save_state


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
