"""Sessions as JSON: the media by path, relative to the file, and by content."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llava_video.chat.media_files import FileIdentity, is_address
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Sampling,
    ShownVideo,
    Usage,
)
from llava_video.chat.transcript import ShownFile, Transcript, Turn
from llava_video.errors import InputError
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_json
from llava_video.representation import VideoRepresentation

_VERSION = 1


def save_transcript(session: Transcript, file: Path) -> None:
    """Write a session; see `Session.save`."""
    record = {
        "llava_video_session": _VERSION,
        "model": session.model,
        "system": session.system,
        "options": asdict(session.options),
        "files": [
            {"name": shown.name, **_file_to_dict(shown, file.absolute().parent)}
            for shown in session.files
        ],
        "turns": [
            {
                "question": turn.question,
                "num_files": len(turn.files),
                "options": asdict(turn.options),
                "answer": asdict(turn.answer),
            }
            for turn in session.turns
        ],
    }
    write_whole(file, dump_json(record, indent=2) + "\n")


def load_transcript(file: Path) -> Transcript:
    """Read a session; see `Session.load`."""
    record = read_record(file)
    try:
        shown = [_file_from_dict(values, file) for values in record["files"]]
        names = {v["name"]: one.name for v, one in zip(record["files"], shown, strict=True)}
        options = options_from_dict(record["options"])
        turns = []
        remaining = list(shown)
        for values in record["turns"]:
            count = int(values["num_files"])
            files, remaining = tuple(remaining[:count]), remaining[count:]
            turn_options = options_from_dict(values["options"])
            answer = answered_from_dict(values["answer"], names)
            turns.append(Turn(str(values["question"]), files, answer, turn_options))
        system, name = record["system"], str(record["model"])
        return Transcript(name, system, options, tuple(turns), tuple(remaining))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file}: not a session that can be read ({error!r}); save it again"
        ) from error


def read_record(file: Path) -> dict[str, Any]:
    """The JSON object of a session file, which names its model under ``model``.

    Raises:
        InputError: it is missing, or not a session.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"{file}: not a session file ({error}); save it again") from error
    if not isinstance(record, dict) or record.get("llava_video_session") != _VERSION:
        raise InputError(f"{file}: not a session file of this version; save it again")
    return record


def _file_to_dict(shown: ShownFile, folder: Path) -> dict[str, Any]:
    if is_address(shown.name):
        return {"kind": shown.kind, "address": shown.name}
    path = Path(shown.name)
    shown.check_unchanged()
    try:
        identity = FileIdentity.of(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); put it back, then save the session"
        ) from error
    relative = os.path.relpath(path.absolute(), folder)
    return {"kind": shown.kind, "path": Path(relative).as_posix(), **asdict(identity)}


def _file_from_dict(values: dict[str, Any], file: Path) -> ShownFile:
    if "address" in values:
        return ShownFile.of(str(values["address"]))
    path = Path(os.path.normpath(file.parent / str(values["path"])))
    if not path.is_file():
        raise InputError(f"{path}: is gone; put back what the session {file} shows")
    known = FileIdentity(values["num_bytes"], values["sha256"])
    if path.stat().st_size != known.num_bytes or FileIdentity.of(path) != known:
        raise InputError(
            f"{path}: has changed since the session {file} was saved; put the old file back, or "
            "start a new session"
        )
    return ShownFile.of(str(path))


def options_from_dict(values: dict[str, Any]) -> AnswerOptions:
    """What ``dataclasses.asdict`` made of options, from JSON.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or of another kind.
    """
    representation = values["representation"]
    return AnswerOptions(
        **{
            **values,
            "stop": tuple(values["stop"]),
            "sampling": Sampling(**values["sampling"]),
            "representation": representation and VideoRepresentation.from_dict(representation),
        }
    )


def answered_from_dict(values: dict[str, Any], names: dict[str, str]) -> Answered:
    """What ``dataclasses.asdict`` made of an answer, from JSON.

    Args:
        values: of the answer.
        names: of videos whose files are called otherwise now.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or of another kind.
    """
    videos = (
        ShownVideo(
            **{
                **video,
                "source": names.get(video["source"], video["source"]),
                "timestamps_seconds": tuple(video["timestamps_seconds"]),
                "warnings": tuple(video["warnings"]),
            }
        )
        for video in values["videos"]
    )
    return Answered(
        **{
            **values,
            "usage": Usage(**values["usage"]),
            "videos": tuple(videos),
            "warnings": tuple(values["warnings"]),
        }
    )
