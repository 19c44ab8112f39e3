"""The model in the process that keeps it: loaded once, for requests of every kind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock

import torch

from llava_video.budget.devices import parse_device
from llava_video.budget.planner import MemoryShortError
from llava_video.chat.keep.place import Place
from llava_video.chat.keep.start import ask_once, stop
from llava_video.chat.local_model import LocalModel
from llava_video.chat.model_request import ModelRequest, load_requested
from llava_video.checkpoints.load import find_checkpoint

_READ_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")

Stamp = tuple[tuple[str, int, int, int], ...]


class Host:
    """Loads one checkpoint on one device, and keeps it as long as its files stay what they are.

    Args:
        model: a name, or a directory.
        others: the other models that are kept now.
    """

    def __init__(self, model: str, others: Callable[[], Iterator[Place]]) -> None:
        self._model = model
        self._others = others
        self._directory: Path | None = None
        self._stamp: Stamp = ()
        self._lock = Lock()
        self._models: dict[ModelRequest, tuple[LocalModel, str | None]] = {}

    @property
    def held_bytes(self) -> int:
        """What weights and caches take."""
        for model, _ in list(self._models.values()):  # the first; the others share
            kept = model.kept_bytes
            caches = kept.frames_bytes + kept.features_bytes + kept.keys_values_bytes
            return model.weights_bytes + caches
        return 0

    @property
    def device(self) -> str | None:
        """Where the model runs; None as long as there is none."""
        return next((str(model.device) for model, _ in list(self._models.values())), None)

    @property
    def is_empty(self) -> bool:
        """Whether no model could be loaded."""
        return not self._models

    def open(self, request: ModelRequest) -> tuple[LocalModel, list[str]]:
        """The model for conversations of a kind, and what has to be said about it.

        Its weights are loaded once, and again when a file of the checkpoint has changed.

        Raises:
            LlavaVideoError: it cannot be loaded, or does not fit into the memory.
        """
        request = replace(request, model=self._model)  # of its names, that of the process
        with self._lock:
            return self._open(request)

    def _open(self, request: ModelRequest) -> tuple[LocalModel, list[str]]:
        notes = []
        if self._directory is None:
            self._directory = find_checkpoint(self._model)
        stamp = _stamp_of(self._directory)
        if self._models and stamp != self._stamp:
            self._models.clear()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            notes.append(f"{self._model}: has changed on disk, and is loaded again")
        if request not in self._models:
            self._stamp = stamp
            notes += self._load(request)
        model, note = self._models[request]
        return model, [*notes, *([note] if note else [])]

    def _load(self, request: ModelRequest) -> list[str]:
        """Load a model; where it would not fit as it should, others that are kept go first."""
        shares = next((model for model, _ in list(self._models.values())), None)
        notes: list[str] = []
        while True:
            failed = None
            try:
                model, note = load_requested(request, directory=self._directory, shares=shares)
                if not model.warnings:
                    break
            except MemoryShortError as error:
                failed = error
            stopped = self._make_room(parse_device(request.device).type)
            if stopped is None:
                if failed is not None:
                    raise failed
                break
            notes.append(f"{stopped}: is not kept any more, its memory was needed")
        self._models[request] = model, note
        return notes

    def _make_room(self, device_type: str) -> str | None:
        """End the kept model that waits longest, and return its name; None if none waits."""
        waiting = []
        for place in self._others():
            status = ask_once(place, {"do": "status"})
            if status is None or status["is_busy"] or not status["device"]:
                continue
            if torch.device(status["device"]).type == device_type:
                waiting.append((status["idle_seconds"], str(place.lock), status["model"]))
        if not waiting:
            return None
        _, lock, name = max(waiting)
        stop(Place(Path(lock)), wait_for_answers=True)
        return str(name)


def _stamp_of(directory: Path) -> Stamp:
    """What tells the files of a checkpoint from changed ones."""
    files = sorted(file for pattern in _READ_FILES for file in directory.glob(pattern))
    facts = ((file.name, file.stat()) for file in files)
    return tuple((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in facts)
