"""Registers LLaVA-Video with the Auto classes of transformers after ``import llava_video``.

transformers takes a second to import and torch two more, so ``import llava_video`` imports neither.
It watches for imports, before or after its own, and each of them causes the next::

    import llava_video                          registration, and a watcher per module below
        |
    transformers...configuration_auto           model.configuration, checkpoints.auto_config
        |  registers with AutoConfig                (transformers, no torch)
        v
    transformers...processing_auto              processing.processor (torch)
        |  registers with AutoProcessor
        v
    the first LlavaVideoConfig is made          model.modeling (torch, transformers' modeling)
           registers with AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM

The models come last: an Auto class makes a configuration before it looks for the model, and
importing them earlier would be a circular import. For the same reason nothing is
registered while one of the watched modules is half imported.

This module is above `model`, `processing` and `checkpoints`, whose classes it registers; none
of them imports it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import ClassVar


def announce() -> None:
    """Register in the modules that are imported, and in the others as soon as they are."""
    for name, register in _REGISTRATIONS.items():
        if name in sys.modules:
            register(sys.modules[name])
        else:
            sys.meta_path.insert(0, _Watcher(name))


def _register_configuration(auto: ModuleType) -> None:
    from llava_video.checkpoints.auto_config import LlavaQwenConfig, LlavaTypeConfig
    from llava_video.model.configuration import LlavaVideoConfig

    for config in (LlavaVideoConfig, LlavaQwenConfig, LlavaTypeConfig):
        auto.AutoConfig.register(config.model_type, config, exist_ok=True)


def _register_processor(auto: ModuleType) -> None:
    from llava_video.model.configuration import LlavaVideoConfig
    from llava_video.processing.processor import LlavaVideoProcessor

    auto.AutoProcessor.register(LlavaVideoConfig, LlavaVideoProcessor, exist_ok=True)


def _await_first_configuration(configuration: ModuleType) -> None:
    configuration.ON_FIRST_CONFIGURATION.append(_register_models)


def _register_models() -> None:
    from transformers import AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES

    from llava_video.model.configuration import LlavaVideoConfig
    from llava_video.model.modeling import LlavaVideoForConditionalGeneration, LlavaVideoModel

    AutoModel.register(LlavaVideoConfig, LlavaVideoModel, exist_ok=True)
    for auto in (AutoModelForImageTextToText, AutoModelForMultimodalLM):
        auto.register(LlavaVideoConfig, LlavaVideoForConditionalGeneration, exist_ok=True)
    # `transformers serve` looks models up by name, here only.
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES[LlavaVideoConfig.model_type] = (
        LlavaVideoForConditionalGeneration.__name__
    )


def _register_nothing(module: ModuleType) -> None:
    """For modules of circular imports: registrations wait until they are imported."""


_REGISTRATIONS: dict[str, Callable[[ModuleType], None]] = {
    "transformers.models.auto.configuration_auto": _register_configuration,
    "transformers.models.auto.processing_auto": _register_processor,
    "transformers.models.auto.modeling_auto": _register_nothing,
    "transformers.models.qwen2.configuration_qwen2": _register_nothing,
    "transformers.models.siglip.configuration_siglip": _register_nothing,
    "llava_video.model.configuration": _await_first_configuration,
    "llava_video.checkpoints.config_values": _register_nothing,
    "llava_video.checkpoints.released": _register_nothing,
    "llava_video.checkpoints.auto_config": _register_nothing,
    "llava_video.processing.processor": _register_nothing,
}


class _Watcher(MetaPathFinder):
    """Watches for one import."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader)
        return spec


class _RegisteringLoader(Loader):
    """Loads the module as usual, then registers our class in it, once no other one is loading."""

    _loading: ClassVar[list[str]] = []
    _loaded: ClassVar[list[ModuleType]] = []

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loading.append(module.__name__)
        try:
            self._loader.exec_module(module)
        finally:
            self._loading.remove(module.__name__)
        self._loaded.append(module)
        while self._loaded and not self._loading:
            loaded = self._loaded.pop(0)
            _REGISTRATIONS[loaded.__name__](loaded)
