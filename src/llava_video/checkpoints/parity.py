"""Stage by stage: does a checkpoint compute here what it computes in plain transformers?

Each stage is computed twice from the same input, once by our model and once by what is as plain as
possible: every frame decoded in order, `SiglipImageProcessorPil`, `SiglipVisionModel`, a loop over
frames, `Qwen2ForCausalLM`, all with the tensors of the checkpoint's files under names mapped anew,
and with what config.json says as transformers and the official code read it, not as we do.
So the first stage that differs is where something is wrong. Where transformers' LlavaOnevision
computes the same function, it is run from end to end as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor
from transformers import (
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipVisionModel,
)
from transformers.utils import logging as transformers_logging

from llava_video.checkpoints import layouts
from llava_video.checkpoints.convert import inspect_checkpoint
from llava_video.checkpoints.files.json_files import read_json
from llava_video.checkpoints.load import find_checkpoint, load
from llava_video.checkpoints.reference import (
    arrange_reference,
    check_plain,
    decode_reference,
    preprocess_reference,
    project_reference,
    representation_reference,
    text_config_reference,
)
from llava_video.checkpoints.safetensors_files import StoredTensor
from llava_video.errors import CheckpointError, InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.types import Frames
from llava_video.video import read_video

QUESTION = "What happens in this video?"
NUM_LOGITS = 8
"""Last positions whose logits are compared; all of them would be gigabytes."""

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest difference that rounding explains, relative to the largest value."""

ONE_LEVEL = 1 / 127.5 + 1e-5
"""Pixels may be one of 255 levels off where pictures shrink much; see docs/video.md."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One comparison.

    Attributes:
        name: frames, pixels, features, layout, logits or llava-onevision.
        against: what ours was compared with.
        difference: the largest one; None where nothing could be compared.
        tolerance: the largest that is put down to rounding.
        note: why nothing was compared, or another observation.
    """

    name: str
    against: str
    difference: float | None
    tolerance: float
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance, or nothing was compared."""
        return self.difference is None or self.difference <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        return {**asdict(self), "agrees": self.agrees}


@dataclass(frozen=True, slots=True)
class Recording:
    """The outputs of our model for a video, stage by stage.

    Attributes:
        full_frames: frames at the size of the file.
        pixels: ``(T, 3, S, S)``.
        features: ``(T, M, C)``.
        video_tokens: ``(V, D)``.
        input_ids: ``(1, L)`` with placeholders.
        logits: ``(NUM_LOGITS, vocabulary)``, of the last positions.
    """

    full_frames: Frames
    pixels: Tensor
    features: Tensor
    video_tokens: Tensor
    input_ids: Tensor
    logits: Tensor


def check_parity(
    name_or_dir: str | Path,
    video: str | Path,
    *,
    num_frames: int = 5,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> list[Stage]:
    """Compare a checkpoint here with itself in transformers.

    Memory: our model first, then the vision encoder and the language model one after the other.

    Args:
        name_or_dir: what `load` takes.
        video: a file.
        num_frames: frames to sample.
        dtype: to compute in; the tolerance follows it.
        device: to compute on.

    Raises:
        LlavaVideoError: the checkpoint or the video is unusable, or has what the references do not
            know.
    """
    check_plain(video)
    transformers_logging.disable_progress_bar()  # parts are loaded one by one
    model, processor = load(name_or_dir, dtype=dtype)
    if processor.representation.selection != "all":
        raise InputError(
            f"{name_or_dir}: keeps a selection of its video tokens, which no reference does; set "
            'selection to "all" in its configuration to compare the rest'
        )
    num_frames = min(num_frames, processor.representation.max_frames)
    recording = record(model.to(device), processor, video, num_frames)
    del model
    return compare(recording, processor, name_or_dir, video)


def first_difference(stages: Sequence[Stage]) -> Stage | None:
    """The first stage that differs, if any does."""
    return next((stage for stage in stages if not stage.agrees), None)


@torch.inference_mode()
def record(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    video: str | Path,
    num_frames: int,
) -> Recording:
    """Run our model and keep the output of each stage."""
    frames = processor.sample_frames(video, num_frames=num_frames)
    inputs = processor(QUESTION, frames).to(model.device)
    pixels = inputs["pixel_values_videos"]
    outputs = model(**inputs, logits_to_keep=NUM_LOGITS)
    return Recording(
        full_frames=read_video(video, num_frames=num_frames),
        pixels=pixels,
        features=model.model.encode_frames(pixels),
        video_tokens=outputs.video_tokens[0],
        input_ids=inputs["input_ids"],
        logits=outputs.logits[0],
    )


@torch.inference_mode()
def compare(
    ours: Recording, processor: LlavaVideoProcessor, name_or_dir: str | Path, video: str | Path
) -> list[Stage]:
    """Recompute every stage with the reference implementation, and report the differences.

    Args:
        ours: what `record` kept.
        processor: the one that it was made with.
        name_or_dir: the checkpoint.
        video: the file that was recorded.
    """
    checkpoint = inspect_checkpoint(find_checkpoint(name_or_dir))
    config = checkpoint.config
    tensors = {name: tensor for shard in checkpoint.shards for name, tensor in shard}
    files = _Files(tensors, ours.features.dtype, ours.features.device)
    tolerance = TOLERANCES[ours.features.dtype]
    values = read_json(checkpoint.directory / "config.json")

    frames, note = decode_reference(video, ours.full_frames)
    levels = _largest(ours.full_frames.pixels.astype(np.float32), frames.astype(np.float32))
    stages = [Stage("frames", "every frame decoded in order, linspace", levels, 0.0, note)]

    plain_pixels = preprocess_reference(frames, processor.image_size).to(ours.pixels.device)
    difference = float((ours.pixels - plain_pixels).abs().max())
    stages.append(Stage("pixels", "SiglipImageProcessorPil", difference, ONE_LEVEL))

    vision = files.fill(SiglipVisionModel, config.vision, _vision_name)
    pixels = ours.pixels.to(files.dtype)
    features = vision(pixel_values=pixels, output_hidden_states=True).hidden_states[-1]
    del vision
    stages.append(
        Stage("features", "SiglipVisionModel", _relative(ours.features, features), tolerance)
    )

    tokens = arrange_reference(
        project_reference(ours.features, files.layer("linear_1"), files.layer("linear_2")),
        representation_reference(values, processor.representation),
        files.vector("model.newline"),
        files.vector("model.separator"),
    )
    note = f"{len(ours.video_tokens)} tokens, the reference {len(tokens)}"
    stages.append(
        Stage("layout", "a loop over frames", _relative(ours.video_tokens, tokens), tolerance, note)
    )

    logits = _plain_logits(ours, text_config_reference(values), config.video_token_id, files)
    stages.append(Stage("logits", "Qwen2ForCausalLM", _relative(ours.logits, logits), tolerance))
    stages.append(_onevision_stage(ours, config, files, tolerance))
    return stages


class _Files:
    """Tensors out of a checkpoint's files, by our names."""

    def __init__(
        self, tensors: dict[str, StoredTensor], dtype: torch.dtype, device: torch.device
    ) -> None:
        self._tensors = tensors
        self.dtype = dtype
        self._device = device

    def tensor(self, name: str) -> Tensor:
        """A tensor of the checkpoint."""
        stored = self._tensors[name]
        with safe_open(stored.file, "pt") as file:
            return file.get_tensor(stored.name).to(self._device, self.dtype)  # type: ignore[no-any-return]

    def vector(self, name: str) -> Tensor | None:
        """A learned vector, or None if the checkpoint does not have it."""
        return self.tensor(name) if name in self._tensors else None

    def layer(self, name: str) -> tuple[Tensor, Tensor]:
        """Weight and bias of a layer of the projector."""
        prefix = f"model.projector.{name}."
        return self.tensor(f"{prefix}weight"), self.tensor(f"{prefix}bias")

    def fill(self, model_class: Any, config: Any, rename: Callable[[str], str | None]) -> Any:
        """A model of transformers with these tensors, renamed; those that become None are left out.

        Raises:
            CheckpointError: transformers' class wants other tensors.
        """
        renamed = {name: rename(name) for name in self._tensors}
        weights = {new: self.tensor(name) for name, new in renamed.items() if new is not None}
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=weights, dtype=self.dtype, output_loading_info=True
        )
        wrong = sorted(report["missing_keys"] | report["unexpected_keys"])
        if wrong:
            raise CheckpointError(
                f"{model_class.__name__} of this version of transformers names its tensors "
                f"otherwise: {wrong[0]}; compare with another version"
            )
        return model.to(self._device).eval()


def _vision_name(name: str) -> str | None:
    prefix = "model.vision_encoder."
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def _plain_logits(
    ours: Recording, config: Qwen2Config, video_token_id: int, files: _Files
) -> Tensor:
    """The language model alone, over text with our video tokens between: (NUM_LOGITS, vocab)."""

    def rename(name: str) -> str | None:
        if name.startswith("model.language_model."):
            return "model." + name.removeprefix("model.language_model.")
        return name if name.startswith("lm_head.") else None

    language_model = files.fill(Qwen2ForCausalLM, config, rename)
    ids = ours.input_ids[0]
    is_video = ids == video_token_id
    embeddings = language_model.get_input_embeddings()(ids.masked_fill(is_video, 0))
    embeddings[is_video] = ours.video_tokens
    output = language_model(inputs_embeds=embeddings[None], logits_to_keep=NUM_LOGITS)
    return output.logits[0]  # type: ignore[no-any-return]


def _onevision_stage(
    ours: Recording, config: LlavaVideoConfig, files: _Files, tolerance: float
) -> Stage:
    """All of it at once in transformers' LlavaOnevision, where that is the same function."""
    against = "LlavaOnevisionForConditionalGeneration"
    reason = layouts.why_not_onevision(config)
    if reason is not None:
        return Stage("llava-onevision", against, None, tolerance, f"not compared: {reason}")
    # Only the placeholder of videos occurs; that of images must be another one.
    onevision = layouts.onevision_config(config, config.video_token_id - 1, config.video_token_id)
    model = files.fill(LlavaOnevisionForConditionalGeneration, onevision, layouts.onevision_name)
    pixels = ours.pixels.to(files.dtype)[None]
    output = model(input_ids=ours.input_ids, pixel_values_videos=pixels, logits_to_keep=NUM_LOGITS)
    return Stage("llava-onevision", against, _relative(ours.logits, output.logits[0]), tolerance)


def _largest(ours: NDArray[np.float32], plain: NDArray[np.float32]) -> float:
    return float(np.abs(ours - plain).max()) if ours.shape == plain.shape else float("inf")


def _relative(ours: Tensor, plain: Tensor) -> float:
    """The largest difference, relative to the largest value; infinite where shapes differ."""
    if ours.shape != plain.shape:
        return float("inf")
    largest = (ours.float() - plain.float()).abs().max() / plain.float().abs().max()
    return float(largest)
