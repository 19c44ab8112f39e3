"""How many tokens a text has: counted where the model's vocabulary is at hand, else estimated."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from llava_video.errors import InputError

CHARACTERS_PER_TOKEN = 4.4  # English prose in the o200k and Qwen vocabularies


@cache
def find_vocabulary(name: str) -> Any | None:
    """The tokenizer of a model, or None where it is not on this machine. Nothing is downloaded.

    Args:
        name: a ``tokenizer.json``, a folder that holds one, or a name on the Hub, which is looked
            up in the Hub's cache.

    Raises:
        InputError: there is a file, and it is no tokenizer.
    """
    path = _vocabulary_file(name)
    if path is None:
        return None
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{path}: not a tokenizer ({error}); fetch it again") from error


@lru_cache(maxsize=256)  # the long instructions come with every call
def text_tokens(text: str, vocabulary: str) -> int:
    """Tokens of a text: counted where `find_vocabulary` finds the vocabulary, likely ones else."""
    tokenizer = find_vocabulary(vocabulary)
    if tokenizer is None:
        return math.ceil(len(text) / CHARACTERS_PER_TOKEN)
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def text_tokens_at_most(text: str) -> int:
    """A number of tokens that no vocabulary exceeds: a token holds at least one byte."""
    return len(text.encode())


def _vocabulary_file(name: str) -> Path | None:
    path = Path(name)
    if path.is_dir():
        path /= "tokenizer.json"
    if path.is_file() and path.suffix == ".json":
        return path
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "tokenizer.json")
    except HFValidationError:  # no name that the Hub could have
        return None
    return Path(cached) if isinstance(cached, str) else None
