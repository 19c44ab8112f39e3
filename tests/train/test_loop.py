"""The loop does what plain PyTorch does, stops where it must, and continues where it stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from llava_video.errors import InputError
from llava_video.train.checkpoints import load_optimizer, load_weights, newest_checkpoint
from llava_video.train.devices import make_accelerator
from llava_video.train.log import Log
from llava_video.train.loop import MAX_GRAD_NORM, Batch, Loop, Notes, Objective

NUM_STEPS = 6
BATCHES_PER_UPDATE = 3
SIZES = [1, 4, 2]
"""Rows of each batch of an update; they weigh as much."""


class Squares(Objective):
    """The mean of squared differences over the rows of an update."""

    def weight(self, batch: Batch) -> int:
        return len(batch["x"])

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Notes]:
        losses = functional.mse_loss(model(batch["x"]), batch["y"], reduction="none").mean(1)
        return losses.sum(), {"losses": losses}


def batches() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "x": torch.randn(SIZES[number % 3], 4, generator=generator),
            "y": torch.randn(SIZES[number % 3], 2, generator=generator),
            "sample_names": [f"sample {number}", ""],
        }
        for number in range(NUM_STEPS * BATCHES_PER_UPDATE)
    ]


def run(
    folder: Path, data: list[dict[str, Any]], *, done: int = 0, num_steps: int = NUM_STEPS
) -> nn.Module:
    """Train from the start, or resume from the newest checkpoint; each step drops at random."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.25), nn.Linear(8, 2))
    optimizer = AdamW(model.parameters(), lr=0.1)
    scheduler = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    checkpoint = newest_checkpoint(folder)
    if checkpoint is not None:
        load_weights(checkpoint, model)
        load_optimizer(checkpoint, model, optimizer)
    accelerator = make_accelerator()
    folder.mkdir(exist_ok=True)
    loader = DataLoader(data[done * BATCHES_PER_UPDATE :], batch_size=None)
    with Log(folder, accelerator, bar=False) as log:
        Loop(
            accelerator, accelerator.prepare_model(model), Squares(), optimizer, scheduler, log,
            folder=folder, num_steps=num_steps, batches_per_update=BATCHES_PER_UPDATE,
            log_steps=1, save_steps=2,
        ).run(loader, checkpoint)  # fmt: skip
    return model


def test_an_update_is_that_of_all_its_rows_at_once(tmp_path: Path) -> None:
    model = nn.Linear(4, 2)
    plain = nn.Linear(4, 2)
    plain.load_state_dict(model.state_dict())
    data = batches()[: 2 * BATCHES_PER_UPDATE]
    optimizer = AdamW(model.parameters(), lr=0.1)
    accelerator = make_accelerator()
    with Log(tmp_path, accelerator, bar=False) as log:
        Loop(
            accelerator, model, Squares(), optimizer, LambdaLR(optimizer, lambda _: 1.0), log,
            folder=tmp_path, num_steps=2, batches_per_update=BATCHES_PER_UPDATE,
        ).run(DataLoader(data, batch_size=None))  # fmt: skip

    own = AdamW(plain.parameters(), lr=0.1)
    for update in (data[:BATCHES_PER_UPDATE], data[BATCHES_PER_UPDATE:]):
        x, y = (torch.cat([batch[name] for batch in update]) for name in ("x", "y"))
        functional.mse_loss(plain(x), y).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), MAX_GRAD_NORM)
        own.step()
        own.zero_grad()
    torch.testing.assert_close(model.state_dict(), plain.state_dict())


def test_a_run_that_stopped_continues_bit_for_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", batches())
    run(tmp_path / "parts", batches(), num_steps=3)
    torch.rand(5)  # other random numbers are drawn in between
    resumed = run(tmp_path / "parts", batches(), done=3)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    losses = [[line.split(", ")[:3] for line in log if '"loss"' in line] for log in logs]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("value", "what"),
    [(float("nan"), "the loss is nan"), (1e18, "the norm of the gradient is inf")],
)
def test_what_is_not_finite_stops_before_it_spoils_the_weights(
    value: float, what: str, tmp_path: Path
) -> None:
    data = batches()
    data[10]["x"].fill_(value)  # the large one can be squared once, but not twice
    with pytest.raises(InputError, match=f"{what} at step 4") as error:
        run(tmp_path, data)
    named = str(error.value)
    assert "sample 10" in named
    assert ("sample 9" in named) == ("gradient" in what), "a loss is that of one batch"
    assert "checkpoint-2 is the last good checkpoint" in named
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.25), nn.Linear(8, 2))
    last = newest_checkpoint(tmp_path)
    assert last is not None and last.name == "checkpoint-2"
    load_weights(last, model)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_an_update_without_weight_changes_nothing_but_the_step(tmp_path: Path) -> None:
    empty = {"x": torch.zeros(0, 4), "y": torch.zeros(0, 2)}
    model = nn.Linear(4, 2)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    accelerator = make_accelerator()
    with Log(tmp_path, accelerator, bar=False) as log:
        loop = Loop(
            accelerator, model, Squares(), optimizer, LambdaLR(optimizer, lambda _: 1.0), log,
            folder=tmp_path, num_steps=1,
        )  # fmt: skip
        loop.run(DataLoader([empty], batch_size=None))
    assert loop.step == 1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_it_ends_when_its_objective_is_reached(tmp_path: Path) -> None:
    class Easy(Squares):
        is_reached = True

    model = nn.Linear(4, 2)
    optimizer = AdamW(model.parameters(), lr=0.1)
    accelerator = make_accelerator()
    with Log(tmp_path, accelerator, bar=False) as log:
        loop = Loop(
            accelerator, model, Easy(), optimizer, LambdaLR(optimizer, lambda _: 1.0), log,
            folder=tmp_path, num_steps=9,
        )  # fmt: skip
        loop.run(DataLoader(batches(), batch_size=None))
    assert loop.step == 1
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-1"
