"""The command line: one module per verb, each imported only when its verb is used."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click
import typer
from typer.core import TyperGroup

from llava_video.errors import LlavaVideoError

# verb -> (module under llava_video.cli, help line). A module offers either `command`, a function with
# Typer annotations, or `app`, a typer.Typer with verbs of its own.
VERBS = {
    "ask": ("ask", "Answer a question about a video."),
    "frames": ("frames", "Show which frames of a video are seen, and when."),
    "tokens": ("tokens", "Draw the video tokens that a representation makes of a video."),
    "presets": ("presets", "List the video representations that have a name."),
    "toyworld": ("toyworld", "Make videos with known truth."),
}
