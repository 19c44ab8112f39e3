"""Which engine answers: ours, or vLLM."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from llava_video.errors import InputError


class Engine(StrEnum):
    """What runs a checkpoint."""

    OWN = "own"
    VLLM = "vllm"


EngineOption = Annotated[
    Engine,
    typer.Option("--engine", help="own, or vllm, which must be installed (see docs/vllm.md)."),
]
EngineArguments = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-option",
        metavar="NAME=VALUE",
        help="An argument of vLLM, such as tensor_parallel_size=8; may be repeated.",
    ),
]


OWN_OPTIONS = {
    "model": "--model",
    "representation": "--representation",
    "dtype": "--dtype",
}
"""Arguments of vLLM that options of the commands stand for."""


def read_arguments(given: Sequence[str] | None) -> dict[str, Any]:
    """``NAME=VALUE`` as arguments of vLLM; values are JSON, or text.

    Raises:
        InputError: one has no value, or is an option of the command.
    """
    arguments: dict[str, Any] = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        name = name.replace("-", "_")
        if not name or not equals:
            raise InputError(f"--engine-option {each!r} is not NAME=VALUE")
        if name in OWN_OPTIONS:
            raise InputError(f"--engine-option {name}: give {OWN_OPTIONS[name]}")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments


def engine_opener(
    engine: Engine,
    arguments: Sequence[str] | None,
    model: str,
    device: str,
    quantize: str | None,
    dtype: str | None = None,
    representation: str | None = None,
) -> Callable[[], Any] | None:
    """What starts vLLM with a checkpoint; None for our own engine.

    Args:
        engine: that runs it.
        arguments: of vLLM, ``NAME=VALUE``.
        model: see `llava_video.load`.
        device: as given.
        quantize: as given.
        dtype: as given.
        representation: use this one instead of the checkpoint's.

    Raises:
        InputError: the options are the other engine's.
    """
    if engine is Engine.OWN:
        _check_own(arguments)
        return None
    _check_vllm(device, int8=quantize is not None)
    values = read_arguments(arguments)
    vllm = importlib.import_module("llava_video.plugins.vllm.chat_model")
    return lambda: vllm.VllmModel.load(model, dtype=dtype, representation=representation, **values)


def _check_vllm(device: str, *, int8: bool, cache_dir: Path | None = None) -> None:
    if int8 or cache_dir is not None or device != "auto":
        raise InputError(
            "--device, --quantize and --cache-dir are of our own engine; vLLM chooses its "
            "device, and takes others as --engine-option"
        )


def _check_own(arguments: Sequence[str] | None) -> None:
    if arguments:
        raise InputError("--engine-option is of vLLM; give --engine vllm too")


def load_served(
    model: str,
    name: str | None,
    engine: Engine,
    arguments: Sequence[str] | None,
    *,
    num_at_once: int,
    cache_dir: Path | None,
    cache_bytes: int,
    int8: bool,
    device: str,
    **options: Any,
) -> Any:
    """The model that a server answers with.

    Args:
        model: see `llava_video.load`.
        name: what clients call it.
        engine: that runs it.
        arguments: of vLLM, ``NAME=VALUE``.
        num_at_once: requests that join vLLM's batch at a time.
        cache_dir: of encoded videos.
        cache_bytes: that it may hold.
        int8: whether linear layers get int8 weights.
        device: as given.
        **options: dtype and representation.

    Raises:
        LlavaVideoError: it cannot be used, or the options are the other engine's.
    """
    if engine is Engine.VLLM:
        _check_vllm(device, int8=int8, cache_dir=cache_dir)
        vllm = importlib.import_module("llava_video.plugins.vllm.served")
        return vllm.ServedByVllm(
            model,
            alias=name,
            num_batches_at_once=num_at_once,
            **options,
            **read_arguments(arguments),
        )
    _check_own(arguments)
    features = None
    if cache_dir is not None:
        files = importlib.import_module("llava_video.chat.local.feature_files")
        features = files.FeatureFiles(cache_dir, cache_bytes)
    served = importlib.import_module("llava_video.serve.engine.served")
    return served.load_served(
        model, alias=name, int8=int8, device=device, feature_files=features, **options
    )
