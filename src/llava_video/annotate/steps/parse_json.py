"""Parses the JSON in a model's answer, strictly first, then tolerantly."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

_FENCE = re.compile(r"```(?:json|python)?\s*\n?(.*?)```", re.DOTALL)


def parse_json(text: str) -> Any:
    """The first JSON value in an answer: see `json_values`.

    Raises:
        ValueError: the text has no JSON.
    """
    for value in json_values(text):
        return value
    raise ValueError("no JSON found")


def json_values(text: str) -> Iterator[Any]:
    """The JSON values in an answer.

    Tried in order: the text as it is, which then is the only one; the insides of code fences; from
    each outermost bracket to its partner. Each is read as JSON, with trailing commas removed, and
    as a Python literal (single quotes, ``None``).
    """
    whole = list(_variants(text.strip()))
    if whole:
        yield whole[0]
        return
    fenced = [match.strip() for match in _FENCE.findall(text)]
    for candidate in (*fenced, *(span for part in (text, *fenced) for span in _bracketed(part))):
        yield from _variants(candidate)


def _variants(candidate: str) -> Iterator[Any]:
    """The value of a text that is JSON, or nearly; nothing otherwise."""
    for variant in (candidate, re.sub(r",(\s*[\]}])", r"\1", candidate)):
        try:
            yield json.loads(variant, strict=False)
            return
        except (ValueError, RecursionError):
            pass
    if candidate[:1] in ("{", "["):
        try:
            value = ast.literal_eval(candidate)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return
        yield value


def _bracketed(text: str, num_restarts: int = 20) -> Iterator[str]:
    """The outermost balanced ``{...}`` and ``[...]`` of a text, quotes taken into account."""
    start, depth, quoted, escaped = 0, 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif depth and character == "\\":
            escaped = True
        elif depth and character == '"':
            quoted = not quoted
        elif not quoted and character in "{[":
            start = start if depth else position
            depth += 1
        elif not quoted and depth and character in "}]":
            depth -= 1
            if depth == 0:
                yield text[start : position + 1]
    if depth and num_restarts:  # a bracket that is never closed hides what comes after it
        yield from _bracketed(text[start + 1 :], num_restarts - 1)


def is_nothing(value: Any) -> bool:
    """Whether a model's value means "this type does not fit": null, "None", "N/A" or empty."""
    if isinstance(value, str):
        return value.strip().lower().rstrip(".") in ("", "none", "null", "n/a")
    return value is None
