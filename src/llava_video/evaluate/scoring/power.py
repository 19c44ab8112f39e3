"""How many questions and seeds would show an effect.

For two models on the same questions, a question's difference is -1, 0 or 1; with a share d of
questions on which they differ and a true effect e its variance is d - e². Questions of one video
go together: the design effect says by how much that inflates the variance. Models trained with
different seeds differ for no other reason by a standard deviation of their own. Two-sided test at
5 %, power 80 %: the effect must be 2.8 standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llava_video.evaluate.scoring.outcomes import Outcome
from llava_video.evaluate.scoring.scores import Failures, valued_outcomes

Z = 1.959964 + 0.841621
"""Of a two-sided test at 5 % plus that of a power of 80 %."""


def num_questions_needed(effect: float, differing_share: float, design_effect: float = 1.0) -> int:
    """Questions that show an effect between two fixed models.

    Args:
        effect: true difference in accuracy, such as 0.01.
        differing_share: of questions that exactly one model answers correctly.
        design_effect: variance with clusters over variance without.

    Raises:
        ValueError: the models cannot differ by the effect on so few questions.
    """
    if not 0 < abs(effect) <= differing_share:
        raise ValueError(f"an effect of {effect} needs at least as large a differing share")
    return math.ceil(Z**2 * (differing_share - effect**2) * design_effect / effect**2)


def num_seeds_needed(effect: float, seed_stdev: float, question_stderr: float = 0.0) -> int:
    """Pairs of runs that show an effect between two recipes.

    Args:
        effect: true difference in accuracy.
        seed_stdev: standard deviation of the difference over pairs of runs, from seeds alone.
        question_stderr: standard error of one pair's difference, from its questions.
    """
    return max(2, math.ceil(Z**2 * (seed_stdev**2 + question_stderr**2) / effect**2))


def differing_share(
    first: Sequence[Outcome], second: Sequence[Outcome], failures: Failures = "excluded"
) -> float:
    """The share of shared questions on which two runs have different values."""
    before = {outcome.id: value for outcome, value in valued_outcomes(first, failures)}
    after = valued_outcomes(second, failures)
    pairs = [(before[outcome.id], value) for outcome, value in after if outcome.id in before]
    return sum(a != b for a, b in pairs) / len(pairs) if pairs else 0.0
