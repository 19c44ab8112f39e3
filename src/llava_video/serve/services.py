"""What the routes of a server share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from llava_video.serve.engine.engine import Engine
from llava_video.serve.engine.served import ServedModel
from llava_video.serve.files import UploadedFiles
from llava_video.serve.media import MediaGuard
from llava_video.serve.media_reader import MediaReader
from llava_video.serve.metrics import Metrics
from llava_video.serve.settings import ServeSettings


@dataclass(frozen=True)
class Services:
    """What the routes of a server share.

    Attributes:
        settings: of the server.
        model: that answers; only the engine's thread may ask it to.
        engine: which does.
        guard: reads strangers' media.
        files: that were uploaded.
        media: brings the media of conversations into memory.
        metrics: what is counted.
    """

    settings: ServeSettings
    model: ServedModel
    engine: Engine
    guard: MediaGuard
    files: UploadedFiles
    media: MediaReader
    metrics: Metrics


def services_of(request: Request) -> Services:
    """The services of the app that a request came to; a dependency of routes."""
    found: Services = request.app.state.services
    return found


def owner_of(request: Request) -> str:
    """Who asks; see `keys.Keys`."""
    return str(request.scope["state"]["owner"])
