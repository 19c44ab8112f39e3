"""What a running annotation shows: everything within 80 columns, or plain lines."""

import asyncio
import io

import pytest
from rich.console import Console

from llava_video.annotate.engines.progress import STAGES, Progress
from llava_video.calls.totals import Totals

BEFORE = Totals(100, 100, 0, 0, 0, 0, 0, 0.0, 0.0)
NOW = Totals(2345, 2360, 14, 1, 12_345_678, 3_456_789, 1200, 45.6789, 0.1)


def shown(*, is_terminal):
    """The last thing that is shown of a run of 700 videos, a hundred in each stage."""
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=is_terminal, color_system=None)
    totals = [BEFORE]

    async def work():
        async with Progress(console, lambda: totals[0], forecast_calls=9000) as progress:
            for number in range(700):
                progress.stage(f"v{number}", STAGES[number % len(STAGES)])
            totals[0] = NOW

    asyncio.run(work())
    return file.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_stages_calls_tokens_dollars_and_time_are_all_there(is_terminal):
    text = shown(is_terminal=is_terminal)
    for stage in STAGES:
        assert f"{stage} 100" in text
    for fact in ("2,345 of about 9,000", "per second", "0:00:0", "$45.6789", "12,345,678 tokens"):
        assert fact in text
    assert "3,456,789 out" in text and "14 attempts failed" in text
    assert "…" not in text


def test_without_a_terminal_there_are_plain_lines():
    [line] = shown(is_terminal=False).splitlines()
    assert line.startswith("videos waiting 100  describe 100")
    assert "\x1b" not in line
