"""A run trains what its recipe says, stops where it must, and resumes where it stopped."""

import json
import os
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from llava_video import load
from llava_video.checkpoints.files.adapter_files import BESIDE_FILE
from llava_video.errors import CheckpointError, InputError
from llava_video.records.files import hold_folder
from llava_video.train import loop
from llava_video.train.checkpoints import newest_checkpoint
from llava_video.train.plan import make_plan
from llava_video.train.recipe import Recipe, load_recipe
from llava_video.train.run import merge, train
from tests.cli.run import Shell
from tests.forked import fork


def changes(data: Path, checkpoint: Path, out: Path, *more: str) -> list[str]:
    return [
        f"model={checkpoint}", f"mixture={data / 'mixture.yaml'}", f"video_folder={data}",
        f"out={out}", "num_frames=3", "max_tokens=900", "dtype=float32", "workers=0",
        "rows_per_update=1", "rows_per_step=1", "log_steps=1", "save_steps=2", "representation=",
        "report_samples=0", *more,
    ]  # fmt: skip


def recipe_for(name: str, data: Path, checkpoint: Path, out: Path, *more: str) -> Recipe:
    return load_recipe(name, changes(data, checkpoint, out, *more))


def moved(before: Path, after: Path) -> set[str]:
    """The parts of the model whose weights changed."""
    old, new = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert old.keys() == new.keys()
    names = {name for name in old if not torch.equal(old[name].float(), new[name].float())}
    parts = ("vision_encoder", "projector", "language_model", "lm_head", "newline", "separator")
    return {next(part for part in parts if part in name) for name in names}


def test_only_parts_with_a_learning_rate_move(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for("projector", toy_data, small_checkpoint, tmp_path / "run", "max_steps=2")
    model = train(recipe, bar=False)
    assert moved(small_checkpoint, model) == {"projector", "newline", "separator"}
    loaded, _ = load(model)
    assert loaded.config.representation == load(small_checkpoint)[0].config.representation
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [1, 2]
    assert all(0 <= line["data_wait_share"] <= 1 for line in log if "loss" in line)


@pytest.mark.parametrize(
    ("parts", "moving"),
    [
        ("language_model", {"language_model"}),
        ("vision_encoder, projector", {"vision_encoder", "projector"}),
    ],
)
def test_adapters_are_merged_into_their_parts(
    parts: str, moving: set[str], toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(
        "lora", toy_data, small_checkpoint, tmp_path / "run", "max_steps=2", "lora.rank=4",
        f"lora.parts=[{parts}]", "learning_rates.projector=", "warmup_ratio=0",
    )  # fmt: skip
    model = train(recipe, bar=False)
    assert moved(small_checkpoint, model) == moving


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_run_of_one_update_trains(
    schedule: str, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(
        "projector", toy_data, small_checkpoint, tmp_path / "run", "max_steps=1",
        f"schedule={schedule}",
    )  # fmt: skip
    assert recipe.warmup_ratio > 0
    assert "projector" in moved(small_checkpoint, train(recipe, bar=False))


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_merging_gives_the_model_of_the_run_bit_for_bit(
    shell: Shell, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe = recipe_for(
        "lora", toy_data, small_checkpoint, run, "max_steps=3", "lora.rank=4", "warmup_ratio=0",
        "dtype=bfloat16", "representation=4,64,2,2",
    )  # fmt: skip
    model = train(recipe, bar=False)
    assert moved(small_checkpoint, model) >= {"language_model", "projector", "newline"}

    for number, source in enumerate([run, run / "adapter", run / "checkpoints" / "checkpoint-3"]):
        done = shell("merge", source, tmp_path / f"merged{number}")
        assert done.code == 0, done.err
        assert equal(weights(tmp_path / f"merged{number}"), weights(model))
        config = (tmp_path / f"merged{number}" / "config.json").read_text()
        assert config == (model / "config.json").read_text()
    earlier = shell("merge", run / "checkpoints" / "checkpoint-2", tmp_path / "earlier")
    assert earlier.code == 0
    assert not equal(weights(tmp_path / "earlier"), weights(model))

    again = shell("merge", run, tmp_path / "earlier")
    assert (again.code, "is there already" in again.err) == (2, True)
    unwritable = shell("merge", run, Path("/proc/nothing/model"))
    assert (unwritable.code, "/proc/nothing/model cannot be written" in unwritable.err) == (2, True)
    nothing = shell("merge", toy_data, tmp_path / "none")
    assert (nothing.code, "neither an adapter nor a run" in nothing.err) == (2, True)
    other = shell("merge", run / "adapter", tmp_path / "other", "--model", "tiny")
    assert (other.code, "does not fit tiny" in other.err) == (2, True)
    assert not (tmp_path / "other").exists()


def test_an_adapter_keeps_what_was_trained_inside_its_layers(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe = recipe_for(
        "lora", toy_data, small_checkpoint, run, "max_steps=2", "lora.parts=[projector]",
        "learning_rates.projector=1e-3", "warmup_ratio=0",
    )  # fmt: skip
    model = train(recipe, bar=False)
    merge(run / "adapter", tmp_path / "merged")
    assert equal(weights(tmp_path / "merged"), weights(model))

    beside = run / "adapter" / BESIDE_FILE
    save_file({"model.nowhere": torch.zeros(1)}, beside)
    with pytest.raises(CheckpointError, match=r"does not fit .*it has no model\.nowhere"):
        merge(run / "adapter", tmp_path / "other")


def train_to_the_first_checkpoint(name: str, words: list[str]) -> None:
    """Train, and be killed once a checkpoint is written."""
    save = loop.save_checkpoint

    def save_and_die(*values: Any) -> None:
        save(*values)
        os.kill(os.getpid(), signal.SIGKILL)

    loop.save_checkpoint = save_and_die
    train(load_recipe(name, words), bar=False)


@pytest.mark.parametrize(
    ("name", "change", "data"),
    [
        ("projector", "learning_rates.language_model=1e-3", "mixture.yaml"),
        ("lora", "lora.rank=4", "mixture.yaml"),
        ("dpo", "learning_rates.language_model=1e-3", "preferences.json"),
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(
    name: str, change: str, data: str, preferences: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    toy_data = preferences.parent
    more = ("max_steps=6", change, "warmup_ratio=0", f"mixture={toy_data / data}")
    whole = recipe_for(name, toy_data, small_checkpoint, tmp_path / "whole", *more)
    expected = load_file(train(whole, bar=False) / "model.safetensors")

    out = tmp_path / "killed"
    words = changes(toy_data, small_checkpoint, out, *more)
    process = fork(train_to_the_first_checkpoint, name, words)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    assert newest_checkpoint(out / "checkpoints") is not None
    half_written = out / "checkpoints" / "checkpoint-99"
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"")

    resumed = recipe_for(name, toy_data, small_checkpoint, out, *more)
    found = load_file(train(resumed, bar=False) / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_weights_that_have_two_names_are_kept_once(toy_data: Path, tmp_path: Path) -> None:
    model, _ = load("tiny")
    assert model.lm_head.weight is model.get_input_embeddings().weight
    recipe = recipe_for(
        "projector", toy_data, Path("tiny"), tmp_path / "run", "max_steps=2", "save_steps=1",
        "learning_rates.language_model=1e-3", "warmup_ratio=0", "packing=false",
    )  # fmt: skip
    whole = weights(train(recipe, bar=False))
    shutil.rmtree(tmp_path / "run" / "model")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "checkpoint-2")
    assert equal(weights(train(recipe, bar=False)), whole)
    name = "model.language_model.embed_tokens.weight"
    assert not torch.equal(whole[name], model.state_dict()[name])


def test_a_loss_that_is_no_number_names_the_samples(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in small_checkpoint.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["model.projector.linear_1.weight"][0, 0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    recipe = recipe_for("projector", toy_data, broken, tmp_path / "run", "max_steps=2")
    with pytest.raises(InputError, match=r"loss is nan at step 1.*toyworld_simple.*no checkpoint"):
        train(recipe, bar=False)


def test_a_full_disk_leaves_the_checkpoint_before(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = loop.save_checkpoint
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def save_on_a_small_disk(folder: Path, step: int, *args) -> None:
        if step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        save(folder, step, *args)

    recipe = recipe_for(
        "projector", toy_data, small_checkpoint, tmp_path / "run", "max_steps=2", "save_steps=1"
    )
    monkeypatch.setattr(loop, "save_checkpoint", save_on_a_small_disk)
    try:
        with pytest.raises(InputError, match=r"no room .*resumes from .*checkpoint-1"):
            train(recipe, bar=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    monkeypatch.undo()

    leftover = tmp_path / "run" / "checkpoints" / "checkpoint-2" / "shard-00002-of-two.safetensors"
    leftover.write_bytes(b"of an attempt with two processes")
    resumed = weights(train(recipe, bar=False))
    whole = recipe_for(
        "projector", toy_data, small_checkpoint, tmp_path / "whole", "max_steps=2", "save_steps=1"
    )
    assert equal(resumed, weights(train(whole, bar=False)))


def test_a_folder_keeps_its_recipe(toy_data: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(recipe_for("projector", toy_data, small_checkpoint, out, "max_steps=1"), bar=False)
    with pytest.raises(InputError, match="finished run"):
        train(recipe_for("projector", toy_data, small_checkpoint, out, "max_steps=1"), bar=False)
    shutil.rmtree(out / "model")
    with pytest.raises(InputError, match="another recipe"):
        train(recipe_for("projector", toy_data, small_checkpoint, out, "max_steps=2"), bar=False)


def test_a_folder_keeps_its_samples(toy_data: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(toy_data, data)
    recipe = recipe_for("projector", data, small_checkpoint, out, "max_steps=2", "save_steps=1")
    whole = weights(train(recipe, bar=False))
    begun = (out / "run.json").read_text()
    shutil.rmtree(out / "model")
    shutil.rmtree(out / "checkpoints" / "checkpoint-2")
    questions = data / "toyworld_oe.json"
    records = json.loads(questions.read_text())
    video = data / records[0]["video"]

    def goes_on_with_others() -> None:
        with pytest.raises(InputError, match="begun with other samples; restore them or give"):
            train(recipe, bar=False)
        assert (out / "run.json").read_text() == begun

    text = questions.read_text()
    questions.write_text(json.dumps(records[1:] + records[:1]))
    goes_on_with_others()
    questions.write_text(text)
    video.rename(tmp_path / "moved")
    goes_on_with_others()
    (tmp_path / "moved").rename(video)
    assert equal(weights(train(recipe, bar=False)), whole)


def test_long_samples_are_an_error_or_left_out(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    def plan(*more: str):
        return make_plan(
            recipe_for("projector", toy_data, small_checkpoint, tmp_path / "run", *more)
        )

    lengths = sorted(plan().lengths)
    limit = f"max_tokens={lengths[-1] - 1}"
    with pytest.raises(InputError, match=f"has {lengths[-1]} tokens, a row holds"):
        plan(limit)
    shorter = plan(limit, "on_long_sample=skip_and_report")
    assert len(shorter.samples) + len(shorter.problems) == len(lengths)
    assert max(shorter.lengths) < lengths[-1]


def test_epochs_are_whole_passes(toy_data: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    recipe = recipe_for(
        "projector", toy_data, small_checkpoint, tmp_path / "run", "epochs=2", "packing=false"
    )
    plan = make_plan(recipe)
    order = [sample for row in plan.rows for sample in row]
    half = len(plan.samples)
    assert sorted(order[:half]) == sorted(order[half:]) == list(range(half))
    assert order[:half] != order[half:]
    assert plan.num_steps == 2 * half


def test_more_frames_than_the_model_takes_are_refused_by_the_name_of_the_key(
    toy_data: Path, tmp_path: Path
) -> None:
    def plan(*more: str) -> int:
        words = ("packing=false", "max_tokens=2048", *more)
        return make_plan(
            recipe_for("lora", toy_data, Path("tiny"), tmp_path / "run", *words)
        ).num_steps

    with pytest.raises(
        InputError, match=r"num_frames=32 is more .* T = 12 .* num_frames to 1\.\.12"
    ):
        plan("num_frames=32")
    assert plan("num_frames=") == plan("num_frames=12") > 0
    assert plan("num_frames=32", "representation=32,64,2,2") > 0


def test_an_update_larger_than_the_data_is_said_to_repeat_it(
    shell: Shell, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    def warnings(*more: str) -> list[str]:
        words = changes(toy_data, small_checkpoint, tmp_path / "run", *more)
        return json.loads(shell("train", "projector", *words, "--dry-run", "--json").out)[
            "warnings"
        ]

    recipe = recipe_for("projector", toy_data, small_checkpoint, tmp_path / "run", "max_steps=1")
    plan = make_plan(recipe)
    num_rows = len(make_plan(recipe.model_copy(update={"max_steps": None})).rows)
    assert 1 < num_rows < len(plan.samples)
    assert warnings(f"rows_per_update={num_rows}") == []
    (warning,) = warnings(f"rows_per_update={2 * num_rows}")
    assert f"all samples fit into {num_rows} rows" in warning
    assert "uses each sample 2.0 times" in warning
    assert f"set rows_per_update={num_rows} or less; packing=false makes more" in warning
    (warning,) = warnings("packing=false", f"rows_per_update={3 * len(plan.samples)}")
    assert warning.endswith(f"set rows_per_update={len(plan.samples)} or less")

    train(recipe.model_copy(update={"rows_per_update": 2 * num_rows}), bar=False)
    (result,) = json.loads((tmp_path / "run" / "run.json").read_text())["warnings"]
    assert "2.0 times" in result
    assert result in (tmp_path / "run" / "report.html").read_text()


def test_a_dry_run_counts_what_rows_lack(
    shell: Shell, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    good = json.loads((toy_data / "toyworld_oe.json").read_text())[0]
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "It."}]
    address = "data:image/jpeg;base64,/9j/AAAA"
    bad = [{"video_path": f"{number}.mp4", "conversations": turns} for number in range(3)]
    bad += [{"image": address, "conversations": turns}, {"video": "", "conversations": turns}]
    rows = [good, *bad, {**good, "difficulty": "hard", "id": "more"}]
    (toy_data / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    words = changes(toy_data, small_checkpoint, tmp_path / "run")
    words = [*words, f"mixture={toy_data / 'rows.json'}"]
    result = json.loads(shell("train", "projector", *words, "--dry-run", "--json").out)
    assert result["num_samples"] == 2
    assert [reason["num_samples"] for reason in result["reasons"]] == [3, 1, 1]
    assert len(result["left_out"]) == len(bad)
    assert "rows.json: the key 'difficulty' of 1 samples is not read" in result["warnings"]
    said = shell("train", "projector", *words, "--dry-run").out
    assert said.count("left out: ") == 3
    assert "'video_path', which is not read" in said


def test_a_dry_run_shows_the_plan_and_trains_nothing(
    shell: Shell, toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    words = changes(toy_data, small_checkpoint, tmp_path / "run")
    done = shell("train", "projector", *words, "--dry-run", "--json")
    assert done.code == 0
    result = json.loads(done.out)
    assert result["num_samples"] == sum(part["num_samples"] for part in result["mixture"])
    assert result["left_out"] == []
    assert not (tmp_path / "run").exists()
    assert shell("train", "projector", *words, "--dry-run").out.count("samples") >= 2
    bad = shell("train", "projector", *words, "frames=3", "--dry-run")
    assert bad.code == 2
    assert "did you mean 'num_frames'" in bad.err


def hold_for_ever(folder: Path) -> None:
    with hold_folder(folder, "wait"):
        (folder / "held").touch()
        time.sleep(600)


def test_a_folder_is_trained_in_by_one_process(
    toy_data: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_for("projector", toy_data, small_checkpoint, tmp_path / "run", "max_steps=1")
    other = fork(hold_for_ever, recipe.out)
    while not (recipe.out / "held").exists():
        assert other.is_alive()
        time.sleep(0.01)
    with pytest.raises(InputError, match="another process is at work there; wait for it"):
        train(recipe, bar=False)
    other.kill()
    other.join()
    assert train(recipe, bar=False) is not None


def test_the_last_update_is_logged(toy_data: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    recipe = recipe_for(
        "projector", toy_data, small_checkpoint, tmp_path / "run", "max_steps=3", "log_steps=2"
    )
    train(recipe, bar=False)
    lines = [json.loads(line) for line in (recipe.out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [2, 3]
    assert "3 of 3" in (recipe.out / "report.html").read_text()
