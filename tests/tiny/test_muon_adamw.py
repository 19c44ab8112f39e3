"""Two optimizers that look like one: nothing is left out, and a resumed run continues exactly."""

import copy

import torch
from torch import nn

from llava_video.tiny.muon_adamw import MuonAdamW


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 8), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 7))


def train(model: nn.Module, optimizer: MuonAdamW, first: int, last: int) -> None:
    for step in range(first, last):
        ids = torch.arange(step, step + 4) % 7
        nn.functional.cross_entropy(model(ids), (ids + 1) % 7).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_every_trainable_parameter_is_in_one_group() -> None:
    model = small_model()
    model[2].bias.requires_grad_(False)
    optimizer = MuonAdamW(model, lr=0.01)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    matrices, rest = optimizer.param_groups
    assert {p.shape for p in matrices["params"]} == {(8, 8), (7, 8)}
    assert any(p is model[0].weight for p in rest["params"]), (
        "a table of embeddings is not a matrix"
    )


def test_a_scheduler_reaches_both_parts() -> None:
    model = small_model()
    optimizer = MuonAdamW(model, lr=0.01)
    before = copy.deepcopy(model.state_dict())
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    train(model, optimizer, 0, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_resumed_run_equals_one_that_never_stopped() -> None:
    whole = small_model()
    train(whole, MuonAdamW(whole, lr=0.01), 0, 6)

    half = small_model()
    optimizer = MuonAdamW(half, lr=0.01)
    train(half, optimizer, 0, 3)
    state = copy.deepcopy(optimizer.state_dict())
    resumed = small_model()
    resumed.load_state_dict(half.state_dict())
    optimizer = MuonAdamW(resumed, lr=0.5)  # the state brings its own rate
    optimizer.load_state_dict(state)
    train(resumed, optimizer, 3, 6)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
