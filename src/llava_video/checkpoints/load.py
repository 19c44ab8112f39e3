"""Load a model and its processor by name or directory, in either layout."""

from __future__ import annotations

import json
import re
from copy import copy
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoTokenizer, BitsAndBytesConfig, GenerationConfig

from llava_video.checkpoints.released import is_released_layout, translate_config
from llava_video.checkpoints.safetensors_files import INDEX_FILE, SINGLE_FILE, read_headers
from llava_video.errors import CheckpointError, InputError, RepresentationError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.grouped_attention import GROUPED
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor, processor_values
from llava_video.representation import PRESETS, VideoRepresentation, parse_representation

TINY = "tiny"
"""Name of the bundled model; it knows only toyworld."""

NEVER_QUANTIZED = ["model.vision_encoder", "model.projector", "lm_head"]
"""Parts that stay in their dtype where the language model is loaded in 4 or 8 bits."""

_NAMES_CODE = re.compile(r"^auto_map$|^custom_|_implementation")

_DOWNLOADED = ["*.json", "*.safetensors", "*.txt", "*.jinja"]


def load(
    name_or_dir: str | Path = TINY,
    *,
    representation: VideoRepresentation | str | None = None,
    **options: Any,
) -> tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]:
    """Load a model and its processor.

    Args:
        name_or_dir: ``"tiny"``, a directory in our layout or in that of the official release, or
            the name of such a checkpoint on the model hub.
        representation: use this one instead of the checkpoint's: ``"T,M,s,p"``, a preset, or a
            `VideoRepresentation`.
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


def find_checkpoint(name_or_dir: str | Path) -> Path:
    """The directory of a checkpoint; a hub name is downloaded if there is a network.

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
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{name}: no such directory; give 'tiny', the directory of a checkpoint, or a hub name "
            "like lmms-lab/LLaVA-Video-7B-Qwen2"
        )
    try:
        return Path(snapshot_download(name, allow_patterns=_DOWNLOADED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name}: neither a directory nor a checkpoint that can be downloaded "
            f"({type(error).__name__}); check the name and the network"
        ) from error


def load_config(
    directory: Path, representation: VideoRepresentation | str | None = None
) -> LlavaVideoConfig:
    """Read the configuration of a checkpoint directory in either layout, without its weights.

    Args:
        directory: a checkpoint.
        representation: use this one instead of the checkpoint's; see `load`.

    Raises:
        CheckpointError: the configuration is missing or of another architecture, or the weights are
            missing or unsafe.
        RepresentationError: the representation does not fit the model.
    """
    values = _read_json(directory / "config.json")
    _refuse_code(values, directory / "config.json")
    weight_names = _weight_names(directory)  # also for our layout: bad files show here, early
    if is_released_layout(values):
        config = translate_config(values, weight_names, str(directory))
    elif values.get("model_type") == LlavaVideoConfig.model_type:
        config = LlavaVideoConfig.from_dict(values)
    else:
        raise CheckpointError(
            f"{directory}/config.json describes a {values.get('model_type')!r} model "
            f"({', '.join(values.get('architectures') or ['no architecture'])}); LLaVA-Video needs "
            "model_type 'llava_video', or the official release's LlavaQwenForCausalLM"
        )
    if representation is not None:
        config.representation = fit_representation(representation, config)
    return config


def load_model(
    directory: Path, config: LlavaVideoConfig | None = None, **options: Any
) -> LlavaVideoForConditionalGeneration:
    """Load the weights of a checkpoint directory in either layout.

    Args:
        directory: a checkpoint.
        config: what `load_config` read from it.
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
    _check_report(report, directory)
    if "attn_implementation" not in options:
        model.set_attn_implementation({"text_config": GROUPED})
    if (directory / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(directory)
    return model.eval()  # type: ignore[no-any-return]


def load_processor(directory: Path, config: LlavaVideoConfig) -> LlavaVideoProcessor:
    """Make the processor for a model that was loaded from a directory.

    Raises:
        CheckpointError: the directory has no tokenizer, or one without the control tokens.
    """
    if not any((directory / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(
            f"{directory} has no tokenizer (tokenizer.json, or vocab.json with merges.txt); copy "
            "the tokenizer files of the checkpoint into it"
        )
    settings = directory / "tokenizer_config.json"
    if settings.is_file():
        _refuse_code(_read_json(settings), settings)
    processor = LlavaVideoProcessor(
        AutoTokenizer.from_pretrained(directory, trust_remote_code=False),
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
        is_preset = wanted in PRESETS
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


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}, so it is not a checkpoint")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); download it again") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; download it again")
    return values


def _weight_names(directory: Path) -> set[str]:
    """Names of all tensors, from the headers of the safetensors files, which are checked."""
    has_weights = any((directory / name).is_file() for name in (SINGLE_FILE, INDEX_FILE))
    pickles = sorted(directory.glob("*.bin")) + sorted(directory.glob("*.pt*"))
    if pickles and not has_weights:
        raise CheckpointError(
            f"{pickles[0]} is a pickle, which can run code when it is read; only safetensors are "
            "loaded. Convert it where you trust it: safetensors.torch.save_file(torch.load(path, "
            "weights_only=True), 'model.safetensors')"
        )
    return {tensor.name for shard in read_headers(directory) for tensor in shard}


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


def _check_report(report: dict[str, Any], directory: Path) -> None:
    """Refuse weights that are missing, left over, or of another shape."""
    mismatched = sorted(str(entry[0]) for entry in report["mismatched_keys"])
    for kind, names in (
        ("lacks the tensor", sorted(report["missing_keys"])),
        ("has a tensor that the model does not know:", sorted(report["unexpected_keys"])),
        ("has a tensor of another shape than config.json says:", mismatched),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"{directory} {kind} {names[0]}{more}; weights and config.json are not of one model"
            )
