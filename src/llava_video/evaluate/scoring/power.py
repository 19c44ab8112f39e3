"""How many questions and seeds would show an effect.

For two models on the same questions, a question's difference is -1, 0 or 1; with a share d of
questions on which they differ and a true effect e its variance is d - e², where questions are
independent of each other. Models trained with different seeds differ for no other reason by a
standard deviation of their own. Two-sided test at 5 %, power 80 %: the effect must be 2.8 standard
errors.
"""

from __future__ import annotations

import math

Z = 1.959964 + 0.841621
"""Of a two-sided test at 5 % plus that of a power of 80 %."""


def num_questions_needed(effect: float, differing_share: float) -> int:
    """Questions that show an effect between two fixed models.

    Args:
        effect: true difference in accuracy, such as 0.01.
        differing_share: of questions that exactly one model answers correctly.

    Raises:
        ValueError: the models cannot differ by the effect on so few questions.
    """
    if not 0 < abs(effect) <= differing_share:
        raise ValueError(f"an effect of {effect} needs at least as large a differing share")
    return math.ceil(Z**2 * (differing_share - effect**2) / effect**2)


def num_seeds_needed(effect: float, seed_stdev: float) -> int:
    """Pairs of runs that show an effect between two recipes.

    Args:
        effect: true difference in accuracy.
        seed_stdev: standard deviation of the difference over pairs of runs, from seeds alone.
    """
    return max(2, math.ceil(Z**2 * seed_stdev**2 / effect**2))
