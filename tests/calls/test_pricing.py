"""Tokens and dollars by model family."""

import json

import pytest

from llava_video.calls.messages import Usage
from llava_video.calls.pricing import image_tokens, load_prices
from llava_video.errors import InputError

PRICES = load_prices()


@pytest.mark.parametrize(
    ("model", "width", "height", "detail", "tokens"),
    [
        ("gpt-4o", 512, 288, "low", 85),
        ("gpt-4o", 512, 288, "high", 85 + 170),
        ("gpt-4o", 1024, 1024, "high", 85 + 4 * 170),  # OpenAI's own example
        ("gpt-4o", 2048, 4096, "high", 85 + 6 * 170),  # and its other one
        ("gpt-4o-mini", 512, 512, "low", 2833),
        ("gpt-4.1-mini", 512, 288, "low", 234),
        ("gpt-5-mini", 512, 288, "low", 173),
        ("gpt-4.1-mini", 4096, 4096, "high", 2489),  # capped at 1,536 patches
        ("Qwen/Qwen2.5-VL-7B-Instruct", 560, 280, "low", 200),
        ("llava-video-7b", 999, 777, "low", 196),
        ("toy", 64, 64, "low", 0),
    ],
)
def test_image_tokens(model, width, height, detail, tokens):
    assert image_tokens(PRICES.of(model), width, height, detail) == tokens


def test_dollars_count_cached_tokens_and_reasoning():
    price = PRICES.of("gpt-4o")
    assert price.usd(Usage(1_000_000, 0)) == 2.5
    assert price.usd(Usage(0, 1_000_000, 0, 900_000)) == 10.0  # reasoning is part of completion


def test_a_users_own_table_goes_on_top(tmp_path):
    path = tmp_path / "mine.json"
    entry = {
        "usd_per_million_in": 1.0,
        "usd_per_million_out": 2.0,
        "usd_per_million_cached": 0.1,
        "image_tokens": "fixed",
        "per_image": 7,
    }
    path.write_text(json.dumps({"models": {"own": entry}}))
    table = load_prices(str(path))
    assert table.of("own").usd(Usage(1_000_000, 0, 500_000)) == 0.55
    assert table.of("gpt-4o") == PRICES.of("gpt-4o")
    assert "mine.json" in table.date


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable price table"),
        ("[]", "a price table is"),
        ('{"models": {"x": {"usd_per_million": 1}}}', "x.usd_per_million"),
        ('{"models": {"x": {"tile": "many"}}}', "x.tile"),
    ],
)
def test_a_bad_table_is_named(text, message, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_prices(str(path))


def test_an_unknown_model_has_no_price():
    assert not PRICES.of("somebody/new").is_known
    assert PRICES.date == "2026-11-12"
