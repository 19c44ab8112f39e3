"""Which models are kept ready, and what they do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from llava_video.chat.keep.place import (
    CannotKeepError,
    Place,
    places,
    private_folder,
)
from llava_video.chat.keep.start import ask_once


@dataclass(frozen=True, slots=True)
class KeptStatus:
    """A model that is kept ready.

    Attributes:
        place: of its process.
        model: name, or directory.
        wanted_device: as it was asked for.
        pid: of its process.
        device: where it runs; None as long as it is not loaded.
        held_bytes: what weights and caches take.
        is_busy: whether it answers now.
        seconds_left: until it ends if nobody asks; None where it is busy.
        replies: whether its process could be asked.
    """

    place: Place
    model: str
    wanted_device: str
    pid: int
    device: str | None = None
    held_bytes: int = 0
    is_busy: bool = False
    seconds_left: float | None = None
    replies: bool = True

    @property
    def state(self) -> str:
        """What it does, for people."""
        if not self.replies:
            return "does not reply; `llava-video stop` ends it"
        if self.is_busy or self.seconds_left is None:
            return "answering"
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return f"ready, for {minutes}:{seconds:02} min more"

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        values = asdict(self)
        del values["place"]
        return values


def kept_models() -> list[KeptStatus]:
    """The models of this user that are kept ready.

    Raises:
        CannotKeepError: the folder of the sockets is not this user's alone.
    """
    folder = private_folder(make=False)
    found = [] if folder is None else [_status_of(place) for place in places(folder)]
    return [status for status in found if status is not None]


def _status_of(place: Place) -> KeptStatus | None:
    """None of a process that has just begun, or just ended."""
    pid = place.holder()
    if pid is None:
        return None
    try:
        key = json.loads(place.lock.read_text(encoding="utf-8"))
    except ValueError:
        return None
    plain = KeptStatus(place, key["model"], key["device"], pid, replies=False)
    try:
        status = ask_once(place, {"do": "status"}, wait_seconds=2.0)
    except CannotKeepError:
        return plain
    if status is None:
        return plain
    left = max(0.0, status["keep_seconds"] - status["idle_seconds"])
    return KeptStatus(
        place,
        key["model"],
        key["device"],
        pid,
        device=status["device"],
        held_bytes=status["held_bytes"],
        is_busy=status["is_busy"],
        seconds_left=None if status["is_busy"] else round(left, 1),
    )
