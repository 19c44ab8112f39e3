"""Tokens and dollars of a request: image tokens by family, text tokens, dated prices."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from llava_video.calls.messages import Request, Usage
from llava_video.calls.token_count import text_tokens, text_tokens_at_most
from llava_video.errors import InputError

MESSAGE_OVERHEAD_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs and how it counts pictures.

    Attributes:
        model: the name that was asked for.
        usd_per_million_in: dollars per million prompt tokens; None where no price is known.
        usd_per_million_out: dollars per million completion tokens, reasoning included.
        image_tokens: counting rule: ``tile``, ``patch``, ``merged_patch`` or ``fixed``.
        base: tokens of a picture at low detail (``tile``).
        tile: tokens per 512-pixel tile (``tile``).
        factor: multiplier per 32-pixel patch (``patch``).
        patch_pixels: side of a merged patch (``merged_patch``).
        per_image: tokens per picture (``fixed``).
        usd_per_million_cached: dollars per million prompt tokens that the server had cached.
        tokenizer: argument of `token_count.find_tokenizer`; the model's own name by default.
    """

    model: str
    usd_per_million_in: float | None = None
    usd_per_million_out: float | None = None
    image_tokens: str = "tile"
    base: int = 85
    tile: int = 170
    factor: float = 1.2
    patch_pixels: int = 28
    per_image: int = 0
    usd_per_million_cached: float | None = None
    tokenizer: str = ""

    @property
    def tokenizer_name(self) -> str:
        """Name or path of the model's tokenizer."""
        return self.tokenizer or self.model

    @property
    def is_known(self) -> bool:
        """Whether dollars can be computed."""
        return self.usd_per_million_in is not None and self.usd_per_million_out is not None

    def usd(self, usage: Usage) -> float:
        """Dollars of one answer; 0 where no price is known."""
        if self.usd_per_million_in is None or self.usd_per_million_out is None:
            return 0.0
        cached_price = self.usd_per_million_cached
        if cached_price is None:
            cached_price = self.usd_per_million_in
        fresh = usage.prompt_tokens - usage.cached_tokens
        dollars = fresh * self.usd_per_million_in + usage.cached_tokens * cached_price
        return (dollars + usage.completion_tokens * self.usd_per_million_out) / 1e6


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The price table of one day.

    Attributes:
        date: the day the prices were read.
        batch_discount: factor on prices for batch files.
        models: prices by model name.
        families: picture counting by a part of the model name, for models without a price.
    """

    date: str
    batch_discount: float
    models: dict[str, dict[str, Any]]
    families: dict[str, dict[str, Any]]

    def of(self, model: str) -> Price:
        """Price of a model: its own entry, or its family's picture counting without a price."""
        if model in self.models:
            return Price(model, **self.models[model])
        for family, values in self.families.items():
            if family in model.lower():
                return Price(model, **values)
        return Price(model)


def load_prices(path: str | None = None) -> PriceTable:
    """The table that comes with the package, with a user's own entries on top.

    Args:
        path: a JSON file with ``models`` (and ``date``), for prices that differ or are missing.

    Raises:
        InputError: the file is not a price table.
    """
    text = (resources.files("llava_video.calls") / "prices.json").read_text()
    values = json.loads(text)
    if path is not None:
        own = _read_own(Path(path))
        values["models"] |= own.get("models", {})
        values["families"] = own.get("families", {}) | values["families"]
        values["date"] = own.get("date", f"{values['date']}, with {Path(path).name}")
    table = PriceTable(
        values["date"], values["batch_discount"], values["models"], values["families"]
    )
    for model in table.models:
        _check(model, table.models[model], path or "prices.json")
    return table


def _read_own(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable price table ({error}); see docs/data-engine.md"
        ) from error
    if not isinstance(values, dict):
        raise InputError(f'{path}: a price table is {{"models": {{NAME: {{...}}}}}}')
    return values


def _check(model: str, values: dict[str, Any], path: str) -> None:
    known = [field.name for field in dataclasses.fields(Price)]
    for name in values:
        if name not in known:
            raise InputError(f"{path}: {model}.{name}: no such entry; known are {', '.join(known)}")
    try:
        TypeAdapter(Price).validate_python({"model": model, **values})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {model}.{where}: {first['msg']}") from error


def image_tokens(price: Price, width: int, height: int, detail: str) -> int:
    """Tokens of one picture.

    ``tile``: the base at low detail; else the picture is brought into 2048 x 2048, then its short
    side to 768, and each started 512-pixel tile counts. ``patch``: started 32-pixel patches, at
    most 1536, times the model's factor; these models were measured to ignore ``detail``.
    ``merged_patch``: the picture rounded to whole patches (Qwen-VL). ``fixed``: always the same.
    """
    if price.image_tokens == "fixed":
        return price.per_image
    if price.image_tokens == "merged_patch":
        side = price.patch_pixels
        return max(1, round(width / side)) * max(1, round(height / side))
    if price.image_tokens == "patch":
        patches = min(1536, math.ceil(width / 32) * math.ceil(height / 32))
        return math.ceil(patches * price.factor)
    if detail == "low":
        return price.base
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    tiles = math.ceil(width * scale / 512) * math.ceil(height * scale / 512)
    return price.base + price.tile * tiles


def request_tokens(request: Request, price: Price) -> tuple[int, int]:
    """Prompt tokens of a request's texts, and of its pictures."""
    texts = sum(text_tokens(text, price.tokenizer_name) for text in request.texts)
    images = sum(image_tokens(price, p.width, p.height, p.detail) for p in request.pictures)
    return texts + MESSAGE_OVERHEAD_TOKENS, images


def upper_usd(request: Request, price: Price) -> float:
    """The most that one attempt can cost: every token bound reached, the longest answer."""
    texts = sum(text_tokens_at_most(text) for text in request.texts)
    _, images = request_tokens(request, price)
    tokens = texts + images + MESSAGE_OVERHEAD_TOKENS
    return price.usd(Usage(tokens, request.max_output_tokens))
