"""Run the command line in this process, as a shell would."""

import sys
from dataclasses import dataclass

import pytest

from llava_video.cli.app import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class Shell:
    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capture = capture

    def __call__(self, *words: object) -> Done:
        self._patch.setattr(sys, "argv", ["llava-video", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = self._capture.readouterr()
        return Done(code, captured.out, captured.err)
