"""Vision features in files, which outlive the process that computed them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from llava_video.errors import InputError
from llava_video.model.int8 import Int8Linear
from llava_video.records.files import writing

_NAME = "features"
_DIGEST_BYTES = 32


class FeatureFiles:
    """Features by the digest of the pixels in files of a folder; those read longest ago go first.

    A file is named by what it holds: the digest of the pixels, in a folder named by the weights of
    the vision encoder and what it computes in. It begins with the digest of its content, so that
    one that was damaged is not taken. Several processes may share the folder.

    Args:
        folder: made where it does not exist.
        max_bytes: of all files together.

    Raises:
        InputError: the folder cannot be made, or nothing can be written there.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.warning = ""
        """Why the last features were not written; empty where they were."""
        self._lock = Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_writable = os.access(folder, os.W_OK | os.X_OK)
        except OSError as error:
            raise InputError(
                f"{folder}: no folder for vision features ({error.strerror}); name another one"
            ) from error
        if not is_writable:
            raise InputError(f"{folder}: cannot be written; name another folder")

    @property
    def num_bytes(self) -> int:
        """What the files hold now."""
        return sum(size for _, size, _ in self._files())

    def read(self, encoder: str, digest: str) -> Tensor | None:
        """Features as they were written; None where there are none, or their file is damaged.

        Args:
            encoder: the digest of the vision encoder.
            digest: of the pixels.
        """
        file = self._file_of(encoder, digest)
        try:
            content = file.read_bytes()
            os.utime(file)  # it was used now
        except OSError:  # removed by another process in between, too
            return None
        stored, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if stored == _digest(data):
            try:
                return load(data)[_NAME]
            except (SafetensorError, KeyError):
                pass
        with suppress(OSError):  # the next write replaces it
            file.unlink(missing_ok=True)
        return None

    def write(self, encoder: str, digest: str, features: Tensor) -> None:
        """Write features; where that fails, `warning` says why, and nothing else is lost."""
        data = save({_NAME: features.contiguous()})
        if len(data) + _DIGEST_BYTES > self.max_bytes:
            return
        file = self._file_of(encoder, digest)
        try:
            with self._lock:
                with writing(file, by_many=True) as unfinished:
                    unfinished.write_bytes(_digest(data) + data)
                self._remove_oldest()
        except OSError as error:
            self.warning = (
                f"{self.folder}: vision features cannot be written ({error.strerror}); "
                "make room there, or videos are encoded again after a restart"
            )
        else:
            self.warning = ""

    def _file_of(self, encoder: str, digest: str) -> Path:
        return self.folder / encoder / digest[:2] / f"{digest}.features"

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for file in self.folder.glob("*/*/*.features"):
            try:
                facts = file.stat()
            except OSError:  # another process removed it
                continue
            yield facts.st_mtime, facts.st_size, file

    def _remove_oldest(self) -> None:
        files = sorted(self._files())
        num_bytes = sum(size for _, size, _ in files)
        for _, size, file in files:
            if num_bytes <= self.max_bytes:
                return
            file.unlink(missing_ok=True)
            num_bytes -= size


def digest_of_encoder(encoder: nn.Module, device: torch.device) -> str:
    """What tells a vision encoder from others: its weights, what it computes in, and on what."""
    digest = hashlib.blake2b(f"{device.type} {encoder.config}".encode(), digest_size=16)
    for name, module in encoder.named_modules():
        own = dict(module.named_parameters(recurse=False)) | dict(
            module.named_buffers(recurse=False)
        )
        if isinstance(module, Int8Linear):
            own["weight"], own["scales"] = module.unpacked()
        for key, value in own.items():
            digest.update(f"{name}.{key} {value.dtype} {tuple(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
