"""How long the stages of an answer take."""

from __future__ import annotations

import time


class Stopwatch:
    """Wall time between calls, by stage."""

    def __init__(self) -> None:
        self.start = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """End a stage that began where the last one ended."""
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._last, 4)
        self._last = now
