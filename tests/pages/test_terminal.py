"""Blocks on a terminal."""

import pytest

from llava_video.pages.blocks import Histogram, Table
from llava_video.pages.terminal import harmless, show


def test_a_table_that_is_not_on_a_terminal_is_as_wide_as_it_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "word " * 50 + "end"
    show("before", Table(("name", "n"), [(long, 1234), ("[bold]b", "-")], "lr", title="t"), "after")
    before, *table, after = capsys.readouterr().out.split("\n\n")
    assert (before, after) == ("before", "after\n")
    title, head, _, first, second = table[0].splitlines()
    assert (title, head.split()) == ("t", ["name", "n"])
    assert first == f"{long}  1,234"
    assert second.split() == ["[bold]b", "-"]
    assert len(head) == len(first) == len(second), "numbers stand to the right"


def test_a_histogram_shows_the_bins_that_hold_something(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(Histogram.of("tokens", [0, 0, 100], 4))
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["0", "to", "25", "2", "#" * 40],
        ["75", "to", "100", "1", "#" * 20],
    ]


def test_names_and_words_cannot_command_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b]0;title\x07b\r\n\tc\u2028é"
    assert harmless(evil) == "a\ufffd]0;title\ufffdb\ufffd\n\tc\u2028é"
    show(evil, Table((evil,), [(evil,)], title=evil), Histogram.of(evil, [1]))
    assert not set(capsys.readouterr().out) & {"\x1b", "\x07", "\r"}
