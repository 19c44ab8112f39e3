"""Blocks in Markdown."""

from __future__ import annotations

from llava_video.pages.blocks import Table
from llava_video.pages.terminal import cell_text


def to_markdown(table: Table) -> str:
    """A table, without its title."""
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(_cell(cell_text(c)) for c in line) + " |" for line in lines)


def escape(text: str) -> str:
    """Text with tags escaped: text of users and models must not become HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(escape(text).replace("|", "\\|").splitlines())
