"""Scores with intervals: questions about one video are not independent, so videos are the unit.

Standard errors are those of inspect_ai's ``stderr(cluster=...)``: residuals are summed by video,
with the correction C/(C-1) for C videos. Intervals are 95 % ones by Student's t with C-1 degrees
of freedom.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from llava_video.evaluate.scoring.outcomes import Outcome

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


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its interval.

    Attributes:
        mean: of the values.
        stderr: clustered standard error; 0 for a single cluster.
        half_width: of the 95 % interval; infinite for a single cluster.
        num_values: how many.
        num_clusters: videos, or seeds.
    """

    mean: float
    stderr: float
    half_width: float
    num_values: int
    num_clusters: int

    @property
    def text(self) -> str:
        """``0.632 ± 0.014``."""
        if not math.isfinite(self.half_width):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} ± {self.half_width:.3f}"


def mean_of(values: Sequence[float], clusters: Sequence[Hashable]) -> Mean:
    """The mean of values with its clustered interval.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no values")
    center = sum(values) / len(values)
    sums: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - center
    num = len(sums)
    if num < 2:
        return Mean(center, 0.0, math.inf, len(values), num)
    variance = sum(residual**2 for residual in sums.values()) * num / (num - 1)
    error = math.sqrt(variance) / len(values)
    return Mean(center, error, t_of_95_percent(num - 1) * error, len(values), num)


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
        most_frequent: accuracy of always giving the most frequent right letter.
    """

    overall: Mean | None
    by_type: Mapping[str, Mean]
    by_duration: Mapping[str, Mean]
    mean_over_types: float | None
    num_questions: int
    num_unparsed: int
    num_failed: Mapping[str, int]
    failures: Failures
    most_frequent: float | None

    @property
    def unparsed_share(self) -> float:
        """Of all questions that were answered."""
        answered = self.num_questions - sum(self.num_failed.values())
        return self.num_unparsed / answered if answered else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without infinities."""
        values = asdict(self) | {"unparsed_share": self.unparsed_share}
        return _finite(values)  # type: ignore[no-any-return]


def score(outcomes: Sequence[Outcome], failures: Failures = "excluded") -> Scores:
    """The scores of outcomes."""
    valued = valued_outcomes(outcomes, failures)
    by_type = _grouped(valued, lambda outcome: outcome.type)
    means = [mean.mean for mean in by_type.values()]
    letters = Counter(outcome.target for outcome in outcomes if outcome.options and outcome.target)
    num_letters = sum(letters.values())
    return Scores(
        overall=_mean(valued) if valued else None,
        by_type=by_type,
        by_duration=_grouped(valued, lambda outcome: outcome.duration),
        mean_over_types=sum(means) / len(means) if means else None,
        num_questions=len(outcomes),
        num_unparsed=sum(o.said is None and not o.failure for o in outcomes),
        num_failed=dict(Counter(o.failure_kind for o in outcomes if o.failure)),
        failures=failures,
        most_frequent=max(letters.values()) / num_letters if num_letters else None,
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


def _grouped(
    valued: Sequence[tuple[Outcome, float]], name_of: Callable[[Outcome], str]
) -> dict[str, Mean]:
    groups: dict[str, list[tuple[Outcome, float]]] = defaultdict(list)
    for outcome, value in valued:
        if name_of(outcome):
            groups[name_of(outcome)].append((outcome, value))
    return {name: _mean(group) for name, group in sorted(groups.items())}


def _mean(valued: Sequence[tuple[Outcome, float]]) -> Mean:
    return mean_of([value for _, value in valued], [outcome.video for outcome, _ in valued])


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
