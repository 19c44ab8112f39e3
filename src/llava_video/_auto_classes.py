"""Makes the Auto classes of transformers know LLaVA-Video after ``import llava_video``.

transformers takes a second to import and torch two more, so ``import llava_video`` imports neither.
When the Auto classes are imported, before or after, `llava_video.model` is imported too, and
registers itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_AUTO_CLASSES = "transformers.models.auto.configuration_auto"
_MODEL = "llava_video.model"


def announce() -> None:
    """Register now if the Auto classes are there already, else as soon as they are."""
    if _AUTO_CLASSES in sys.modules:
        importlib.import_module(_MODEL)
    else:
        sys.meta_path.insert(0, _Watcher())


class _Watcher(MetaPathFinder):
    """Notices one import, and steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _AUTO_CLASSES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader)
        return spec


class _RegisteringLoader(Loader):
    """Loads the module as usual, then imports our model unless that import is what led here."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        if _MODEL not in sys.modules:
            importlib.import_module(_MODEL)
