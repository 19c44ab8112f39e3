"""A plan: exact calls, bounded tokens and dollars, calibrated by an earlier run."""

import pytest

from llava_video.annotate.inputs import find_videos
from llava_video.annotate.ledger import open_ledger
from llava_video.annotate.money import load_prices
from llava_video.annotate.pipeline import select_videos
from llava_video.annotate.plan import forecast_against_actual, make_plan
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import recipe_for, run_quietly


@pytest.mark.parametrize("mode", ["once", "polling"])
def test_planned_calls_are_the_calls_that_are_made(mode, videos, tmp_path):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, ask__mode=mode, faithfulness__enabled=True)
        selected = select_videos(find_videos([str(videos)]), recipe, None)
        plan = make_plan(selected, recipe, load_prices())
        assert fake.num_requests == 0
        run_quietly(videos, recipe, tmp_path / "out")
    assert plan.num_calls == fake.num_requests
    made = {
        row["stage"]: row["calls"] for row in forecast_against_actual(open_ledger(tmp_path / "out"))
    }
    assert {name: stage.num_calls for name, stage in plan.stages.items()} == made
    assert plan.num_clips == 7
    assert plan.stages["level1"].num_images == 52


def test_dollars_are_a_range_and_batches_cost_half(videos):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
    plan = make_plan(select_videos(find_videos([str(videos)]), recipe, None), recipe, load_prices())
    assert 0 < plan.usd[0] < plan.usd[1] < plan.usd[2]
    assert plan.usd_batch == tuple(v / 2 for v in plan.usd)


def test_a_model_without_a_price_has_no_dollars(videos):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, endpoint__model="somebody/new")
    plan = make_plan(select_videos(find_videos([str(videos)]), recipe, None), recipe, load_prices())
    assert plan.usd is None
    assert plan.num_calls > 0


def test_an_earlier_run_calibrates_answer_lengths(videos, finished):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
    selected = select_videos(find_videos([str(videos)]), recipe, None)
    plan = make_plan(selected, recipe, load_prices(), open_ledger(finished))
    assert plan.calibrated
    actual = {row["stage"]: row for row in forecast_against_actual(open_ledger(finished))}
    planned = plan.stages["level1"].completion_tokens[1]
    assert planned == pytest.approx(actual["level1"]["completion_tokens"], rel=0.1)


def test_the_papers_corpus_costs_what_the_reference_says():
    """One-minute videos at 1 FPS, 512 x 288 low detail, on the paper's model: about $0.19 each."""
    from llava_video.annotate.recipe import load_recipe
    from llava_video.annotate.records import Facts, VideoRecord

    record = VideoRecord("v", "v.mp4", facts=Facts(60.0, 1280, 720, 30.0, 5))
    plan = make_plan([record], load_recipe("paper"), load_prices())
    assert plan.num_calls == 6 + 1 + 1 + 2
    assert plan.stages["level1"].num_images == 60
    assert plan.usd[0] < 0.187 < plan.usd[2]
