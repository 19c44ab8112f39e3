"""The recipe: every choice of a run, from YAML, with the paper's values as defaults."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llava_video.annotate.records import KINDS, Kind
from llava_video.calls.endpoint import Endpoint
from llava_video.errors import InputError
from llava_video.records.question_types import SLUGS


class Part(BaseModel):
    """A part of the recipe: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Selection(Part):
    """Which videos are worth annotating (paper, Figure 1). A limit of null is no limit."""

    min_seconds: float = 5.0
    max_seconds: float | None = 180.0
    over_height: int = 480
    over_scenes: int | None = 2
    max_scenes_per_second: float | None = 0.5
    scene_detector: Literal["adaptive", "content"] = "adaptive"
    scene_threshold: float = 3.0
    per_category: int | None = 50
    drop_near_duplicates: bool = True
    near_duplicate_distance: float = Field(default=4.0, ge=0)

    @property
    def needs_scenes(self) -> bool:
        """Whether a limit on scenes asks for the costly detection."""
        return self.over_scenes is not None or self.max_scenes_per_second is not None


class Describe(Part):
    """The recurrent description (paper section 3.2)."""

    fps: float = Field(default=1.0, gt=0)
    clip_seconds: float = Field(default=10.0, gt=0)
    min_clip_seconds: float = Field(default=2.0, ge=0)
    clips_per_summary: int = Field(default=3, ge=1)
    history: Literal["all_unsummarised", "last_one", "none"] = "all_unsummarised"
    image_max_side: int = Field(default=512, ge=16)
    jpeg_quality: int = Field(default=85, ge=1, le=100)
    image_detail: Literal["low", "high", "auto", "original"] = "low"


class Ask(Part):
    """How questions are made (paper appendix, section 2.2)."""

    kinds: tuple[Kind, ...] = KINDS
    mode: Literal["once", "polling"] = "once"
    types: tuple[str, ...] = Field(default=SLUGS, min_length=1)
    num_choices: int = Field(default=4, ge=2, le=8)
    max_parse_retries: int = Field(default=2, ge=0)


class Filters(Part):
    """What is thrown away after asking. A limit of null switches that filter off."""

    refusal: Literal["first_clause", "prefix", "off"] = "first_clause"
    similarity: Literal["lexical", "embeddings"] = "lexical"
    embedding_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    within_video_similarity: float | None = Field(default=0.8, gt=0, le=1)
    across_videos_similarity: float | None = Field(default=0.95, gt=0, le=1)
    across_videos_copies: int = Field(default=20, ge=1)
    max_length_ratio: float | None = Field(default=2.0, gt=1)
    benchmark_files: tuple[str, ...] = ()
    benchmark_similarity: float = Field(default=0.9, gt=0, le=1)
    benchmark_min_words: int = Field(default=6, ge=1)


class Check(Part):
    """A check by a second model; `model: null` uses the annotator itself."""

    enabled: bool = False
    model: str | None = None
    action: Literal["drop", "tag"] = "drop"


class Faithfulness(Check):
    """Claims against frames: supported, contradicted or unclear."""

    max_frames: int = Field(default=32, ge=1)


class Blind(Check):
    """Can a text-only model answer without the video, in every one of several trials?"""

    trials: int = Field(default=4, ge=1)


class Export(Part):
    """The dataset's names: files are called ``{bucket}_{group}_{version}``."""

    groups: dict[str, str] = Field(default_factory=dict)
    version: str = "v0_1"


class Recipe(Part):
    """A whole run."""

    seed: int = 0
    selection: Selection = Selection()
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict)
    describe: Describe = Describe()
    ask: Ask = Ask()
    filters: Filters = Filters()
    faithfulness: Faithfulness = Faithfulness()
    blind: Blind = Blind()
    endpoint: Endpoint = Endpoint()
    export: Export = Export()
    max_usd: float | None = Field(default=None, ge=0)

    def selection_of(self, source: str) -> Selection:
        """The selection rules of one source: the general ones with that source's own on top."""
        return Selection(**{**self.selection.model_dump(), **self.sources.get(source, {})})


def built_in_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("llava_video.annotate") / "recipes"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir())


def load_recipe(name: str | Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name: a YAML file, or the name of a built-in recipe (`paper`, `open`, `toyworld`).
        changes: values on top, with dotted keys: ``{"describe.history": "none"}``.

    Raises:
        InputError: there is no such recipe, or it holds a key or a value that does not fit.
    """
    path = Path(name)
    if str(name) in built_in_recipes():
        text = (resources.files("llava_video.annotate") / "recipes" / f"{name}.yaml").read_text()
    elif path.is_file():
        text = _read(path)
    else:
        raise InputError(
            f"{name}: no such recipe; give a YAML file or one of {', '.join(built_in_recipes())}"
        )
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: not YAML: {reason}; mend the file") from error
    if not isinstance(values, dict):
        raise InputError(f"{name}: a recipe is a mapping of parts; see `annotate plan --help`")
    for dotted, value in (changes or {}).items():
        _set(values, dotted, value)
    return make_recipe(values, str(name))


def make_recipe(values: dict[str, Any], name: str = "recipe") -> Recipe:
    """A checked recipe from plain values; messages start with ``name``."""
    try:
        recipe = Recipe(**values)
    except ValidationError as error:
        raise InputError(f"{name}: {_explain(error, Recipe)}") from error
    for source in recipe.sources:
        try:
            recipe.selection_of(source)
        except ValidationError as error:
            raise InputError(f"{name}: sources.{source}: {_explain(error, Selection)}") from error
    unknown = [t for t in recipe.ask.types if t not in SLUGS]
    if unknown:
        raise InputError(
            f"{name}: ask.types: {unknown[0]!r} is no question type{_nearest(unknown[0], SLUGS)}"
        )
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every value written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parts, last = dotted.split(".")
    for part in parts:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise InputError(f"{dotted}: {part} is a value and has no parts; check the name")
    values[last] = value


def _explain(error: ValidationError, model: Any) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg']} (got {first['input']!r})"
    for part in first["loc"][:-1]:
        model = model.model_fields[part].annotation
    return f"unknown key {where!r}{_nearest(str(first['loc'][-1]), list(model.model_fields))}"


def _nearest(word: str, names: list[str] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"
