"""What is said over the socket of a kept model: a JSON object a line, and nothing else.

::

    client                                  process
                                            {"program": version and place, "pid"}
    {"do": "open", "request", ...}          {"note"}*, {"done": {"device", "representation"}}
    {"do": "answer", "conversations", ...}  {"piece"}*, {"answered"}*, {"done"}
    {"do": "stop" | "status" | ...}         {"done"}

Instead of ``done`` comes ``{"error": {"kind", "text"}}``. A client that closes the connection
cancels what it asked for.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from llava_video import errors
from llava_video.chat.media_files import is_address
from llava_video.chat.protocol import Answered, Conversation, Influence, Piece, SpanInfluence
from llava_video.errors import InputError, LlavaVideoError

Message = dict[str, Any]

_PATH_KEYS = ("video", "image", "path")


def send(connection: socket.socket, message: Message) -> None:
    """Send one object.

    Raises:
        OSError: the other end is gone.
    """
    connection.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def receive(lines: BinaryIO) -> Message | None:
    """The next object; None at the end, or where a line broke off."""
    line = lines.readline()
    return json.loads(line) if line.endswith(b"\n") else None


def error_to_dict(error: LlavaVideoError) -> Message:
    """An error as JSON: the name of its class, and its line."""
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return {"kind": next(kinds), "text": str(error)}


def error_from_dict(values: Message) -> LlavaVideoError:
    """The error that another process had."""
    kind = getattr(errors, values["kind"], LlavaVideoError)
    is_known = isinstance(kind, type) and issubclass(kind, LlavaVideoError)
    return (kind if is_known else LlavaVideoError)(values["text"])


def piece_to_dict(piece: Piece | Answered) -> Message:
    """A part of an answer, or its end, as a reply."""
    if isinstance(piece, Piece):
        return {"piece": [piece.row, piece.text]}
    return {"answered": asdict(piece)}


def influence_from_dict(values: Message) -> Influence:
    """What `Influence.to_dict` made."""
    spans = tuple(SpanInfluence(**span) for span in values["spans"])
    return Influence(values["log_probability"], spans)


class Names:
    """Absolute paths of files, which another process can open, and how they were given."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def absolute(self, conversations: Sequence[Conversation]) -> list[list[Message]]:
        """Conversations as JSON, their files by absolute path.

        Raises:
            InputError: a medium is neither a file nor an address.
        """
        return [[self._message(message) for message in row] for row in conversations]

    def given(self, text: str) -> str:
        """A text with the files called as they were given."""
        for path in sorted(self._given, key=len, reverse=True):
            text = text.replace(path, self._given[path])
        return text

    def _message(self, message: Mapping[str, Any]) -> Message:
        content = message["content"]
        if not isinstance(content, str):
            content = [self._part(part) for part in content]
        return {"role": message["role"], "content": content}

    def _part(self, part: Mapping[str, Any]) -> Message:
        values: Message = {}
        for key, value in part.items():
            if not isinstance(value, str | Path):
                raise InputError(
                    f"a kept model takes files and addresses, not {type(value).__name__}; write it "
                    "to a file, or ask a LocalModel"
                )
            values[key] = self._path(str(value)) if key in _PATH_KEYS else str(value)
        return values

    def _path(self, name: str) -> str:
        if is_address(name):
            return name
        path = os.path.abspath(name)  # noqa: PTH100  (a link stays the name of its file)
        if path != name:
            self._given[path] = name
        return path
