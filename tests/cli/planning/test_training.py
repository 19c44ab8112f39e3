"""``plan-training``: memory, days and dollars of known models."""

import json

import pytest

from tests.cli.run import Shell

SMALL = ("plan-training", "video-sft", "--model", "0.5b", "--frames", 8)


def test_one_row_for_each_model_and_number_of_devices(shell: Shell) -> None:
    done = shell(*SMALL, "--devices", 1, "--devices", 4, "--samples", 1000, "--json", "shard=true")
    assert done.code == 0, done.err
    one, four = json.loads(done.out)["runs"]
    assert (one["num_devices"], four["num_devices"]) == (1, 4)
    assert one["tokens_per_sample"] == 8 * 14 * 15 + 400
    assert four["seconds"] == pytest.approx(one["seconds"] / 4)
    assert four["memory"]["peak"] < one["memory"]["peak"]


def test_a_model_that_is_not_known_is_named(shell: Shell) -> None:
    done = shell("plan-training", "video-sft", "--model", "3b")
    assert done.code == 2
    assert "--model 3b: not a known model; take one of 0.5b, 7b" in done.err


def test_frames_are_those_of_the_representation_and_tokens_those_of_the_model(shell: Shell) -> None:
    words = ("plan-training", "lora", "--devices", "8", "--model", "7b", "--json")
    own = json.loads(shell(*words).out)["runs"][0]
    released = json.loads(shell(*words, "representation=released-7b").out)["runs"][0]
    assert own["tokens_per_sample"] == released["tokens_per_sample"] == 32 * 14 * 15 + 400
    words = ("plan-training", "projector", *words[2:])
    for num_frames in (16, 96):  # as many as the representation takes, unless the recipe says
        done = shell(*words, f"representation={num_frames},729,1,2")
        [run] = json.loads(done.out)["runs"]
        assert run["tokens_per_sample"] == num_frames * 14 * 15 + 400
