"""Load a model and its processor by name or directory, in any of the layouts."""

from __future__ import annotations

import re
from copy import copy
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import BitsAndBytesConfig

from llava_video.checkpoints.config_values import (
    check_dtypes,
    check_sizes,
    check_stored_dtype,
    read_rope,
    reading,
)
from llava_video.checkpoints.diagnosis import refuse_what_is_no_checkpoint
from llava_video.checkpoints.files.json_files import read_json
from llava_video.checkpoints.files.side_files import (
    check_side_files,
    load_generation_config,
    load_tokenizer,
)
from llava_video.checkpoints.hub import fetch_checkpoint, is_hub_name, nearest_names
from llava_video.checkpoints.known_models import find_known
from llava_video.checkpoints.layouts import native_name, released_name
from llava_video.checkpoints.onevision import is_onevision_layout, translate_onevision
from llava_video.checkpoints.released import (
    ENCODER_KEY,
    WHICH_WORK,
    implied_weight_names,
    is_released_layout,
    refuse_other_language_models,
    translate_config,
)
from llava_video.checkpoints.released_defaults import RELEASED_DEFAULTS
from llava_video.checkpoints.safetensors_files import read_headers
from llava_video.errors import CheckpointError, InputError, RepresentationError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.grouped_attention import GROUPED
from llava_video.model.int8 import quantize_linear_layers
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor, processor_values
from llava_video.representation import PRESETS, VideoRepresentation, parse_representation
from llava_video.representation.presets import split_selection

TINY = "tiny"
"""Name of the bundled model; it knows only toyworld."""

NEVER_QUANTIZED = ["model.vision_encoder", "model.projector", "lm_head"]
"""Parts that stay in their dtype where the language model is loaded in 4 or 8 bits."""

_NAMES_CODE = re.compile(r"^auto_map$|^custom_|_implementation")


def load(
    name_or_dir: str | Path = TINY,
    *,
    representation: VideoRepresentation | str | None = None,
    **options: Any,
) -> tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]:
    """Load a model and its processor.

    Args:
        name_or_dir: ``"tiny"``, a directory in our layout, that of the official release or of
            transformers' LlavaOnevision, or the name of such a checkpoint on the model hub.
        representation: use this one instead of the checkpoint's: ``"T,M,s,p"``, a preset, either
            with or without ``evs=0.5``, which alone keeps half of the tokens of the checkpoint's
            own; or a `VideoRepresentation`.
        **options: passed to ``from_pretrained`` of transformers, such as ``dtype``, ``device_map``,
            ``attn_implementation`` and ``quantization_config``. The dtype is that of the checkpoint
            unless given.

    Returns:
        The model in evaluation mode, and its processor.

    Raises:
        CheckpointError: nothing usable is there.
        RepresentationError: the representation does not fit the model.
    """
    directory = find_checkpoint(name_or_dir)
    config = load_config(directory, representation)
    processor = load_processor(directory, config)
    return load_model(directory, config, **options), processor


def find_checkpoint(
    name_or_dir: str | Path, *, refresh: bool = False, only_config: bool = False
) -> Path:
    """The directory of a checkpoint; one on the hub is downloaded unless a copy is here.

    Args:
        name_or_dir: ``"tiny"``, a directory, a short name of `KNOWN_MODELS`, or ``owner/name`` or
            ``owner/name@revision`` on the hub.
        refresh: ask the hub for a newer version even where there is a copy.
        only_config: download config.json alone.

    Raises:
        CheckpointError: no such directory, and no such name that can be downloaded.
    """
    if name_or_dir == TINY:
        return Path(str(files("llava_video") / "assets" / "tiny"))
    directory = Path(name_or_dir).expanduser()
    if directory.is_dir():
        return directory
    if directory.exists():
        raise CheckpointError(f"{directory} is a file; give the directory of a checkpoint")
    name = str(name_or_dir)
    known = find_known(name)
    if known is not None:
        return fetch_checkpoint(known.hub_name, refresh=refresh, only_config=only_config)
    if is_hub_name(name):
        return fetch_checkpoint(name, refresh=refresh, only_config=only_config)
    nearest = nearest_names(name)
    guess = f"did you mean {nearest[0]}? " if nearest else ""
    raise CheckpointError(
        f"{name}: no such directory; {guess}give 'tiny', the directory of a checkpoint, or a name "
        "that `llava-video models` lists or the hub has"
    )


def load_config(
    directory: Path,
    representation: VideoRepresentation | str | None = None,
    *,
    with_vision: bool = True,
) -> LlavaVideoConfig:
    """Read the configuration of a checkpoint directory in any layout, without its weights.

    All files beside the weights are checked too, so that whoever calls this finds what is wrong.

    Args:
        directory: a checkpoint.
        representation: use this one instead of the checkpoint's; see `load`.
        with_vision: whether the vision encoder has to be in it.

    Raises:
        CheckpointError: the configuration is missing or of another architecture, or the weights are
            missing or unsafe.
        RepresentationError: the representation does not fit the model.
    """
    file = directory / "config.json"
    if file.is_file():
        _refuse_other_models(read_json(file), directory)
    refuse_what_is_no_checkpoint(directory)
    values = read_json(file)
    names = _weight_names(directory, values)  # for every layout: bad files show here, early
    config = translate(values, names, directory)
    check_side_files(directory)
    settings = directory / "tokenizer_config.json"
    if settings.is_file():
        _refuse_code(read_json(settings), settings)
    if with_vision and not any(name.startswith("model.vision_encoder.") for name in names):
        raise CheckpointError(
            f"{directory} has no tensors of a vision encoder, which was frozen in training; "
            f"'llava-video convert {directory} NEW' puts in that of {ENCODER_KEY} in config.json"
        )
    if representation is not None:
        config.representation = fit_representation(representation, config)
    return config


def translate(
    values: dict[str, Any], weight_names: set[str] | None, directory: Path
) -> LlavaVideoConfig:
    """Make our configuration of a config.json in any layout.

    Args:
        values: its content.
        weight_names: our names of the checkpoint's tensors; None where they are not at hand.
        directory: where it is.

    Raises:
        CheckpointError: it is of another architecture, or a value cannot be followed.
    """
    file = directory / "config.json"
    _refuse_code(values, file)
    _refuse_other_models(values, directory)
    check_dtypes(values, str(file))
    with reading(str(file)):
        if is_released_layout(values):
            released = (
                implied_weight_names(values)
                if weight_names is None
                else {released_name(name) for name in weight_names}
            )
            config = translate_config(values, released, str(directory))
        elif is_onevision_layout(values):
            config = translate_onevision(values, str(directory))
        else:
            text = dict(values.get("text_config") or {})
            theta = RELEASED_DEFAULTS["rope_theta"].value
            text["rope_parameters"] = read_rope(text, theta, str(file))
            text.pop("rope_scaling", None)
            config = LlavaVideoConfig.from_dict({**values, "text_config": text})
    check_sizes(config, str(file))
    return config


def load_model(
    directory: Path,
    config: LlavaVideoConfig | None = None,
    *,
    int8: bool = False,
    **options: Any,
) -> LlavaVideoForConditionalGeneration:
    """Load the weights of a checkpoint directory in any layout.

    Args:
        directory: a checkpoint.
        config: what `load_config` read from it.
        int8: give linear layers int8 weights, for running on a CPU; everything else is float32.
        **options: passed to ``from_pretrained`` of transformers.

    Raises:
        CheckpointError: the configuration or the weights are missing, unsafe, of another
            architecture, or do not fit each other.
        InputError: few bits are wanted, and bitsandbytes is not installed.
    """
    config = config or load_config(directory)
    quantization = options.get("quantization_config")
    if isinstance(quantization, BitsAndBytesConfig):
        if not find_spec("bitsandbytes"):
            raise InputError("loading in 4 or 8 bits needs bitsandbytes; pip install bitsandbytes")
        quantization = copy(quantization)
        quantization.llm_int8_skip_modules = quantization.llm_int8_skip_modules or NEVER_QUANTIZED
        options["quantization_config"] = quantization
    model, report = LlavaVideoForConditionalGeneration.from_pretrained(
        directory,
        config=config,
        dtype=options.pop("dtype", "auto"),
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # reported below, with the names of the tensors
        **options,
    )
    model.check_report(report, str(directory))
    if "attn_implementation" not in options:
        model.set_attn_implementation({"text_config": GROUPED})
    settings = load_generation_config(directory)
    if settings is not None:
        model.generation_config = settings
    if int8:
        quantize_linear_layers(model)
    return model.eval()  # type: ignore[no-any-return]


def load_processor(directory: Path, config: LlavaVideoConfig) -> LlavaVideoProcessor:
    """Make the processor for a model that was loaded from a directory.

    Raises:
        CheckpointError: the directory has no tokenizer, or one without the control tokens.
    """
    processor = LlavaVideoProcessor(
        load_tokenizer(directory),
        **processor_values(config),
    )
    try:
        _ = processor.renderer
    except InputError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    return processor


def fit_representation(
    wanted: VideoRepresentation | str, config: LlavaVideoConfig
) -> VideoRepresentation:
    """A requested representation on the grid of a model's vision encoder.

    A preset takes over the side of the grid from the model; in ``T,M,s,p`` M must be right.

    Raises:
        RepresentationError: M is another one, or a learned vector is missing.
    """
    if isinstance(wanted, str):
        is_preset = split_selection(wanted)[0] in PRESETS
        wanted = parse_representation(wanted, config.representation)
        if is_preset:
            wanted = VideoRepresentation.from_dict(
                {**wanted.to_dict(), "grid_side": config.grid_side}
            )
    if wanted.grid_side != config.grid_side:
        raise RepresentationError(
            f"M = {wanted.tokens_per_frame} does not fit this model: its vision encoder makes "
            f"{config.grid_side**2} tokens per frame ({config.grid_side} x {config.grid_side})"
        )
    if wanted.newline != "none" and not config.has_newline:
        raise RepresentationError("this model has no newline vector; use newline='none'")
    if wanted.separator and not config.has_separator:
        raise RepresentationError("this model has no separator vector; use separator=False")
    return wanted


def _refuse_other_models(values: dict[str, Any], directory: Path) -> None:
    """Refuse a config.json of another architecture, whatever lies beside it."""
    if is_released_layout(values):
        refuse_other_language_models(values, str(directory))
        return
    model_type = values.get("model_type")
    if not is_onevision_layout(values) and model_type != LlavaVideoConfig.model_type:
        raise CheckpointError(
            f"{directory}/config.json describes a {model_type!r} model "
            f"({', '.join(values.get('architectures') or ['no architecture'])}); LLaVA-Video needs "
            "model_type 'llava_video', the official release's LlavaQwenForCausalLM, or "
            f"transformers' LlavaOnevisionForConditionalGeneration. {WHICH_WORK}"
        )


def _weight_names(directory: Path, values: dict[str, Any]) -> set[str]:
    """Our names of all tensors, from the headers of the safetensors files, which are checked."""
    tensors = [tensor for shard in read_headers(directory) for tensor in shard]
    for tensor in tensors if not values.get("quantization_config") else []:
        check_stored_dtype(tensor.name, tensor.dtype, str(tensor.file))
    return {native_name(tensor.name) for tensor in tensors}


def _refuse_code(values: Any, path: Path) -> None:
    """Refuse a file that names code to run: classes of its own, or attention from a repository."""
    if isinstance(values, list):
        for value in values:
            _refuse_code(value, path)
    elif isinstance(values, dict):
        for key, value in values.items():
            if value and _NAMES_CODE.search(key):
                raise CheckpointError(
                    f"{path} asks to run code by {key!r}; no code of a checkpoint is ever run. "
                    "Remove the key if the checkpoint works without it"
                )
            _refuse_code(value, path)
