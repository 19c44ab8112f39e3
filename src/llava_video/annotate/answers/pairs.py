"""Question-answer pairs in what a model writes: in every shape, also where it was cut off."""

from __future__ import annotations

import json
from typing import Any

from llava_video.annotate.answers.choices import read_answer
from llava_video.annotate.steps.parse_json import is_nothing, json_values

_MOST_OBJECTS = 2000


def find_pairs(text: str) -> list[dict[str, Any]]:
    """The pairs in an answer.

    Of several JSON values, such as an example before the answer, the one with most whole pairs
    counts, and of equals the last. Objects that are one pair each are taken together.

    Raises:
        ValueError: the answer holds no JSON of pairs.
    """
    found: list[list[dict[str, Any]]] = []
    single: list[dict[str, Any]] = []
    for value in json_values(text):
        try:
            pairs = pairs_in(value)
        except ValueError:
            continue
        found.append(pairs)
        is_pair = isinstance(value, dict) and "question" in map(str.lower, map(str, value))
        single += [pair for pair in pairs if is_pair and _is_whole(pair) and pair not in single]
    if not found:
        raise ValueError("no list of pairs")
    candidates = [*found, single] if len(single) > 1 else found
    return max(reversed(candidates), key=lambda pairs: sum(map(_is_whole, pairs)))


def salvage_pairs(text: str) -> list[dict[str, Any]]:
    """The pairs that are whole in JSON which was cut off."""
    decoder = json.JSONDecoder(strict=False)
    found: list[dict[str, Any]] = []
    start = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            found += [pair for pair in _pairs_or_none(value) if _is_whole(pair)]
        start = text.find("{", end)
    return found


def pairs_in(value: Any) -> list[dict[str, Any]]:
    """The pairs in a model's JSON: our shape, a bare list, one pair, or a mapping by type.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, dict):
        lower = {str(key).lower(): item for key, item in value.items()}
        named = next((lower[name] for name in _LIST_NAMES if isinstance(lower.get(name), list)), 0)
        if "pairs" in lower:
            value = lower["pairs"]
        elif "question" in lower:
            value = [value]
        elif named:
            value = named
        else:
            value = [{"type": key, **item} for key, item in value.items() if isinstance(item, dict)]
    if isinstance(value, dict):  # {"pairs": {"Count": {...}}}
        value = [{"type": key, **item} for key, item in value.items() if isinstance(item, dict)]
    if value is None:
        value = []
    if not isinstance(value, list) or not all(isinstance(pair, dict) for pair in value if pair):
        raise ValueError("no list of pairs")
    return [{str(k).lower(): v for k, v in pair.items()} for pair in value if pair]


_LIST_NAMES = ("questions", "qa_pairs", "qas", "qa", "items", "data", "results")


def _pairs_or_none(value: Any) -> list[dict[str, Any]]:
    try:
        return pairs_in(value)
    except ValueError:
        return []


def _is_whole(pair: dict[str, Any]) -> bool:
    return not is_nothing(pair.get("question")) and not is_nothing(read_answer(pair))
