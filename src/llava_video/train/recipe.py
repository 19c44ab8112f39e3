"""What a training run does: a short YAML file, checked when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from llava_video import recipes
from llava_video.recipes import BaseRecipe, Section


class LearningRates(Section):
    """Highest learning rate of each part of the model; a part without one stays as it is."""

    vision_encoder: float | None = None
    """Learning rate of the vision encoder."""
    projector: float | None = None
    """Learning rate of the projector and the vectors between frames."""
    language_model: float | None = None
    """Learning rate of the language model."""


class Lora(Section):
    """Low-rank adapters on the linear layers of some parts, which themselves stay as they are."""

    parts: tuple[Literal["language_model", "projector", "vision_encoder"], ...] = Field(
        ("language_model",), min_length=1
    )
    """Parts of the model that get adapters."""
    rank: int = Field(16, gt=0)
    """Rank of an adapter."""
    alpha: int = Field(32, gt=0)
    """Adapters are scaled by alpha / rank."""
    dropout: float = Field(0.05, ge=0, lt=1)
    """Dropout of the adapters' inputs."""
    learning_rate: float = 1e-4
    """Highest learning rate of adapters."""


class Dpo(Section):
    """Direct preference optimization."""

    beta: float = Field(0.1, gt=0)
    """Factor of the margin between two answers."""


Tracker = Literal[
    "tensorboard", "wandb", "trackio", "mlflow", "comet_ml", "aim", "clearml", "dvclive", "swanlab"
]


class Recipe(BaseRecipe):
    """A training run."""

    bundled: ClassVar[Path] = Path(str(files("llava_video") / "train" / "recipes"))

    model: str
    """Where to start: ``tiny``, a directory or a hub name."""
    mixture: Path
    """The samples: a mixture (YAML), or one file of the LLaVA format."""
    out: Path
    """The run folder."""
    video_folder: Path = Path()
    """Where the videos of samples are."""
    image_folder: Path = Path()
    """Where the images of samples are."""
    frames_cache: Path | None = None
    """A folder to keep decoded frames in, for other epochs and runs."""
    frames_cache_gb: float | None = Field(None, gt=0)
    """The most that frames_cache may take, in GB (10^9 bytes); empty: no limit."""
    representation: str | None = None
    """``T,M,s,p`` or a preset; empty: the model's own."""
    num_frames: int | None = Field(None, gt=0)
    """Frames per video; empty: T of the representation."""
    fps: float | None = Field(None, gt=0)
    """Sample at this rate instead of num_frames, up to T frames."""
    learning_rates: LearningRates
    """Highest learning rate of each part of the model that is trained."""
    lora: Lora | None = None
    """Train adapters instead of the language model."""
    dpo: Dpo | None = None
    """Train on pairs of answers ``{"video", "prompt", "chosen", "rejected"}``."""
    epochs: float = Field(1.0, gt=0)
    """Passes over the mixture."""
    max_steps: int | None = Field(None, gt=0)
    """Stop after so many steps, whatever ``epochs`` says."""
    rows_per_step: int = Field(1, gt=0)
    """Rows that one device computes at a time."""
    rows_per_update: int = Field(1, gt=0)
    """Rows per update of the weights, on all devices together."""
    shard: bool = False
    """Split weights and optimizer state among devices (FSDP2) instead of copying them."""
    packing: bool = True
    """Put several samples into one row, their attention kept apart."""
    attention: Literal["sdpa", "flash_attention_2"] = "sdpa"
    """Attention of PyTorch, sample by sample, or of the package flash-attn."""
    max_tokens: int = Field(32768, gt=0)
    """Tokens of the longest row."""
    on_long_sample: Literal["error", "skip_and_report"] = "error"
    """What to do with a sample longer than max_tokens."""
    on_bad_video: Literal["error", "skip_and_report"] = "error"
    """What to do with a video that fails after training has begun."""
    labels: Literal["assistant", "llava_next"] = "assistant"
    """Supervise what the assistant says, or what the official code does."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How learning rates fall after the warmup."""
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    """Share of the steps in which learning rates rise."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Dtype of the computation; trained weights are kept in float32."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass instead of keeping them."""
    compile: bool = False
    """Compile the layers (torch.compile): a minute at the start, faster steps on a GPU."""
    save_steps: int = Field(200, gt=0)
    """Updates between two checkpoints."""
    log_steps: int = Field(10, gt=0)
    """Updates between two lines of the log."""
    report_samples: int = Field(4, ge=0)
    """Samples whose answers the trained model predicts, for the report."""
    trackers: tuple[Tracker, ...] = ()
    """Log to these, too, each by its own package."""
    workers: int = Field(2, ge=0)
    """Processes that decode videos ahead."""
    seed: int = 0
    """Seed of the order of samples, of dropout and of new weights."""

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


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load the recipe of a training run; see `recipes.load_recipe`."""
    return recipes.load_recipe(Recipe, name_or_path, overrides)
