"""A forecast: exact calls, bounded tokens and dollars, calibrated by an earlier run."""

import json

import pytest

from llava_video.annotate.forecast.calibration import (
    Factors,
    calibrate_tokens,
    forecast_against_actual,
)
from llava_video.annotate.forecast.forecast import count_calls, make_forecast
from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.records import Facts, VideoRecord
from llava_video.annotate.videos.discover import find_videos
from llava_video.annotate.videos.select import select_videos
from llava_video.calls.ledger import open_ledger
from llava_video.calls.pricing import MESSAGE_OVERHEAD_TOKENS, load_prices
from llava_video.calls.token_count import text_tokens
from llava_video.video import probe_video
from tests.annotate.fake_endpoint import FakeEndpoint, images_in, texts_in
from tests.annotate.make_videos import write_video
from tests.annotate.running import recipe_for, run_quietly


@pytest.mark.parametrize("mode", ["once", "polling"])
def test_planned_calls_are_the_calls_that_are_made(mode, videos, tmp_path):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, ask__mode=mode, faithfulness__enabled=True)
        selected = select_videos(find_videos([str(videos)]), recipe, None)
        forecast = make_forecast(selected, recipe, load_prices())
        assert fake.num_requests == 0
        run_quietly(videos, recipe, tmp_path / "out")
    assert forecast.num_calls == fake.num_requests
    made = {
        row["stage"]: row["calls"] for row in forecast_against_actual(open_ledger(tmp_path / "out"))
    }
    assert {name: stage.num_calls for name, stage in forecast.stages.items()} == made
    assert forecast.num_clips == 7
    assert forecast.stages["level1"].num_images == 52


@pytest.mark.parametrize(
    ("seconds", "fps", "gaps"),
    [(4.25, 8, ()), (12.5, 6, ()), (13.75, 8, ()), (21.0, 12, ()), (13.013, 29.97, ()),
     (14.0, 6, (3, 4, 50, 70, 71))],
)  # fmt: skip
def test_planned_pictures_are_those_that_are_sent(seconds, fps, gaps, tmp_path):
    path = write_video(tmp_path / "v.mp4", seconds=seconds, fps=fps, size=(36, 48), gaps=gaps)
    assert probe_video(path).is_variable_rate == bool(gaps)
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, faithfulness__enabled=True, faithfulness__max_frames=5)
        selected = select_videos(find_videos([str(path)]), recipe, None)
        forecast = make_forecast(selected, recipe, load_prices())
        run_quietly(path, recipe, tmp_path / "out")
        sent = sum(len(images_in(request.body)) for request in fake.received)
    assert forecast.stages["level1"].num_images + forecast.stages["faithfulness"].num_images == sent


def test_pictures_of_a_damaged_file_are_counted_as_they_decode(tmp_path):
    path = write_video(tmp_path / "torn.mp4", seconds=22, fps=10, size=(96, 128), scenes=4)
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 600] = b"\xff" * 600
    path.write_bytes(content)
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
        selected = select_videos(find_videos([str(path)]), recipe, None)
        [warning] = selected[0].warnings
        assert warning.startswith("damaged: ")
        forecast = make_forecast(selected, recipe, load_prices())
        run_quietly(path, recipe, tmp_path / "out")
        sent = sum(len(images_in(request.body)) for request in fake.received)
    assert forecast.stages["level1"].num_images == sent < 22


def test_a_check_by_another_model_is_counted_by_its_own_rule(videos):
    with FakeEndpoint() as fake:
        own = recipe_for(fake, faithfulness__enabled=True)
        other = recipe_for(fake, faithfulness__enabled=True, faithfulness__model="gpt-4o-mini")
    selected = select_videos(find_videos([str(videos)]), own, None)
    forecasts = [make_forecast(selected, recipe, load_prices()) for recipe in (own, other)]
    checks = [forecast.stages["faithfulness"] for forecast in forecasts]
    more = checks[0].num_images * (2833 - 85)
    assert checks[1].prompt_tokens[1] == checks[0].prompt_tokens[1] + more


def test_dollars_are_a_range_and_batches_cost_half(videos):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
    forecast = make_forecast(
        select_videos(find_videos([str(videos)]), recipe, None), recipe, load_prices()
    )
    assert 0 < forecast.usd[0] < forecast.usd[1] < forecast.usd[2]
    assert forecast.usd_batch == tuple(v / 2 for v in forecast.usd)


def test_a_model_without_a_price_has_no_dollars(videos):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, endpoint__model="somebody/new")
    forecast = make_forecast(
        select_videos(find_videos([str(videos)]), recipe, None), recipe, load_prices()
    )
    assert forecast.usd is None
    assert forecast.num_calls > 0


def test_an_earlier_run_calibrates_answer_lengths(videos, finished):
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake)
    selected = select_videos(find_videos([str(videos)]), recipe, None)
    forecast = make_forecast(selected, recipe, load_prices(), open_ledger(finished))
    assert forecast.measured_answers
    actual = {row["stage"]: row for row in forecast_against_actual(open_ledger(finished))}
    expected = forecast.stages["level1"].completion_tokens[1]
    assert expected == pytest.approx(actual["level1"]["completion_tokens"], rel=0.1)


def test_an_earlier_run_calibrates_the_tokens_of_texts_and_of_pictures(videos, tmp_path):
    """With its factors, the forecasts of that run add up to what its server counted."""

    def usage(body):
        texts = sum(len(text) for text in texts_in(body)) // 2
        return {"prompt_tokens": texts + 100 * len(images_in(body)), "completion_tokens": 40}

    with FakeEndpoint(usage=usage) as fake:
        recipe = recipe_for(fake)
        run_quietly(videos, recipe, tmp_path / "out")
    selected = select_videos(find_videos([str(videos)]), recipe, None)
    ledger = open_ledger(tmp_path / "out")
    forecast = make_forecast(selected, recipe, load_prices(), ledger)
    found = forecast.factors
    assert (forecast.text_basis, found.num_calls) == ("calibrated", 17)
    [[texts, images, counted]] = ledger.query(
        "SELECT SUM(forecast_text_tokens), SUM(forecast_image_tokens), SUM(prompt_tokens)"
        " FROM calls"
    )
    assert found.text * texts + found.image * images == pytest.approx(counted)
    assert found.text > 1.5  # half a token per character is more than one per 4.4
    assert found.image == pytest.approx(100 / 85, rel=0.1)
    assert calibrate_tokens(ledger, "another model") == Factors()
    assert make_forecast(selected, recipe, load_prices()).text_basis == "estimated"


def test_texts_are_counted_where_the_tokenizer_is_local(videos, tokenizer_folder, tmp_path):
    prices = tmp_path / "prices.json"
    entry = {"image_tokens": "fixed", "per_image": 9, "tokenizer": str(tokenizer_folder)}
    prices.write_text(json.dumps({"models": {"own": entry}}))

    def usage(body):
        texts = sum(text_tokens(text, str(tokenizer_folder)) for text in texts_in(body))
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        texts += text_tokens(json.dumps(schema), str(tokenizer_folder)) if schema else 0
        return {"prompt_tokens": texts + 9 * len(images_in(body)), "completion_tokens": 1}

    with FakeEndpoint(usage=usage) as fake:
        recipe = recipe_for(fake, endpoint__model="own", endpoint__prices_file=str(prices))
        selected = select_videos(find_videos([str(videos)]), recipe, None)
        assert make_forecast(selected, recipe, load_prices(str(prices))).text_basis == "counted"
        run_quietly(videos, recipe, tmp_path / "out")
    for row in forecast_against_actual(open_ledger(tmp_path / "out")):
        template = MESSAGE_OVERHEAD_TOKENS * row["calls"]
        assert row["forecast_prompt_tokens"] == row["prompt_tokens"] + template


def test_the_papers_corpus_costs_what_the_reference_says():
    """One-minute videos at 1 FPS, 512 x 288 low detail, on the paper's model: about $0.19 each."""
    record = VideoRecord("v", "v.mp4", facts=Facts(60.0, 1280, 720, 30.0, 5))
    forecast = make_forecast([record], load_recipe("paper"), load_prices())
    assert forecast.num_calls == 6 + 1 + 1 + 2
    assert forecast.stages["level1"].num_images == 60
    assert forecast.usd[0] < 0.187 < forecast.usd[2]


@pytest.mark.parametrize("seconds", [0.5, 9.0, 11.0, 30.0, 61.5, 600.0])
@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["ask.mode=polling", "ask.types=[temporal, count, plot]"],
        ["ask.kinds=[open_ended]", "describe.history=last_one", "faithfulness.enabled=true"],
        ["blind.enabled=true", "blind.trials=3", "describe.clips_per_summary=2"],
    ],
)
def test_the_calls_of_a_progress_bar_are_those_of_the_plan(seconds, changes):
    recipe = load_recipe("open", changes)
    records = [
        VideoRecord("v", "v.mp4", facts=Facts(seconds, 640, 360, 30.0)),
        VideoRecord("w", "w.mp4", facts=Facts(45.0, 640, 360, 30.0)),
        VideoRecord("x", "x.mp4", facts=Facts(45.0, 640, 360, 30.0)).rejected("select", "small"),
        VideoRecord("y", "y.mp4").rejected("select", "unreadable"),
    ]
    assert count_calls(records, recipe) == make_forecast(records, recipe, load_prices()).num_calls
