"""Checkpoints on the model hub: downloads, and what to say where one fails."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_token, scan_cache_dir, snapshot_download
from huggingface_hub.errors import (
    CacheNotFound,
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from llava_video.checkpoints.known_models import KNOWN_MODELS
from llava_video.checkpoints.safetensors_files import list_files
from llava_video.errors import CheckpointError

DOWNLOADED = ["*.json", "*.safetensors", "*.txt", "*.jinja"]
"""Files of a checkpoint that are of use here; pickles are never loaded."""


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json")


def is_hub_name(name: str) -> bool:
    """Whether it is written like a name on the hub: ``owner/name``, maybe with ``@revision``."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def nearest_names(name: str) -> list[str]:
    """Known names that are spelt like it, and those of downloaded checkpoints."""
    known = [text for model in KNOWN_MODELS for text in (model.short_name, model.hub_name)]
    known += ["tiny", *downloaded()]
    by_lower = {text.lower(): text for text in known}
    found = difflib.get_close_matches(name.partition("@")[0].lower(), by_lower, n=1, cutoff=0.6)
    return [by_lower[text] for text in found]


def downloaded() -> dict[str, int]:
    """Names and bytes of the repositories in the hub's cache."""
    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return {}
    return {repo.repo_id: repo.size_on_disk for repo in cache.repos if repo.repo_type == "model"}


def fetch_checkpoint(name: str, *, refresh: bool = False, only_config: bool = False) -> Path:
    """The directory of a checkpoint on the hub, downloaded unless a complete copy is here.

    A line that breaks is taken up where it broke; of a download that was stopped, whole files are
    kept.

    Args:
        name: ``owner/name``, or ``owner/name@revision`` for a branch, a tag or a commit.
        refresh: ask the hub for a newer version even where there is a copy.
        only_config: download config.json alone.

    Raises:
        CheckpointError: no such name or revision, a refused token, no network and no complete copy,
            or too little room on the disk.
    """
    repository, _, revision = name.partition("@")
    wanted = ["config.json"] if only_config else DOWNLOADED
    copy = partial(snapshot_download, repository, revision=revision or None, allow_patterns=wanted)
    try:
        if not refresh and (here := _complete_copy(copy, only_config)) is not None:
            return here
        missing = [file for file in copy(dry_run=True) if file.will_download]
        _check_room(name, sum(file.file_size for file in missing))
        return Path(copy())
    except GatedRepoError as error:
        raise CheckpointError(
            f"{name}: its owner lets only registered users download it; accept its terms on its "
            "page, then `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{name}: the hub has no revision {revision!r} of it") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(f"{name}: {_unknown(name, error)}") from error
    except (LocalEntryNotFoundError, DryRunError) as error:
        raise CheckpointError(f"{name}: {_unreachable(name, error)}") from error
    except HfHubHTTPError as error:
        raise CheckpointError(f"{name}: {_refusal(error)}") from error
    except (HTTPError, OSError) as error:
        raise CheckpointError(
            f"{name}: its download stopped ({error}); run the same command again, files that are "
            "complete are kept"
        ) from error


def _complete_copy(copy: Callable[..., Any], only_config: bool) -> Path | None:
    """The local copy, if every file of it is here; others may have fetched some of them only."""
    try:
        here = Path(copy(local_files_only=True))
        weights = [] if only_config else list_files(here)
    except (LocalEntryNotFoundError, CheckpointError):  # nothing, or a part
        return None
    has_words = only_config or any((here / name).is_file() for name in _TOKENIZER_FILES)
    needed = [here / "config.json", *weights]
    return here if has_words and all(file.is_file() for file in needed) else None


def _unknown(name: str, error: BaseException) -> str:
    if _status(error) == 401 and get_token() is not None:
        return "the hub refuses the token; `hf auth login` with a valid one, or `hf auth logout`"
    nearest = [found for found in nearest_names(name) if found != name]
    guess = f"; did you mean {nearest[0]}?" if nearest else "; see `llava-video models`"
    return f"the hub has no such checkpoint{guess}"


def _unreachable(name: str, error: Exception) -> str:
    cause = error.__cause__
    status = None if cause is None else _status(cause)
    if cause is not None and status in (401, 403, 404):
        return _unknown(name, cause)
    reason = "the hub cannot be reached" if status is None else f"the hub answers HTTP {status}"
    return (
        f"there is no complete copy of it here, and {reason}; try again when it can, with "
        f"`llava-video models get {name}`"
    )


def _refusal(error: HfHubHTTPError) -> str:
    status = _status(error)
    if status in (401, 403):
        return f"the hub refuses the token (HTTP {status}); `hf auth login` with a valid one"
    return f"the hub answers HTTP {status}; try again later, files that are complete are kept"


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _check_room(name: str, missing_bytes: int) -> None:
    """Refuse a download that does not fit on the disk."""
    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if missing_bytes > free_bytes:
        raise CheckpointError(
            f"{name}: {missing_bytes / 1e9:.1f} GB are to be downloaded, {folder} has room for "
            f"{free_bytes / 1e9:.1f} GB; make room, or set HF_HOME to another disk"
        )
