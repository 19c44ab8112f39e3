"""What users do on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser import Window
from tests.serve.server import SAMPLES

THREE_SHAPES = SAMPLES / "three_shapes.mp4"


class Talking(Window):
    """The page in a window.

    Args:
        driver: of selenium.
        url: of the server.
    """

    def __init__(self, driver: Any, url: str) -> None:
        super().__init__(driver)
        self.url = url

    def start(self) -> None:
        """Open the page, in a tab that knows nothing."""
        self.resize(1280, 900)
        self.open(f"{self.url}/")
        self.script("sessionStorage.clear()")
        self.errors()
        self.until(lambda: self.text("#model"))

    def take(self, file: Path = THREE_SHAPES) -> None:
        """Choose a video, and wait until its frames are on the tape."""
        self.give("#video-file", file)
        self.until(lambda: self.all("#tape .frame"))
        self.until(lambda: not self.is_shown("#upload"))

    def begin(self, question: str) -> None:
        """Ask, and wait until there is something to see of the answer."""
        before = len(self.all(".turn"))
        self.one("#question").send_keys(question + "\n")
        self.until(lambda: len(self.all(".turn")) == before + 1)

    def ask(self, question: str) -> str:
        """Ask, and wait for the whole answer."""
        self.begin(question)
        self.until(lambda: self.is_shown("#ask") and not self.all(".turn.busy"))
        return self.all(".turn")[-1].find_element("css selector", ".text").text

    def facts(self) -> str:
        """What the last answer took."""
        return self.all(".facts")[-1].text

    def seconds(self) -> float:
        """Where the player is."""
        return float(self.script("return document.getElementById('player').currentTime"))

    def button(self, text: str) -> Any:
        """The last button with this text."""
        found = [one for one in self.all("button") if one.is_displayed() and one.text == text]
        return found[-1] if found else None

    def is_wide(self) -> bool:
        """Whether the page scrolls sideways."""
        return bool(self.script("return document.documentElement.scrollWidth > innerWidth"))

    def focused(self) -> str:
        """The name of what has the focus: its label or its text."""
        return str(
            self.script(
                "const e = document.activeElement;"
                "return e.getAttribute('aria-label') || e.id || e.textContent.trim()"
            )
        )

    def refused(self, *statuses: int) -> None:
        """Check that the console tells of these refusals, and of nothing else."""
        said = self.errors()
        assert len(said) == len(statuses), said
        for message, status in zip(said, statuses, strict=True):
            assert f"status of {status}" in message
