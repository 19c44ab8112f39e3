"""Two processes learn what one process learns from the same rows."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.optim import AdamW

from llava_video import load
from llava_video.errors import InputError
from llava_video.train.checkpoints import load_optimizer, newest_checkpoint
from llava_video.train.devices import batches_of_process
from llava_video.train.parameters import parameter_groups, set_trainable
from llava_video.train.plan import make_plan
from llava_video.train.recipe import load_recipe
from llava_video.train.run import train
from tests.forked import fork_module
from tests.train.test_run import changes

LAUNCH = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
RATES = ("learning_rates.language_model=1e-3", "learning_rates.vision_encoder=1e-3")
MORE = (
    *RATES, "rows_per_update=2", "packing=false", "max_steps=2",
    "save_steps=1", "warmup_ratio=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def half_text(toy_data: Path) -> Path:
    """Samples of three toy videos each, as many that show an image, and as many that show nothing.

    The vision encoder runs twice for the frames of three videos, and once for a black one. Images
    have no separator, and videos have.
    """
    records = json.loads((toy_data / "toyworld_oe.json").read_text())
    for record in records:
        record["video"] = [record["video"]] * 3
        record["conversations"][0]["value"] = "<image>\n" * 2 + record["conversations"][0]["value"]
    talk = [
        {"from": "human", "value": "What is red?"},
        {"from": "gpt", "value": "A colour, and a short answer."},
    ]
    Image.new("RGB", (64, 64), "red").save(toy_data / "red.png")
    image = {"image": "red.png", "conversations": talk}
    path = toy_data / "half_text.json"
    path.write_text(json.dumps(records + [image, {"conversations": talk}] * len(records)))
    return path


@pytest.fixture(scope="module")
def words(half_text: Path, small_checkpoint: Path) -> list[str]:
    return [
        *changes(half_text.parent, small_checkpoint, Path("run"), *MORE),
        f"mixture={half_text}", f"image_folder={half_text.parent}", "seed=9",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def alone(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a single process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train(load_recipe("projector", [*words, f"out={out}"]), bar=False)
    return out


PORTS = itertools.count(20_000 + os.getpid() * 7 % 10_000)
"""Below those that the system gives to others, as rank 0 listens only seconds later."""


def train_in_two_processes(recipe: str, words: list[str], folder: Path) -> None:
    """What ``torchrun`` starts: the environment of each process is all that it adds."""
    port = next(PORTS)
    processes = []
    for rank in ("0", "1"):
        environment = {
            "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        log = folder / f"log{rank}"
        processes.append(fork_module("llava_video", ["train", recipe, *words], environment, log))
    for rank, process in enumerate(processes):
        process.join(300)
        assert process.exitcode == 0, (folder / f"log{rank}").read_text()


def gradients(out: Path) -> dict[str, torch.Tensor]:
    """Gradients of the first step, a tenth of them: what AdamW remembers after it."""
    recipe = load_recipe(str(out / "recipe.yaml"))
    model, _ = load(recipe.model)
    set_trainable(model, recipe)
    optimizer = AdamW(parameter_groups(model, recipe), lr=0.0)
    load_optimizer(out / "checkpoints" / "checkpoint-1", model, optimizer)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: state["exp_avg"] for p, state in optimizer.state.items()}


def log_of(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def assert_same_run(one: Path, other: Path) -> None:
    """The gradients of the first step are equal, and the loss of the second; later steps differ.

    AdamW divides by the size of a gradient, also where it is rounding only.
    """
    expected, found = gradients(one), gradients(other)
    assert expected.keys() <= found.keys()
    for name, value in found.items():
        # Split weights that nothing uses, such as SigLIP's last norm, have a gradient of zero.
        meant = expected.get(name, torch.zeros_like(value))
        torch.testing.assert_close(value, meant, rtol=1e-4, atol=1e-8, msg=name)
    for a, b in zip(log_of(one), log_of(other), strict=True):
        assert a["step"] == b["step"]
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_at_every_step_processes_see_different_things(words: list[str]) -> None:
    plan = make_plan(load_recipe("projector", words))
    seen = [{medium.kind for medium in plan.samples[row[0]].media} for row in plan.rows]
    for step in (seen[:2], seen[2:]):
        assert {"video"} in step
    assert {"image"} in seen
    assert set() in seen


def test_an_update_of_text_moves_what_sees_as_on_several_devices(
    words: list[str], half_text: Path, tmp_path: Path
) -> None:
    """Other devices would see something, or wait for ever: all see at least a black frame."""
    text = [r for r in json.loads(half_text.read_text()) if len(r) == 1]
    (tmp_path / "text.json").write_text(json.dumps(text))
    more = (f"mixture={tmp_path / 'text.json'}", f"out={tmp_path / 'run'}", "save_steps=1")
    train(load_recipe("projector", [*words, *more]), bar=False)
    found = {n: g for n, g in gradients(tmp_path / "run").items() if "vision_encoder" in n}
    assert len(found) > 10
    assert not any(gradient.any() for gradient in found.values())


def test_copied_weights_learn_what_one_process_learns(
    alone: Path, words: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [*LAUNCH, "-m", "llava_video", "train", "projector", *words]
    done = subprocess.run(  # which starts torchrun's agent
        [sys.executable, "-m", *command, f"out={out}", "report_samples=1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{out / 'model'}", "only the first process speaks"
    assert_same_run(alone, out)


def test_split_weights_learn_the_same_and_one_process_takes_over(
    alone: Path, words: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train_in_two_processes("projector", [*words, f"out={out}", "shard=true"], tmp_path)
    assert_same_run(alone, out)

    last = newest_checkpoint(out / "checkpoints")
    assert last is not None
    assert len(list(last.glob("*.safetensors"))) == 2, "each process wrote its part"
    whole = log_of(out)
    shutil.rmtree(last)
    shutil.rmtree(out / "model")
    (out / "log.jsonl").unlink()
    train(load_recipe("projector", [*words, f"out={out}", "shard=true"]), bar=False)
    resumed = log_of(out)
    assert resumed[0]["step"] == whole[1]["step"] == 2
    assert resumed[0]["loss"] == pytest.approx(whole[1]["loss"], rel=1e-5)
    assert resumed[0]["grad_norm"] == pytest.approx(whole[1]["grad_norm"], rel=1e-4)


def test_an_update_is_shared_evenly_or_refused(words: list[str], tmp_path: Path) -> None:
    recipe = load_recipe("projector", [*words, f"out={tmp_path}", "rows_per_step=4"])
    with pytest.raises(InputError, match="rows_per_update=2 is not a multiple of 4"):
        train(recipe, bar=False)


def test_processes_share_what_they_prefer(
    preferences: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    words = [
        *changes(preferences.parent, small_checkpoint, tmp_path, *MORE),
        "learning_rates.projector=", f"mixture={preferences}",
    ]  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    train(load_recipe("dpo", [*words, f"out={one}"]), bar=False)
    train_in_two_processes("dpo", [*words, f"out={two}", "shard=true"], tmp_path)
    references = [load_file(out / "reference.safetensors")["logps"] for out in (one, two)]
    torch.testing.assert_close(*references, rtol=1e-5, atol=1e-5)
    assert_same_run(one, two)
    assert log_of(one)[1]["margin"] == pytest.approx(log_of(two)[1]["margin"], rel=1e-3)


@pytest.mark.parametrize(("num_processes", "rows_per_step"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_processes_share_the_rows_of_each_update(num_processes: int, rows_per_step: int) -> None:
    batches_per_update, num_updates, done = 2, 4, 1
    per_update = batches_per_update * num_processes * rows_per_step
    num_rows = num_updates * per_update
    shares = [
        batches_of_process(
            num_rows,
            rows_per_step,
            done * per_update,
            SimpleNamespace(process_index=index, num_processes=num_processes),
        )
        for index in range(num_processes)
    ]
    for update in range(num_updates - done):
        begin, end = update * batches_per_update, (update + 1) * batches_per_update
        rows = [row for share in shares for batch in share[begin:end] for row in batch]
        first = (done + update) * per_update
        assert sorted(rows) == list(range(first, first + per_update))
    assert all(len(share) == (num_updates - done) * batches_per_update for share in shares)
