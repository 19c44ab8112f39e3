"""Token counts of texts: exact where the model's tokenizer is local, else estimated."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from llava_video.errors import InputError

CHARACTERS_PER_TOKEN = 4.4  # English prose in the o200k and Qwen vocabularies


@cache
def find_tokenizer(name: str) -> Any | None:
    """The tokenizer of a model, or None where it is not local. Nothing is downloaded.

    Args:
        name: a ``tokenizer.json``, a folder that holds one, or a name on the Hub, which is looked
            up in the Hub's cache.

    Raises:
        InputError: the file is not a tokenizer.
    """
    path = _tokenizer_file(name)
    if path is None:
        return None
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{path}: not a tokenizer ({error}); fetch it again") from error


@lru_cache(maxsize=256)  # the long instructions come with every call
def text_tokens(text: str, tokenizer_name: str) -> int:
    """Tokens of a text: exact where `find_tokenizer` finds the tokenizer, else estimated."""
    tokenizer = find_tokenizer(tokenizer_name)
    if tokenizer is None:
        return math.ceil(len(text) / CHARACTERS_PER_TOKEN)
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def text_tokens_at_most(text: str) -> int:
    """An upper bound of tokens for any tokenizer: a token holds at least one byte."""
    return len(text.encode())


def _tokenizer_file(name: str) -> Path | None:
    path = Path(name)
    if path.is_dir():
        path /= "tokenizer.json"
    if path.is_file() and path.suffix == ".json":
        return path
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "tokenizer.json")
    except HFValidationError:  # not a valid name on the Hub
        return None
    return Path(cached) if isinstance(cached, str) else None
