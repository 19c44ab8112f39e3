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
