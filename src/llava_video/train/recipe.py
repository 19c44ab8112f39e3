"""What a training run does: a short YAML file, checked when it is read."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llava_video.errors import InputError

RECIPE_FILE = "recipe.yaml"
"""In the run folder: the recipe with every value."""


class Strict(BaseModel):
    """Values of a recipe, none of which is unknown.

    Attributes:
        bundled: the folder of the recipes of this kind that come with the package.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    bundled: ClassVar[Path] = Path(str(files("llava_video") / "train" / "recipes"))

    def to_yaml(self) -> str:
        """The recipe with every value, as it can be run again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def check_folder(self, folder: Path) -> None:
        """A run folder keeps the recipe that it began with.

        Raises:
            InputError: the folder holds another one.
        """
        path = folder / RECIPE_FILE
        if path.is_file() and self._read_in(path) != self.to_yaml():
            raise InputError(f"{path} is another recipe; give another folder as out=DIR")

    @classmethod
    def _read_in(cls, path: Path) -> str:
        """A recipe as this version writes it, if it can be read: earlier ones had other keys."""
        text = path.read_text(encoding="utf-8")
        try:
            return cls.model_validate(yaml.safe_load(text)).to_yaml()
        except (yaml.YAMLError, ValidationError):
            return text

    def keep_in(self, folder: Path) -> None:
        """Write the recipe into a run folder.

        Raises:
            InputError: as `check_folder`.
        """
        self.check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECIPE_FILE).write_text(self.to_yaml(), encoding="utf-8")


class LearningRates(Strict):
    """Highest learning rate of each part of the model; a part without one stays as it is."""

    vision_encoder: float | None = None
    projector: float | None = None
    language_model: float | None = None


class Lora(Strict):
    """Low-rank adapters on the linear layers of some parts, which themselves stay as they are."""

    parts: tuple[Literal["language_model", "projector", "vision_encoder"], ...] = Field(
        ("language_model",), min_length=1
    )
    rank: int = Field(16, gt=0)
    alpha: int = Field(32, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    learning_rate: float = 1e-4


class Dpo(Strict):
    """Learn which of two answers is better; ``beta`` is how much their margin counts."""

    beta: float = Field(0.1, gt=0)


Tracker = Literal[
    "tensorboard", "wandb", "trackio", "mlflow", "comet_ml", "aim", "clearml", "dvclive", "swanlab"
]


class Recipe(Strict):
    """A training run.

    Attributes:
        model: where to start: ``tiny``, a directory or a hub name.
        mixture: the samples: a mixture (YAML), or one file of the LLaVA format.
        out: the run folder.
        video_folder: where the videos of samples are.
        image_folder: where their images are.
        frames_cache: a folder to keep decoded frames in, for other epochs and runs.
        frames_cache_gb: the most that this folder may take, in GB (10^9 bytes); default: no limit.
        representation: ``T,M,s,p`` or a preset; default: the model's own.
        num_frames: frames per video; default: T of the representation.
        fps: sample at this rate instead, up to T frames.
        learning_rates: per part of the model.
        lora: train adapters instead of the language model.
        dpo: learn from pairs of answers ``{"video", "prompt", "chosen", "rejected"}``.
        epochs: passes over the mixture.
        max_steps: stop after so many steps, whatever ``epochs`` says.
        rows_per_step: rows that one device computes at a time.
        rows_per_update: rows that each update of the weights learns from, on all devices together.
        shard: split weights and optimizer state among devices (FSDP2) instead of copying them.
        packing: put several samples into one row, their attention kept apart.
        attention: that of PyTorch, sample by sample, or that of the package flash-attn.
        max_tokens: the longest row.
        on_long_sample: what to do with a sample that is longer than that.
        on_bad_video: what to do with a video that fails after training has begun.
        labels: supervise what the assistant says, or what the official code does.
        dtype: of the computation; weights are kept in float32 where they are trained.
        report_samples: samples that the trained model is asked again, for the report.
        trackers: log to these, too, each by its own package.
    """

    model: str
    mixture: Path
    out: Path
    video_folder: Path = Path()
    image_folder: Path = Path()
    frames_cache: Path | None = None
    frames_cache_gb: float | None = Field(None, gt=0)
    representation: str | None = None
    num_frames: int | None = Field(None, gt=0)
    fps: float | None = Field(None, gt=0)
    learning_rates: LearningRates
    lora: Lora | None = None
    dpo: Dpo | None = None
    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, gt=0)
    rows_per_step: int = Field(1, gt=0)
    rows_per_update: int = Field(1, gt=0)
    shard: bool = False
    packing: bool = True
    attention: Literal["sdpa", "flash_attention_2"] = "sdpa"
    max_tokens: int = Field(32768, gt=0)
    on_long_sample: Literal["error", "skip_and_report"] = "error"
    on_bad_video: Literal["error", "skip_and_report"] = "error"
    labels: Literal["assistant", "llava_next"] = "assistant"
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    gradient_checkpointing: bool = True
    save_steps: int = Field(200, gt=0)
    log_steps: int = Field(10, gt=0)
    report_samples: int = Field(4, ge=0)
    trackers: tuple[Tracker, ...] = ()
    workers: int = Field(2, ge=0)
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, values: Any) -> Any:
        """``tensorboard: true`` in the folders of runs that began with version 0.1.0."""
        if isinstance(values, dict) and isinstance(values.get("tensorboard"), bool):
            values = dict(values)
            if values.pop("tensorboard"):
                values.setdefault("trackers", ["tensorboard"])
        return values

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        fitting = ("assistant", "error", "sdpa")
        if self.dpo and (self.labels, self.on_bad_video, self.attention) != fitting:
            raise ValueError("dpo needs labels=assistant, on_bad_video=error and attention=sdpa")
        if self.frames_cache_gb and not self.frames_cache:
            raise ValueError("frames_cache_gb limits a folder; give it as frames_cache=DIR")
        if self.num_frames and self.fps:
            raise ValueError("num_frames or fps, not both; leave one empty: num_frames=")
        if self.lora is None and not any(self.learning_rates.model_dump().values()):
            raise ValueError(
                "nothing is trained; give learning_rates.projector=1e-3, say, or lora={}"
            )
        return self


def bundled_recipes(kind: type[Strict] = Strict) -> list[str]:
    """Names of the recipes of a kind inside the package."""
    paths = kind.bundled.rglob("*.yaml")
    return sorted(path.relative_to(kind.bundled).with_suffix("").as_posix() for path in paths)


Kind = TypeVar("Kind", bound=Strict)


def load_recipe(name_or_path: str, overrides: list[str] | None = None) -> Recipe:
    """Read the recipe of a training run; see `load_recipe_of`."""
    return load_recipe_of(Recipe, name_or_path, overrides)


def load_recipe_of(kind: type[Kind], name_or_path: str, overrides: list[str] | None = None) -> Kind:
    """Read a recipe and change values of it.

    Args:
        kind: what a recipe of this kind holds.
        name_or_path: the name of a recipe inside the package, or a YAML file.
        overrides: ``key=value``, with dots for what lies inside: ``lora.rank=8``.

    Raises:
        InputError: no such recipe, or a key or value that a recipe does not have.
    """
    path, values = _read(kind, name_or_path)
    for override in overrides or []:
        _override(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path.name}: {_explain(error, kind)}") from error


def _read(kind: type[Strict], name_or_path: str) -> tuple[Path, dict[str, Any]]:
    """The file of a recipe, and the values in it."""
    path = Path(name_or_path)
    if name_or_path in bundled_recipes(kind):
        path = kind.bundled / f"{name_or_path}.yaml"
    elif not path.is_file():
        raise InputError(
            f"{name_or_path} is no recipe; give a YAML file or one of: "
            + ", ".join(bundled_recipes(kind))
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"{path} is not valid YAML ({line}); mend it") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no 'key: value' lines; see the recipes in the package")
    return path, values


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"{override!r} is no change of a recipe; write key=value")
    *outer, last = key.split(".")
    for name in outer:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[last] = yaml.safe_load(text) if text else None
    if isinstance(values[last], str):  # YAML 1.1 takes 1e-5 for text
        try:
            values[last] = float(values[last])
        except ValueError:
            values[last] = text


def _explain(error: ValidationError, kind: type[Strict]) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    place = ".".join(str(name) for name in first["loc"])
    if first["type"] == "missing":
        return f"{place} is missing; give it as {place}=VALUE"
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg'].lower()}, not {first['input']!r}"
    inner: dict[str, type[Strict]] = {"learning_rates": LearningRates, "lora": Lora, "dpo": Dpo}
    known = sorted(inner.get(place.split(".")[0], kind).model_fields)
    near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.6)
    hint = f"the nearest is {near[0]!r}" if near else f"the keys are {', '.join(known)}"
    return f"there is no key {place!r}; {hint}"
