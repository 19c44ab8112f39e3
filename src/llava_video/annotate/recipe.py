"""The recipe: every choice of a run, from YAML, with the paper's values as defaults."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from llava_video import recipes
from llava_video.annotate.answers.language import LANGUAGES
from llava_video.annotate.records import KINDS, Kind
from llava_video.annotate.steps.prompts import question_types
from llava_video.calls.endpoint import Endpoint
from llava_video.recipes import BaseRecipe, Section, explain, nearest
from llava_video.records.question_types import SLUGS


class Selection(Section):
    """Which videos are worth annotating (paper, Figure 1). Null switches a limit off."""

    min_seconds: float = 5.0
    """Shortest video."""
    max_seconds: float | None = 180.0
    """Longest video; empty: no limit."""
    over_height: int = 480
    """Pixels that the shorter side of a picture must have more than."""
    over_scenes: int | None = 2
    """Scenes that a video must have more than; empty: no limit."""
    max_scenes_per_second: float | None = 0.5
    """Most scenes per second; empty: no limit."""
    scene_detector: Literal["adaptive", "content"] = "adaptive"
    """PySceneDetect's detector."""
    scene_threshold: float = 3.0
    """Threshold of the detector."""
    per_category: int | None = 50
    """Videos of each category, the most viewed first; empty: no limit."""
    drop_near_duplicates: bool = True
    """Leave videos out whose frames resemble those of another."""
    near_duplicate_distance: float = Field(default=4.0, ge=0)
    """Mean distance of frame hashes (bits) up to which videos are near-duplicates."""

    @property
    def needs_scenes(self) -> bool:
        """Whether a limit on scenes asks for the costly detection."""
        return self.over_scenes is not None or self.max_scenes_per_second is not None


class Describe(Section):
    """The recurrent description (paper section 3.2)."""

    fps: float = Field(default=1.0, gt=0)
    """Frames per second sent to the annotator."""
    clip_seconds: float = Field(default=10.0, gt=0)
    """Length of a level-1 clip."""
    min_clip_seconds: float = Field(default=2.0, ge=0)
    """A shorter remainder joins the clip before it."""
    clips_per_summary: int = Field(default=3, ge=1)
    """Clips between two level-2 descriptions."""
    history: Literal["all_unsummarised", "last_one", "none"] = "all_unsummarised"
    """Which descriptions level 1 reads."""
    send: Literal["frames", "video"] = "frames"
    """Whether level 1 gets pictures with their times, or a video (`video_url`) of these frames."""
    image_max_side: int = Field(default=512, ge=16)
    """Longest side of a picture that is sent, in pixels."""
    jpeg_quality: int = Field(default=85, ge=1, le=100)
    """Quality of the JPEGs that are sent."""
    image_detail: Literal["low", "high", "auto", "original"] = "low"
    """The field `detail` of pictures that are sent."""


class Captions(Section):
    """What a description must be to be kept; one that is not is asked for again."""

    refusals: bool = True
    """Whether to look for refusals."""
    whole_sentences: bool = True
    """Whether to look for an end within a sentence."""
    min_words: int = Field(default=3, ge=1)
    """Fewest words."""
    language: str | None = "en"
    """Language that the prompts ask for; empty: any."""
    max_copies: int | None = Field(default=2, ge=1)
    """Equal descriptions that are kept, of a video's clips and of videos; empty: no limit."""
    max_retries: int = Field(default=2, ge=0)
    """Further calls, in each run, after a description that cannot be used."""

    @field_validator("language")
    @classmethod
    def _check_language(cls, language: str | None) -> str | None:
        if language is not None and language not in LANGUAGES:
            raise ValueError(
                f"captions.language: {language!r} is no language that can be told apart"
                f"{nearest(language, LANGUAGES)}"
            )
        return language


class Ask(Section):
    """How questions are made (paper appendix, section 2.2)."""

    kinds: tuple[Kind, ...] = KINDS
    """Forms of questions."""
    mode: Literal["once", "polling", "free"] = "once"
    """All types in one call, one call per type, or questions of any kind without examples."""
    num_free: int = Field(default=5, ge=1, le=50)
    """Questions that mode=free asks for, of each form."""
    types: tuple[str, ...] = Field(default=SLUGS, min_length=1)
    """Question types that are asked for."""
    num_choices: int = Field(default=4, ge=2, le=8)
    """Choices of a multiple-choice question."""
    max_parse_retries: int = Field(default=2, ge=0)
    """Further calls after an answer that does not parse."""


class Filters(Section):
    """Filters of questions. Null switches a filter off."""

    refusal: Literal["first_clause", "prefix", "off"] = "first_clause"
    """Part of an answer that is searched for a refusal."""
    similarity: Literal["lexical", "embeddings"] = "lexical"
    """How questions are compared."""
    embedding_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """With similarity=embeddings: a folder or Hub name of sentence-transformers."""
    within_video_similarity: float | None = Field(default=0.8, gt=0, le=1)
    """Similarity from which on two questions of a video are one; empty: off."""
    across_videos_similarity: float | None = Field(default=0.95, gt=0, le=1)
    """Similarity from which on pairs of two videos count as equal; empty: off."""
    across_videos_copies: int = Field(default=20, ge=1)
    """Equal pairs that are kept across videos."""
    max_length_ratio: float | None = Field(default=2.0, gt=1)
    """Most characters of the right choice over those of the longest other; empty: off."""
    benchmark_files: tuple[str, ...] = ()
    """Files of benchmarks whose questions and videos are left out."""
    benchmark_similarity: float = Field(default=0.9, gt=0, le=1)
    """Similarity from which on a question counts as a benchmark's."""
    benchmark_min_words: int = Field(default=6, ge=1)
    """Shorter questions are not compared with benchmarks."""


class Check(Section):
    """A check by a second model; `model: null` uses the annotator itself."""

    enabled: bool = False
    """Whether to check."""
    model: str | None = None
    """The model that checks; empty: the annotator."""
    action: Literal["drop", "tag"] = "drop"
    """Whether questions that fail are dropped or tagged."""


class Faithfulness(Check):
    """Claims against frames: supported, contradicted or unclear."""

    max_frames: int = Field(default=32, ge=1)
    """Frames sent to the check."""


class Blind(Check):
    """Blind check: does a model answer without the video, in every one of several trials?"""

    trials: int = Field(default=4, ge=1)
    """Trials; right answers in all of them fail the check."""


class Export(Section):
    """The dataset's names: files are called ``{bucket}_{group}_{version}``."""

    groups: dict[str, str] = Field(default_factory=dict)
    """Name of the group of files, by source."""
    version: str = "v0_1"
    """Version in the names of files."""
    license: str | None = None
    """Licence of the dataset, named in its card."""


class Recipe(BaseRecipe):
    """A whole run."""

    bundled: ClassVar[Path] = Path(str(files("llava_video") / "annotate" / "recipes"))

    seed: int = 0
    """Seed of the order of choices."""
    selection: Selection = Selection()
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Rules of selection for single sources, over the general ones."""
    describe: Describe = Describe()
    captions: Captions = Captions()
    ask: Ask = Ask()
    prompts: str | None = None
    """A folder of prompts and question types over those of the package."""
    filters: Filters = Filters()
    faithfulness: Faithfulness = Faithfulness()
    blind: Blind = Blind()
    endpoint: Endpoint = Endpoint()
    export: Export = Export()
    max_usd: float | None = Field(default=None, ge=0)
    """The run stops before it spends more; empty: no limit."""

    @model_validator(mode="after")
    def _check_sources(self) -> Recipe:
        for source in self.sources:
            try:
                self.selection_of(source)
            except ValidationError as error:
                raise ValueError(f"sources.{source}: {explain(error, Selection)}") from error
        return self

    @model_validator(mode="after")
    def _check_types(self) -> Recipe:
        if set(self.ask.types) <= set(SLUGS):
            return self
        known = [found.slug for found in question_types(self.prompts)]
        for name in self.ask.types:
            if name not in known:
                raise ValueError(
                    f"ask.types: {name!r} is not a question type{nearest(name, known)}"
                )
        return self

    def selection_of(self, source: str) -> Selection:
        """The selection rules of one source: the general ones with that source's own on top."""
        return Selection(**{**self.selection.model_dump(), **self.sources.get(source, {})})


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe of a run: a file, or one of the package; see `recipes.load_recipe`."""
    return recipes.load_recipe(Recipe, name_or_path, overrides)
