"""``plan`` on the command line."""

import json

import pytest

from llava_video.checkpoints.load import find_checkpoint, fit_representation, load_config
from llava_video.representation import make_layout
from tests.cli.run import Shell


def test_prints_options_reasons_and_a_pick(shell: Shell) -> None:
    done = shell("plan", "--model", "tiny", "--gpu-memory", "2GiB", "--clip-seconds", "30")
    assert done.code == 0
    assert "pick: --representation 12,64,3,2 (12 frames, one every 2.5 s" in done.out
    assert "no: this model has no newline vector" in done.out
    assert "the context is 2,048" in done.out


def test_json_holds_the_terms(shell: Shell) -> None:
    result = json.loads(shell("plan", "--model", "tiny", "--gpu-memory", "2GiB", "--json").out)
    memory = result["pick"]["memory"]
    assert memory["peak"] == max(memory["moments"].values())
    assert result["pick"]["num_video_tokens"] == 96
    assert result["key_value_bytes_per_token"] == 2 * 6 * 2 * 32 * 2
    assert result["most_frames"] >= 12


def test_plans_for_another_representation_with_fewer_tokens(shell: Shell) -> None:
    words = ("plan", "--model", "tiny", "--gpu-memory", "2GiB", "--representation")
    kept = json.loads(shell(*words, "evs=0.5", "--json").out)["pick"]
    assert kept["num_video_tokens"] == 48
    everything = json.loads(shell(*words, "all", "--json").out)["pick"]
    assert everything["num_video_tokens"] == 96
    assert kept["memory"]["key_value_cache"] < everything["memory"]["key_value_cache"]
    assert kept["memory"]["video_tokens"] == everything["memory"]["video_tokens"]
    assert "pick: --representation '12,64,3,2 evs=0.5' (12 frames" in shell(*words, "evs=0.5").out
    assert shell(*words, "evs=2").code == 2


def test_columns_are_as_wide_as_what_they_hold(shell: Shell) -> None:
    words = ("--gpu-memory", "2GiB", "--clip-seconds", "86400000")
    lines = shell("plan", "--model", "tiny", *words).out.splitlines()
    head = next(line for line in lines if line.startswith("representation"))
    day = next(line for line in lines if line.startswith("86400000,"))
    assert day.split()[:3] == ["86400000,64,3,2", "86400000", "691,200,000"]
    assert day.index("691,200,000") + len("691,200,000") == head.index("tokens") + len("tokens")
    assert " million parameters in " in lines[0]


def test_the_runtime_is_counted_once_and_said(shell: Shell) -> None:
    lines = shell("plan", "--model", "tiny", "--gpu-memory", "100MiB").out.splitlines()
    row = next(line for line in lines if line.startswith("12,64,3,2"))
    peak = " ".join(row.split("  no: ")[0].split()[-2:])
    assert f"no: needs {peak} and 512 MiB for the runtime, of 100 MiB" in row


def test_nothing_fits_and_bad_input(shell: Shell) -> None:
    done = shell("plan", "--model", "tiny", "--gpu-memory", "100MiB")
    assert done.code == 1
    assert "nothing fits" in done.out
    for words in (("--gpu-memory", "much"), ("--gpu-memory", "1GiB", "--dtype", "int4")):
        done = shell("plan", "--model", "tiny", *words)
        assert (done.code, done.err.count("\n")) == (2, 1)


def test_a_longest_wait_with_rates_given_or_measured(shell: Shell) -> None:
    words = ("plan", "--model", "tiny", "--max-latency", "0.5")
    given = shell(*words, "--gpu-memory", "2GiB", "--tflops", "1", "--bandwidth", "10GB")
    assert "rates as given: frames 1 TFLOP/s, prompt 1 TFLOP/s, answer 10.0 GB/s" in given.out
    assert "peak  seconds\n" in given.out
    result = json.loads(shell(*words, "--json").out)
    assert result["rates"]["source"] == "measured on cpu just now"
    assert result["options"][0]["latency"]["total_seconds"] > 0
    assert result["memory_bytes"] > 0
    done = shell(*words, "--tflops", "1")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "go together" in done.err


@pytest.mark.parametrize("name", ["pllava", "lita", "simple", "12,64,3,2", "evs=0.5"])
def test_what_a_plan_prints_is_what_other_commands_make_of_it(shell: Shell, name: str) -> None:
    words = ("plan", "--model", "tiny", "--gpu-memory", "2GiB", "--json", "--representation")
    config = load_config(find_checkpoint("tiny"))
    for option in json.loads(shell(*words, name).out)["options"]:
        if option["num_frames"]:
            found = fit_representation(option["name"], config)
            num_tokens = make_layout(found, found.max_frames).num_tokens
            assert num_tokens == option["num_video_tokens"], option["name"]


def test_a_fast_frame_that_cannot_be_is_not_planned(shell: Shell) -> None:
    words = ("plan", "--model", "tiny", "--gpu-memory", "2GiB", "--representation", "1,64,1,8")
    assert "the given representation with all its frames fits" in shell(*words).out
