"""The app of `llava-video serve`, and running it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware

from llava_video.errors import InputError
from llava_video.serve.api import completions, files, status
from llava_video.serve.engine.engine import Engine
from llava_video.serve.engine.queue import WaitingRoom
from llava_video.serve.engine.served import ServedModel
from llava_video.serve.files import UploadedFiles
from llava_video.serve.keys import Keys, read_keys
from llava_video.serve.media_reader import MediaReader
from llava_video.serve.media_stand_in import MediaGuard
from llava_video.serve.metrics import Metrics
from llava_video.serve.page import routes as page
from llava_video.serve.services import Services
from llava_video.serve.settings import ServeSettings
from llava_video.web.app import make_app
from llava_video.web.middleware import LOOPBACK_NAMES, Log, no_log

BATCH_TOKENS = 1 << 20


def make_serve_app(model: ServedModel, settings: ServeSettings, log: Log = no_log) -> FastAPI:
    """The app with all its routes; its services live as long as it runs.

    Raises:
        InputError: a setting cannot be used.
    """
    is_local = is_loopback(settings.host)
    keys = [] if settings.api_key_file is None else read_keys(settings.api_key_file)
    if not keys and not is_local:
        raise InputError(
            f"--host {settings.host}: other machines could use this server; give --api-key-file, a "
            "file of keys, one a line (`openssl rand -hex 24` makes one)"
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="llava-video-serve-") as folder:
            services = make_services(model, settings, Path(folder), log)
            app.state.services = services
            services.engine.start()
            try:
                yield
            finally:
                services.engine.close(settings.drain_seconds)
                services.media.close()
                services.guard.close()
                services.files.close()

    app = make_app(
        max_body_bytes=settings.requests.body_bytes,
        max_body_seconds=settings.requests.body_seconds,
        log=log,
        host_names=LOOPBACK_NAMES if is_local else None,
        origins=settings.origins,
        inner=[Middleware(Keys, keys=keys)],
        lifespan=lifespan,
    )
    app.include_router(completions.router)
    app.include_router(files.make_router(settings.requests.upload_bytes))
    app.include_router(status.router)
    app.include_router(page.router)
    return app


def make_services(
    model: ServedModel, settings: ServeSettings, folder: Path, log: Log = no_log
) -> Services:
    """What the routes share.

    Args:
        model: that answers.
        settings: of the server.
        folder: of its own, for uploads and downloads.
        log: gets what fails.
    """
    room = WaitingRoom(settings.engine, BATCH_TOKENS)
    guard = MediaGuard(settings.media_root)
    return Services(
        settings=settings,
        model=model,
        engine=Engine(model, room, log),
        guard=guard,
        files=UploadedFiles(folder / "files", settings.files),
        media=MediaReader(guard, settings.engine.media_workers, model.frame_side),
        metrics=Metrics(lambda: room.num_running, lambda: room.num_waiting),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    return host in LOOPBACK_NAMES or host.startswith("127.")
