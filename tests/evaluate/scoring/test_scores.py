"""Intervals by another way of computing, per type, paired, and power."""

import math
import random
from dataclasses import replace

import pytest

from llava_video.evaluate.scoring.outcomes import Outcome
from llava_video.evaluate.scoring.power import (
    num_questions_needed,
    num_seeds_needed,
)
from llava_video.evaluate.scoring.scores import (
    compare_paired,
    mean_of,
    score,
    score_of,
    t_of_95_percent,
)

BLANK = Outcome("", "v", "", "", "q", ("x", "y"), "A", "p", "", "A", "A", 1.0)


def outcomes_of(*values: tuple[str, str, float | None]) -> list[Outcome]:
    return [
        replace(BLANK, id=str(n), video=video, type=kind, value=value,
                failure="" if value is not None else "gone",
                failure_kind="" if value is not None else "video")
        for n, (video, kind, value) in enumerate(values)
    ]  # fmt: skip


def test_with_a_cluster_per_value_it_is_the_usual_standard_error() -> None:
    values = [random.Random(3).random() for _ in range(50)]
    center = sum(values) / 50
    usual = math.sqrt(sum((v - center) ** 2 for v in values) / 49) / math.sqrt(50)
    assert mean_of(values, range(50)).stderr == pytest.approx(usual)


def test_values_that_repeat_within_clusters_do_not_narrow_the_interval() -> None:
    values = [random.Random(3).random() for _ in range(20)]
    once = mean_of(values, range(20))
    repeated = mean_of(
        [v for v in values for _ in range(5)], [n for n in range(20) for _ in "12345"]
    )
    assert repeated.stderr == pytest.approx(once.stderr)
    assert repeated.high == pytest.approx(once.high)


@pytest.mark.parametrize("mean", [mean_of, score_of])
def test_too_few_videos_have_no_interval(mean) -> None:
    found = mean([0.0, 1.0, 1.0, 1.0], ["a", "b", "c", "d"])
    assert not found.has_interval
    assert found.text == "0.750 (too few videos)"
    assert mean([0.0, 1.0, 1.0, 1.0, 1.0], range(5)).has_interval
    assert mean_of([0.0, 1.0], range(2), min_clusters=2).has_interval


@pytest.mark.parametrize(("truth", "num_videos"), [(0.5, 15), (0.9, 15), (0.97, 40), (0.5, 5)])
def test_intervals_hold_the_truth_as_often_as_they_say(truth: float, num_videos: int) -> None:
    rng = random.Random(0)
    num_held = 0
    for _ in range(400):
        shares = [rng.betavariate(4 * truth, 4 * (1 - truth)) for _ in range(num_videos)]
        values = [float(rng.random() < share) for share in shares for _ in range(6)]
        found = score_of(values, [n for n in range(num_videos) for _ in range(6)])
        num_held += found.low <= truth <= found.high
    assert 0.91 <= num_held / 400 <= 0.995


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_intervals_of_scores_end_where_scores_end_and_are_never_a_point(value: float) -> None:
    found = score_of([value] * 30, [n // 3 for n in range(30)])
    assert 0 <= found.low <= found.mean <= found.high <= 1
    # As wide as that of as many questions as there are videos.
    assert found.high - found.low == pytest.approx(
        t_of_95_percent(9) ** 2 / (10 + 5.1171), abs=1e-3
    )
    five = score_of([5 * value] * 30, [n // 3 for n in range(30)], largest=5.0)
    assert (five.low, five.high) == pytest.approx((5 * found.low, 5 * found.high))


def test_with_many_questions_an_interval_is_the_usual_one() -> None:
    rng = random.Random(2)
    values = [float(rng.random() < 0.7) for _ in range(4000)]
    score, usual = (mean(values, range(4000)) for mean in (score_of, mean_of))
    assert (score.low, score.high) == pytest.approx((usual.low, usual.high), abs=3e-4)
    assert score.text == f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]"
    assert usual.text == f"{usual.mean:.3f} ± {usual.high - usual.mean:.3f}"


@pytest.mark.parametrize(("degrees", "t"), [(1, 12.706), (30, 2.042), (40, 2.021), (120, 1.980)])
def test_t(degrees: int, t: float) -> None:
    assert t_of_95_percent(degrees) == pytest.approx(t, abs=0.002)


def test_scores_per_type_and_what_failures_count() -> None:
    outcomes = outcomes_of(("a", "x", 1.0), ("a", "x", 1.0), ("b", "x", 0.0), ("b", "y", 0.0),
                           ("c", "y", None))  # fmt: skip
    found = score(outcomes)
    assert found.overall is not None
    assert found.overall.mean == 0.5
    assert {name: mean.mean for name, mean in found.by_type.items()} == {"x": 2 / 3, "y": 0.0}
    assert found.mean_over_types == pytest.approx(1 / 3)
    assert found.num_failed == {"video": 1}
    wrong = score(outcomes, "wrong").overall
    assert wrong is not None
    assert wrong.mean == pytest.approx(2 / 5)


def test_the_unparsed_share_leaves_failures_out() -> None:
    outcomes = outcomes_of(("a", "x", 0.0), ("a", "x", 0.0), ("b", "x", None))
    outcomes[0] = replace(outcomes[0], said=None)
    outcomes[2] = replace(outcomes[2], said=None)
    assert score(outcomes).unparsed_share == 0.5


@pytest.mark.parametrize(
    ("text", "is_letter"),
    [("B", True), ("B.", True), ("(B)", True), ("B. x and y", True), ("C", False), ("Blue", False),
     ("x", False), ("", False), ("the answer is B", False)],
)  # fmt: skip
def test_answers_that_are_a_letter_are_counted(text: str, is_letter: bool) -> None:
    found = score([replace(BLANK, text=text), replace(BLANK, id="open", options=(), text="B")])
    assert (found.num_letters, found.num_with_options) == (int(is_letter), 1)


def test_nothing_scored_is_no_zero() -> None:
    found = score(outcomes_of(("a", "x", None)))
    assert found.overall is None
    assert found.to_dict()["overall"] is None


def test_a_paired_difference_is_narrower_than_that_of_two_scores() -> None:
    rng = random.Random(1)
    values = [float(rng.random() < 0.5) for _ in range(300)]
    first = outcomes_of(*((f"v{n // 3}", "", v) for n, v in enumerate(values)))
    second = outcomes_of(
        *((f"v{n // 3}", "", max(v, float(n % 30 == 0))) for n, v in enumerate(values))
    )
    found = compare_paired(first, second)
    assert found is not None
    assert found.difference.mean == pytest.approx(found.second - found.first)
    assert found.num_worse == 0
    alone = score(first).overall
    assert alone is not None
    assert found.difference.high - found.difference.low < (alone.high - alone.low) / 2
    assert found.differing_share == found.num_better / 300


def test_runs_without_shared_questions_cannot_be_compared() -> None:
    [one] = outcomes_of(("a", "x", 1.0))
    assert compare_paired([one], [replace(one, id="other")]) is None


def test_the_promised_power_is_what_simulation_finds() -> None:
    effect, share = 0.05, 0.2
    needed = num_questions_needed(effect, share)
    rng = random.Random(5)
    num_found = 0
    for _ in range(200):
        better, worse = (share + effect) / 2, (share - effect) / 2
        draws = [rng.random() for _ in range(needed)]
        differences = [1.0 if d < better else -1.0 if d < better + worse else 0.0 for d in draws]
        found = mean_of(differences, range(needed))
        num_found += found.low > 0
    assert 0.7 <= num_found / 200 <= 0.9


def test_seeds() -> None:
    assert num_seeds_needed(0.01, seed_stdev=0.01) == 8
    assert num_seeds_needed(0.01, seed_stdev=0.0) == 2
    with pytest.raises(ValueError, match="differing share"):
        num_questions_needed(0.3, 0.2)


def test_values_between_the_ends_have_the_interval_of_their_spread() -> None:
    """As the mean's own symmetric interval, far from the ends."""
    draw = random.Random(0)
    values = [min(5.0, max(0.0, draw.gauss(3.0, 0.6))) for _ in range(600)]
    found = score_of(values, list(range(600)), largest=5.0)
    plain = mean_of(values, list(range(600)))
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.02)
