"""Sums over a ledger: calls, attempts, tokens, dollars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Query = Callable[[str], list[tuple[Any, ...]]]
"""Rows of a query of a ledger."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a ledger, for progress and receipts.

    Attributes:
        num_unknown: attempts that may have been billed, at most for ``unknown_usd``.
        num_estimated: answers without a valid ``usage``; ``estimated_usd`` is the part of ``usd``
            that follows from forecasts for them.
        num_with_thoughts: answers from which thoughts were cut off.
    """

    num_calls: int
    num_attempts: int
    num_failed_attempts: int
    num_unknown: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    usd: float
    unknown_usd: float
    num_estimated: int = 0
    estimated_usd: float = 0.0
    num_with_thoughts: int = 0


def sum_up(query: Query) -> Totals:
    """The sums over a file."""
    [calls] = query(
        "SELECT COUNT(*), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0),"
        " COALESCE(SUM(reasoning_tokens), 0), COALESCE(SUM(usd), 0),"
        " COALESCE(SUM(NOT usage_reported), 0), COALESCE(SUM(usd * NOT usage_reported), 0),"
        " COALESCE(SUM(thoughts != ''), 0) FROM calls"
    )
    [attempts] = query(
        "SELECT COUNT(*), COALESCE(SUM(outcome IS NOT 'ok' AND outcome IS NOT NULL), 0),"
        " COALESCE(SUM(outcome IS NULL), 0),"
        " COALESCE(SUM(upper_usd * (outcome IS NULL)), 0) FROM attempts"
    )
    return Totals(
        num_calls=calls[0],
        num_attempts=attempts[0],
        num_failed_attempts=attempts[1],
        num_unknown=attempts[2],
        prompt_tokens=calls[1],
        completion_tokens=calls[2],
        reasoning_tokens=calls[3],
        usd=calls[4],
        unknown_usd=attempts[3],
        num_estimated=calls[5],
        estimated_usd=calls[6],
        num_with_thoughts=calls[7],
    )
