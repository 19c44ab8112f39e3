"""Helpers of tests that run the pipeline against the fake endpoint."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from llava_video.annotate.recipe import Recipe, load_recipe
from llava_video.annotate.run import RunResult, run
from tests.annotate.fake_endpoint import FakeEndpoint

FAST = {
    "endpoint.model": "gpt-4o",
    "endpoint.max_wait_seconds": 0.02,
    "endpoint.probe": False,  # tests/annotate/test_probe.py has it on
    "describe.image_max_side": 32,
    "ask.types": ["temporal", "count"],
}


def recipe_for(fake: FakeEndpoint, **changes: object) -> Recipe:
    """A small, fast recipe that asks the fake; ``describe__history`` means ``describe.history``."""
    values = {name.replace("__", "."): value for name, value in changes.items()}
    return load_recipe("open", overrides({"endpoint.base_url": fake.url, **FAST, **values}))


def overrides(values: Mapping[str, object]) -> list[str]:
    """Values by key as ``key=value``, the way a user writes them."""
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }
    return [f"{key}={text}" for key, text in texts.items()]


def run_quietly(videos: Path, recipe: Recipe, out: Path, **options: object) -> RunResult:
    """A run that shows nothing."""
    return run([str(videos)], recipe, out, console=Console(file=io.StringIO()), **options)


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file of a run but the ledger, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("ledger.sqlite")
    }
