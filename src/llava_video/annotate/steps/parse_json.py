"""Parses the JSON in a model's answer, strictly first, then tolerantly."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_FENCE = re.compile(r"```(?:json|python)?\s*\n?(.*?)```", re.DOTALL)


def parse_json(text: str) -> Any:
    """The JSON value in an answer.

    Tried in order: the text as it is; the inside of a code fence; from the first bracket to its
    partner; the same with trailing commas removed; the same as a Python literal (single quotes,
    ``None``). Anything else is an error.

    Raises:
        ValueError: the text has no JSON.
    """
    candidates = [text.strip(), *(match.strip() for match in _FENCE.findall(text))]
    candidates += [span for candidate in list(candidates) for span in _bracketed(candidate)]
    for candidate in candidates:
        for variant in (candidate, re.sub(r",(\s*[\]}])", r"\1", candidate)):
            try:
                return json.loads(variant, strict=False)
            except (ValueError, RecursionError):
                pass
        if candidate[:1] in ("{", "["):
            try:
                return ast.literal_eval(candidate)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                pass
    raise ValueError("no JSON found")


def _bracketed(text: str) -> list[str]:
    """The first balanced ``{...}`` or ``[...]`` of a text, quotes taken into account."""
    start = re.search(r"[{\[]", text)
    if start is None:
        return []
    depth, quoted, escaped = 0, False, False
    for position in range(start.start(), len(text)):
        character = text[position]
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "{[":
            depth += 1
        elif not quoted and character in "}]":
            depth -= 1
            if depth == 0:
                return [text[start.start() : position + 1]]
    return []


def is_nothing(value: Any) -> bool:
    """Whether a model's value means "this type does not fit": null, "None", "N/A" or empty."""
    if isinstance(value, str):
        return value.strip().lower().rstrip(".") in ("", "none", "null", "n/a")
    return value is None
