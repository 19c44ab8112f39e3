"""Scores with intervals: questions about one video are not independent, so videos are the unit.

Standard errors are those of inspect_ai's ``stderr(cluster=...)``: residuals are summed by video,
with the correction C/(C-1) for C videos. Intervals are 95 % ones, with the quantile of Student's t
with C-1 degrees of freedom. Those of differences are symmetric; those of scores are Wilson's with
an effective number of questions (Korn and Graubard, 1998; Dean and Pagano, 2015), so that they end
at 0 and at the largest score, and hold where every answer is right.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from llava_video.evaluate.scoring.outcomes import Outcome
from llava_video.records.options import LETTERS

Failures = Literal["excluded", "wrong"]
"""What a question counts whose video, model or judge failed: nothing, or 0."""

_T_OF_95_PERCENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def t_of_95_percent(degrees: int) -> float:
    """Student's t for two-sided 95 % intervals."""
    if degrees < 1:
        return math.inf
    if degrees <= len(_T_OF_95_PERCENT):
        return _T_OF_95_PERCENT[degrees - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees)  # within 0.001 from 31 degrees on


MIN_VIDEOS = 5
"""Questions about fewer videos than this get no interval: it would say next to nothing."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its interval.

    Attributes:
        mean: of the values.
        stderr: clustered standard error; 0 for a single cluster.
        low: lower end of the 95 % interval; minus infinity where there are too few clusters.
        high: its upper end; infinity where there are too few clusters.
        num_values: how many.
        num_clusters: videos, or seeds.
        is_symmetric: whether the mean is the middle of its interval by construction.
    """

    mean: float
    stderr: float
    low: float
    high: float
    num_values: int
    num_clusters: int
    is_symmetric: bool = True

    @property
    def has_interval(self) -> bool:
        """Whether there were enough clusters for one."""
        return math.isfinite(self.low)

    @property
    def text(self) -> str:
        """``0.632 ± 0.014``, or ``0.632 [0.618, 0.645]``."""
        return mean_text(self.mean, self.low, self.high, is_symmetric=self.is_symmetric)


def mean_text(
    mean: float, low: float | None, high: float | None, *, is_symmetric: bool = False
) -> str:
    """A mean and its interval; None or infinities for one that has none."""
    if low is None or high is None or not math.isfinite(high - low):
        return f"{mean:.3f} (too few videos)"
    if is_symmetric:
        return f"{mean:.3f} ± {(high - low) / 2:.3f}"
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def mean_of(
    values: Sequence[float], clusters: Sequence[Hashable], *, min_clusters: int = MIN_VIDEOS
) -> Mean:
    """The mean of values, such as differences, with its clustered, symmetric interval.

    Args:
        values: to average.
        clusters: of each value.
        min_clusters: for an interval, 2 at least.

    Raises:
        ValueError: there is no value.
    """
    center, error, num = _clustered(values, clusters)
    half = t_of_95_percent(num - 1) * error if num >= min_clusters else math.inf
    return Mean(center, error, center - half, center + half, len(values), num)


def score_of(
    values: Sequence[float], clusters: Sequence[Hashable], *, largest: float = 1.0
) -> Mean:
    """The mean of scores between 0 and ``largest``, with its clustered interval.

    Raises:
        ValueError: there is no value.
    """
    center, error, num = _clustered(values, clusters)
    if num < MIN_VIDEOS:
        return Mean(center, error, -math.inf, math.inf, len(values), num, False)
    share, quantile = center / largest, t_of_95_percent(num - 1)
    spread = share * (1 - share)
    # Values between the ends vary less than ends do: they tell as much as more questions would.
    most = len(values) if all(value in (0, largest) for value in values) else math.inf
    # Where all values are the same, questions about one video count as one.
    effective = min(spread * (largest / error) ** 2, most) if error else float(num)
    shrink = quantile**2 / effective
    middle = (share + shrink / 2) / (1 + shrink)
    half = math.sqrt(shrink * spread + shrink**2 / 4) / (1 + shrink)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    ends = (low * largest, high * largest)
    return Mean(center, error, *ends, len(values), num, False)


def _clustered(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[float, float, int]:
    """Mean, standard error and number of clusters."""
    if not values:
        raise ValueError("no values")
    center = sum(values) / len(values)
    sums: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - center
    num = len(sums)
    if num < 2:
        return center, 0.0, num
    variance = sum(residual**2 for residual in sums.values()) * num / (num - 1)
    return center, math.sqrt(variance) / len(values), num


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a task.

    Attributes:
        overall: the mean over questions; None where nothing could be scored.
        by_type: per type of question.
        by_duration: per group of durations.
        mean_over_types: of the types' means.
        num_questions: asked, in all.
        num_unparsed: answers that choose no option.
        num_failed: questions without a verdict, by kind.
        failures: what these count.
        num_letters: answers to questions with options that are a letter, with or without its
            option behind it.
        num_with_options: questions with options that were answered.
        most_frequent: accuracy of always giving the most frequent right letter.
        others: the same answers by other metrics.
    """

    overall: Mean | None
    by_type: Mapping[str, Mean]
    by_duration: Mapping[str, Mean]
    mean_over_types: float | None
    num_questions: int
    num_unparsed: int
    num_failed: Mapping[str, int]
    failures: Failures
    num_letters: int
    num_with_options: int
    most_frequent: float | None
    others: Mapping[str, Mean] = field(default_factory=dict)

    @property
    def unparsed_share(self) -> float:
        """Of all questions that were answered."""
        answered = self.num_questions - sum(self.num_failed.values())
        return self.num_unparsed / answered if answered else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without infinities."""
        values = asdict(self) | {"unparsed_share": self.unparsed_share}
        return _finite(values)  # type: ignore[no-any-return]


def score(
    outcomes: Sequence[Outcome], failures: Failures = "excluded", *, largest: float = 1.0
) -> Scores:
    """The scores of outcomes.

    Args:
        outcomes: of questions.
        failures: what failed ones count.
        largest: value that an outcome can have.
    """
    valued = valued_outcomes(outcomes, failures)
    by_type = _grouped(valued, lambda outcome: outcome.type, largest)
    means = [mean.mean for mean in by_type.values()]
    letters = Counter(outcome.target for outcome in outcomes if outcome.options and outcome.target)
    num_letters = sum(letters.values())
    return Scores(
        overall=_mean(valued, largest) if valued else None,
        by_type=by_type,
        by_duration=_grouped(valued, lambda outcome: outcome.duration, largest),
        mean_over_types=sum(means) / len(means) if means else None,
        num_questions=len(outcomes),
        num_unparsed=sum(o.said is None and not o.failure for o in outcomes),
        num_failed=dict(Counter(o.failure_kind for o in outcomes if o.failure)),
        failures=failures,
        num_letters=sum(_is_letter(outcome) for outcome in outcomes),
        num_with_options=sum(bool(o.options) and not o.failure for o in outcomes),
        most_frequent=max(letters.values()) / num_letters if num_letters else None,
        others=_others(outcomes),
    )


def valued_outcomes(
    outcomes: Iterable[Outcome], failures: Failures = "excluded"
) -> list[tuple[Outcome, float]]:
    """The outcomes that count, with their values."""
    valued = []
    for outcome in outcomes:
        if outcome.value is not None:
            valued.append((outcome, outcome.value))
        elif outcome.failure and failures == "wrong":
            valued.append((outcome, 0.0))
    return valued


_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.:)].*|$)", re.DOTALL)


def _is_letter(outcome: Outcome) -> bool:
    match = _LETTER.fullmatch(outcome.text.strip())
    return match is not None and match[1] in LETTERS[: len(outcome.options)]


def _others(outcomes: Sequence[Outcome]) -> dict[str, Mean]:
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.others)
    return {
        name: _mean([(o, o.others[name]) for o in outcomes if name in o.others], 1.0)
        for name in names
    }


def _grouped(
    valued: Sequence[tuple[Outcome, float]], name_of: Callable[[Outcome], str], largest: float
) -> dict[str, Mean]:
    groups: dict[str, list[tuple[Outcome, float]]] = defaultdict(list)
    for outcome, value in valued:
        if name_of(outcome):
            groups[name_of(outcome)].append((outcome, value))
    return {name: _mean(group, largest) for name, group in sorted(groups.items())}


def _mean(valued: Sequence[tuple[Outcome, float]], largest: float) -> Mean:
    values = [value for _, value in valued]
    return score_of(values, [outcome.video for outcome, _ in valued], largest=largest)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs on the same questions.

    Attributes:
        first: score of the first run on them.
        second: of the second.
        difference: second less first, with its interval.
        num_better: questions with a higher value in the second.
        num_worse: with a lower one.
        num_only_in_one: questions without a value in one of the runs, left out.
    """

    first: float
    second: float
    difference: Mean
    num_better: int
    num_worse: int
    num_only_in_one: int

    @property
    def differing_share(self) -> float:
        """Of the questions on which the two runs have different values."""
        return (self.num_better + self.num_worse) / self.difference.num_values


def compare_paired(
    first: Sequence[Outcome], second: Sequence[Outcome], failures: Failures = "excluded"
) -> Paired | None:
    """The paired difference; None where the runs share no question that was scored."""
    before = {outcome.id: (outcome, value) for outcome, value in valued_outcomes(first, failures)}
    after = {outcome.id: value for outcome, value in valued_outcomes(second, failures)}
    shared = [name for name in before if name in after]
    if not shared:
        return None
    differences = [after[name] - before[name][1] for name in shared]
    return Paired(
        first=sum(before[name][1] for name in shared) / len(shared),
        second=sum(after[name] for name in shared) / len(shared),
        difference=mean_of(differences, [before[name][0].video for name in shared]),
        num_better=sum(difference > 0 for difference in differences),
        num_worse=sum(difference < 0 for difference in differences),
        num_only_in_one=len(before) + len(after) - 2 * len(shared),
    )
