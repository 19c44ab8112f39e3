"""Where the socket of a kept model is, and whether it is ours alone."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from llava_video import __version__
from llava_video.chat.model_request import ModelRequest
from llava_video.errors import InputError

MAX_PATH_BYTES = 100
"""Of the address of a socket: macOS allows 103, Linux 107."""

SUFFIX = ".lock"

PROGRAM = f"{__version__} {Path(__file__).parents[2]}"
"""This version of llava-video, and where it is installed: only the same one answers a request."""


class CannotKeepError(InputError):
    """No model can be kept here, or none can be asked; the caller may do without."""


@dataclass(frozen=True, slots=True)
class ModelKey:
    """What tells a kept model from others.

    Attributes:
        model: a name, or the directory of a checkpoint.
        device: as it was asked for.
        dtype: as it was asked for.
        int8: whether linear layers have int8 weights.
        visible_gpus: the value of ``CUDA_VISIBLE_DEVICES``, which decides what the device is.
    """

    model: str
    device: str
    dtype: str | None = None
    int8: bool = False
    visible_gpus: str | None = None

    @classmethod
    def of(cls, request: ModelRequest) -> ModelKey:
        """The key of a model as it is named on a command line."""
        return cls(
            model_name_of(request.model),
            request.device.lower(),
            request.dtype,
            request.int8,
            os.environ.get("CUDA_VISIBLE_DEVICES"),
        )


def model_name_of(model: str) -> str:
    """What another process, in another folder, finds the model by."""
    directory = Path(model).expanduser()
    return str(directory.resolve()) if model != "tiny" and directory.is_dir() else model


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one kept model.

    Attributes:
        lock: who holds a lock on it starts the process or is it; names the model and the process.
    """

    lock: Path

    @classmethod
    def of(cls, folder: Path, key: ModelKey) -> Place:
        """That of a model.

        Raises:
            CannotKeepError: the address of its socket would be too long.
        """
        digest = hashlib.blake2b(json.dumps(asdict(key)).encode(), digest_size=8).hexdigest()
        place = cls(folder / f"{digest}{SUFFIX}")
        if len(os.fsencode(place.socket)) > MAX_PATH_BYTES:
            raise CannotKeepError(
                f"{place.socket}: too long for a socket's address; set XDG_RUNTIME_DIR or TMPDIR "
                "to a folder with a shorter name"
            )
        return place

    @property
    def socket(self) -> Path:
        """The socket; only its owner can open it."""
        return self.lock.with_suffix(".sock")

    @property
    def log(self) -> Path:
        """What the process wrote, last."""
        return self.lock.with_suffix(".log")

    def try_lock(self) -> int | None:
        """A descriptor of the locked file; None while another process holds the lock."""
        return self._try_lock(is_shared=False)

    def is_held(self) -> bool:
        """Whether a process is there, or starts."""
        descriptor = self._try_lock(is_shared=True)  # several may look at once
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def holder(self) -> int | None:
        """The process that is there; None where there is none, or one that has only begun."""
        if not self.is_held():
            return None
        try:
            return int(json.loads(self.lock.read_text(encoding="utf-8"))["pid"])
        except ValueError:
            return None

    def _try_lock(self, *, is_shared: bool) -> int | None:
        import fcntl  # there is none on Windows

        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


def places(folder: Path) -> Iterator[Place]:
    """Those whose process is there."""
    for lock in sorted(folder.glob(f"*{SUFFIX}")):
        if Place(lock).is_held():
            yield Place(lock)


def private_folder(*, make: bool) -> Path | None:
    """The folder of the sockets, which nobody else can open.

    It is in ``XDG_RUNTIME_DIR`` where that is this user's, else in the folder of temporary files.

    Args:
        make: whether to make it; None is returned where it is missing otherwise.

    Raises:
        CannotKeepError: it is somebody else's or open to others, or there are no Unix sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise CannotKeepError("models cannot be kept ready on this system: no Unix sockets")
    folder = _folder()
    if make:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise CannotKeepError(
                f"{folder}: cannot be made ({error.strerror}); make room for sockets there"
            ) from error
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise CannotKeepError(f"{folder}: belongs to somebody else; have it removed")
    if status.st_mode & 0o077:
        raise CannotKeepError(f"{folder}: others can open it; run `chmod 700 {folder}`")
    return folder


def _folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        try:
            if Path(runtime).stat().st_uid == os.geteuid():
                return Path(runtime) / "llava-video"
        except OSError:  # as under sudo, or where nobody has logged in
            pass
    return Path(tempfile.gettempdir()) / f"llava-video-{os.geteuid()}"


def check_socket(path: Path) -> None:
    """Check that a socket is ours.

    Raises:
        FileNotFoundError: there is none.
        CannotKeepError: somebody else made it.
    """
    if path.lstat().st_uid != os.geteuid():
        raise CannotKeepError(f"{path}: belongs to somebody else; have it removed")


def is_same_user(connection: socket.socket) -> bool:
    """Whether the other end is a process of this user, or the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the modes of the folder and of the socket hold
    form = "3i"
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form))
    _, user, _ = struct.unpack(form, found)
    return bool(user == os.geteuid())
