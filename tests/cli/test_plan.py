"""``plan`` on the command line."""

import json

from tests.cli.run import Shell


def test_prints_options_reasons_and_a_pick(shell: Shell) -> None:
    done = shell("plan", "--model", "tiny", "--gpu-memory", "2GiB", "--clip-seconds", "30")
    assert done.code == 0
    assert "pick: --representation 12,64,3,2 (12 frames, one every 2.5 s" in done.out
    assert "no: this model has no newline vector" in done.out
    assert "the context is 2,048" in done.out


def test_json_holds_the_terms(shell: Shell) -> None:
    told = json.loads(shell("plan", "--model", "tiny", "--gpu-memory", "2GiB", "--json").out)
    memory = told["pick"]["memory"]
    assert memory["peak"] == max(memory["moments"].values())
    assert told["pick"]["num_video_tokens"] == 96
    assert told["key_value_bytes_per_token"] == 2 * 4 * 2 * 32 * 4
    assert told["most_frames"] >= 12


def test_nothing_fits_and_bad_input(shell: Shell) -> None:
    done = shell("plan", "--model", "tiny", "--gpu-memory", "100MiB")
    assert done.code == 1
    assert "nothing fits" in done.out
    for words in (("--gpu-memory", "much"), ("--gpu-memory", "1GiB", "--dtype", "int4")):
        done = shell("plan", "--model", "tiny", *words)
        assert (done.code, done.err.count("\n")) == (2, 1)
