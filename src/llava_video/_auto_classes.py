"""Makes the Auto classes of transformers know LLaVA-Video after ``import llava_video``.

transformers takes a second to import and torch two more, so ``import llava_video`` imports neither.
When `AutoConfig` and `AutoProcessor` are imported, before or after, they are told of our classes.
The model classes follow when the first configuration is made: an Auto class makes one before it
looks for the model, and importing them any earlier would go through transformers in a circle. For
the same reason nothing is registered while one of the watched modules is half imported.
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
    """Register in the modules that are there, and in the others as soon as they are imported."""
    for name, register in _REGISTRATIONS.items():
        if name in sys.modules:
            register(sys.modules[name])
        else:
            sys.meta_path.insert(0, _Watcher(name))


def _register_configuration(auto: ModuleType) -> None:
    from llava_video.model.auto_config import LlavaQwenConfig, LlavaTypeConfig
    from llava_video.model.configuration import LlavaVideoConfig

    for config in (LlavaVideoConfig, LlavaQwenConfig, LlavaTypeConfig):
        auto.AutoConfig.register(config.model_type, config, exist_ok=True)


def _register_processor(auto: ModuleType) -> None:
    from llava_video.model.configuration import LlavaVideoConfig
    from llava_video.model.processing import LlavaVideoProcessor

    auto.AutoProcessor.register(LlavaVideoConfig, LlavaVideoProcessor, exist_ok=True)


def _register_nothing(module: ModuleType) -> None:
    """For modules on the way in a circle, ours too: what is registered needs them whole."""


_REGISTRATIONS: dict[str, Callable[[ModuleType], None]] = {
    "transformers.models.auto.configuration_auto": _register_configuration,
    "transformers.models.auto.processing_auto": _register_processor,
    "transformers.models.auto.modeling_auto": _register_nothing,
    "transformers.models.qwen2.configuration_qwen2": _register_nothing,
    "transformers.models.siglip.configuration_siglip": _register_nothing,
    "llava_video.model.configuration": _register_nothing,
    "llava_video.model.released": _register_nothing,
    "llava_video.model.auto_config": _register_nothing,
    "llava_video.model.processing": _register_nothing,
}


class _Watcher(MetaPathFinder):
    """Notices one import, and steps aside."""

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
