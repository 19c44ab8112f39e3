"""What a running annotation shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from llava_video.annotate.ledger import Totals

STAGES = ("waiting", "describe", "ask", "check", "done", "failed", "rejected")
_LINE_EVERY_SECONDS = 10.0


class Progress:
    """Counts videos by stage and shows them with calls, tokens, dollars and the time left.

    Args:
        console: where to show it; standard error, so that ``--json`` output stays clean.
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
            values = "  ".join(f"{name} {value}" for name, value in self._values())
            self._console.print(values, highlight=False, soft_wrap=True)

    def _values(self) -> list[tuple[str, str]]:
        counts = Counter(self._stages.values())
        totals = self._totals()
        seconds = max(1e-9, time.monotonic() - self._started)
        calls = totals.num_calls - self._calls_before
        left = self._forecast_calls - totals.num_calls
        eta = f"{left * seconds / calls:.0f} s" if calls and left > 0 else "-"
        stages = [(f"{stage}", str(counts[stage])) for stage in STAGES if counts[stage]]
        return [
            *stages,
            ("calls", f"{totals.num_calls}"),
            ("calls/s", f"{calls / seconds:.1f}"),
            ("tokens in", f"{totals.prompt_tokens:,}"),
            ("out", f"{totals.completion_tokens:,}"),
            ("usd", f"{totals.usd:.4f}"),
            ("failed attempts", str(totals.num_failed_attempts)),
            ("time left", eta),
        ]

    def _table(self) -> Table:
        table = Table(title="annotate", title_justify="left")
        values = self._values()
        for name, _ in values:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row(*(value for _, value in values))
        return table
