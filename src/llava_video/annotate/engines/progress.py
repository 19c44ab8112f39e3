"""Progress of a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from llava_video.calls.totals import Totals

ENDED = ("done", "failed", "rejected")
STAGES = ("waiting", "describe", "ask", "check", *ENDED)
_LINE_EVERY_SECONDS = 10.0


class Progress:
    """Counts videos by stage and shows them with calls, tokens, dollars and the time left.

    Args:
        console: for output; standard error, so that ``--json`` output stays clean.
        totals: sums over the ledger, read anew at every refresh.
        forecast_calls: calls expected in all, for the time left.
    """

    def __init__(
        self, console: Console, totals: Callable[[], Totals], forecast_calls: int = 0
    ) -> None:
        self._console = console
        self._totals = totals
        self._forecast_calls = forecast_calls
        self._stages: dict[str, str] = {}
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._started = time.monotonic()
        self._calls_before = totals().num_calls
        self._task: asyncio.Task[None] | None = None

    def stage(self, video_id: str, stage: str) -> None:
        """A video has reached a stage."""
        self._stages[video_id] = stage

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(text))

    async def __aenter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        self._task = asyncio.create_task(self._refresh())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        self._show()
        if self._live is not None:
            self._live.stop()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(0.5 if self._live is not None else _LINE_EVERY_SECONDS)
            self._show()

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        else:
            line = "; ".join(f"{name} {text}" for name, text in self._facts())
            self._console.print(line, highlight=False, soft_wrap=True)

    def _facts(self) -> list[tuple[str, str]]:
        counts = Counter(self._stages.values())
        totals = self._totals()
        seconds = max(1e-9, time.monotonic() - self._started)
        rate = (totals.num_calls - self._calls_before) / seconds
        left = self._forecast_calls - totals.num_calls
        calls = f"{totals.num_calls:,}"
        if self._forecast_calls:
            calls += f" of about {self._forecast_calls:,}"
        calls += f"  {rate:.1f} per second"
        if rate and left > 0:
            calls += f"  {timedelta(seconds=round(left / rate))} left"
        spent = f"${totals.usd:.4f}  {totals.prompt_tokens:,} tokens in"
        spent += f"  {totals.completion_tokens:,} out"
        if totals.num_failed_attempts:
            spent += f"  {totals.num_failed_attempts} attempts failed"
        videos = "  ".join(f"{stage} {counts[stage]}" for stage in STAGES if counts[stage])
        return [("videos", videos), ("calls", calls), ("spent", spent)]

    def _table(self) -> Table:
        """Three rows of facts, and a bar, that fit into 80 columns."""
        table = Table.grid(padding=(0, 2))
        for name, text in self._facts():
            table.add_row(Text(name, style="bold"), Text(text))
        ended = sum(self._stages[video] in ENDED for video in self._stages)
        table.add_row("", ProgressBar(total=max(1, len(self._stages)), completed=ended, width=60))
        return table
