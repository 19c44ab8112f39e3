"""What a server is told: where it listens, who may ask, and the limits of each request."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from llava_video.serve.media.limits import MediaLimits

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may ask for; more is refused before any work.

    Attributes:
        body_bytes: of a request, media in it included.
        upload_bytes: of an uploaded file.
        body_seconds: in which a body has to come.
        num_messages: of a conversation.
        num_parts: of all messages.
        num_videos: of a conversation.
        num_images: of a conversation.
        num_frames: of each video.
        fps: frames per second.
        media_bytes: of the pixels of all frames and images.
        num_choices: ``n``.
        num_new_tokens: of an answer.
        num_stops: texts that end an answer.
        stop_characters: of each of them.
    """

    body_bytes: int = 64 * MIB
    upload_bytes: int = 512 * MIB
    body_seconds: float = 120.0
    num_messages: int = 256
    num_parts: int = 512
    num_videos: int = 8
    num_images: int = 128
    num_frames: int = 256
    fps: float = 120.0
    media_bytes: int = 512 * MIB
    num_choices: int = 8
    num_new_tokens: int = 4096
    num_stops: int = 4
    stop_characters: int = 256


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine takes on.

    Attributes:
        batch_rows: answers that are decoded together.
        num_waiting: requests that wait, those whose media are being read included.
        waiting_tokens: predicted for all that wait, prompts and answers together.
        waiting_bytes: of the pixels of frames and images of all that wait.
        media_workers: files that are fetched and read at a time.
        media_seconds: in which the media of a request have to be there.
        wait_seconds: in which its turn has to come after that.
        answer_seconds: in which its answer has to be complete after that.
    """

    batch_rows: int = 16
    num_waiting: int = 64
    waiting_tokens: int = 4_000_000
    waiting_bytes: int = 2048 * MIB
    media_workers: int = 2
    media_seconds: float = 120.0
    wait_seconds: float = 300.0
    answer_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What uploaded files may take.

    Attributes:
        total_bytes: of all files.
        num_files: at a time.
        age_seconds: after which one is removed.
    """

    total_bytes: int = 4096 * MIB
    num_files: int = 1000
    age_seconds: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Of a server.

    Attributes:
        host: where it listens.
        port: 0 for a free one.
        api_key_file: keys, one a line; None asks for none, on loopback only.
        media_root: below which files may be named; None for nowhere.
        allow_hosts: from which media may be fetched; none by default.
        origins: of other sites whose pages may ask (CORS).
        max_connections: open at a time.
        drain_seconds: in which answers are completed after a signal.
        requests: limits of each request.
        engine: limits of the engine.
        files: limits of uploads.
        media: limits of reading one file, but for those that follow from the ones above.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key_file: Path | None = None
    media_root: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_connections: int = 1024
    drain_seconds: float = 30.0
    requests: RequestLimits = field(default_factory=RequestLimits)
    engine: EngineLimits = field(default_factory=EngineLimits)
    files: FileLimits = field(default_factory=FileLimits)
    media: MediaLimits = field(default_factory=MediaLimits)
