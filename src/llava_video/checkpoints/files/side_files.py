"""What lies beside the weights and config.json: tokenizer and settings of generation.

transformers parses these files. What it raises depends on the file and on the version; here it is
one sentence with the name of the file. A training plan reads them too, so a run does not begin with
files that it cannot end with.
"""

from __future__ import annotations

from numbers import Real
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from transformers import AutoTokenizer, GenerationConfig

from llava_video.checkpoints.files.json_files import read_json, refuse_pointer
from llava_video.errors import CheckpointError

TOKENIZER_FILE = "tokenizer.json"
GENERATION_FILE = "generation_config.json"

_JSON_FILES = (
    GENERATION_FILE,
    "added_tokens.json",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
)
_OTHER_FILES = (TOKENIZER_FILE, "merges.txt", "chat_template.jinja")

_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "suppress_tokens", "begin_suppress_tokens")
_NUMBERS = (
    "max_length",
    "max_new_tokens",
    "min_p",
    "num_beams",
    "repetition_penalty",
    "temperature",
    "top_k",
    "top_p",
)


def check_side_files(directory: Path) -> None:
    """Refuse files beside the weights that are pointers, cut short, or hold impossible values.

    Raises:
        CheckpointError: there is such a file.
    """
    for name in _JSON_FILES:
        if (directory / name).is_file():
            read_json(directory / name)
    for name in _OTHER_FILES:
        if (directory / name).is_file():
            refuse_pointer(directory / name)
    load_generation_config(directory)


def has_tokenizer(directory: Path) -> bool:
    """Whether a directory holds the vocabulary of a tokenizer."""
    return any((directory / name).is_file() for name in (TOKENIZER_FILE, "vocab.json"))


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        CheckpointError: there is none, or its files cannot be read.
    """
    if not has_tokenizer(directory):
        raise CheckpointError(
            f"{directory} has no tokenizer (tokenizer.json, or vocab.json with merges.txt); copy "
            "the tokenizer files of the checkpoint into it"
        )
    try:
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare exceptions
        file = directory / TOKENIZER_FILE
        if file.is_file():
            read_json(file)  # cut short: says so
        raise CheckpointError(
            f"{file if file.is_file() else directory}: the tokenizer cannot be read by "
            f"tokenizers {tokenizers.__version__} and transformers {transformers.__version__} "
            f"({_first_line(error)}); download its files again, or upgrade both if they are newer"
        ) from error


def load_generation_config(directory: Path) -> GenerationConfig | None:
    """What generation_config.json says, or None where there is none.

    Raises:
        CheckpointError: it cannot be read, or a value is of another type.
    """
    file = directory / GENERATION_FILE
    if not file.is_file():
        return None
    values = read_json(file)
    for name in _IDS:
        value = values.get(name)
        ids = value if isinstance(value, list) else [value]
        if value is not None and not all(type(one) is int for one in ids):
            raise _wrong_value(file, name, value)
    for name in _NUMBERS:
        value = values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise _wrong_value(file, name, value)
    try:
        return GenerationConfig.from_pretrained(directory)
    except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{file} cannot be followed ({_first_line(error)}); correct the value, or remove it"
        ) from error


def _wrong_value(file: Path, name: str, value: Any) -> CheckpointError:
    return CheckpointError(f"{file}: {name} cannot be {value!r}; correct the value, or remove it")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
