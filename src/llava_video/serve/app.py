"""The app of `llava-video serve`, and running it."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware

from llava_video.errors import InputError, LlavaVideoError
from llava_video.serve.api import completions, files, status
from llava_video.serve.engine.engine import Engine
from llava_video.serve.engine.queue import WaitingRoom
from llava_video.serve.engine.served import ServedModel
from llava_video.serve.files import UploadedFiles
from llava_video.serve.keys import Keys, read_keys
from llava_video.serve.media import MediaGuard, MediaSource
from llava_video.serve.media_reader import MediaReader
from llava_video.serve.metrics import Metrics
from llava_video.serve.own_folder import own_folder
from llava_video.serve.page import routes as page
from llava_video.serve.services import Services
from llava_video.serve.settings import ServeSettings
from llava_video.web.app import make_app
from llava_video.web.middleware import LOOPBACK_NAMES, Log, LogRecord, log_lines, no_log
from llava_video.web.run import WebServer

FORM_BYTES = 1 << 16
"""Of a form around a file."""


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
    root = settings.media_root
    if root is not None and not root.is_dir():
        raise InputError(f"--media-root {root}: is not a folder; name one that holds videos")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(own_folder())
                services = make_services(model, settings, folder, log, app.state.on_failure)
            except (OSError, LlavaVideoError) as error:
                app.state.failure = LlavaVideoError(f"the server cannot start: {error}")
                raise
            app.state.services = services
            services.engine.start()
            try:
                yield
            finally:
                services.engine.close(settings.drain_seconds)
                services.media.close()
                services.guard.close()
                services.files.close()

    def log_and_count(record: LogRecord) -> None:
        if hasattr(app.state, "services"):
            app.state.services.metrics.count_response(record["route"], record["status"])
        log(record)

    app = make_app(
        max_body_bytes=settings.requests.body_bytes,
        larger_bodies={files.PATH: settings.requests.upload_bytes + FORM_BYTES},
        max_body_seconds=settings.requests.body_seconds,
        log=log_and_count,
        host_names=LOOPBACK_NAMES if is_local else None,
        origins=settings.origins,
        inner=[Middleware(Keys, keys=keys)],
        lifespan=lifespan,
    )
    app.state.on_failure = lambda: None
    app.state.failure = None
    app.include_router(completions.router)
    app.include_router(files.router)
    app.include_router(status.router)
    app.include_router(page.router)
    return app


def serve(
    model: ServedModel,
    settings: ServeSettings,
    greet: Callable[[str], None],
    log: Log | None = None,
) -> None:
    """Serve until a signal comes.

    Args:
        model: that answers.
        settings: of the server.
        greet: is given the address once the server listens.
        log: gets a record for each request; by default lines on standard error.

    Raises:
        LlavaVideoError: a setting cannot be used, the port is taken, or the weights cannot be
            loaded.
    """
    app = make_serve_app(model, settings, log or log_lines())
    server = WebServer(
        app,
        settings.host,
        settings.port,
        drain_seconds=settings.drain_seconds,
        max_connections=settings.max_connections,
        on_stop=lambda: stop_taking(app),
    )
    app.state.on_failure = server.stop
    greet(server.url)
    server.serve_until_stopped()
    failure = app.state.failure or app.state.services.engine.failure
    if failure is not None:
        raise failure


def stop_taking(app: FastAPI) -> None:
    """Take no new requests; those that are inside are completed."""
    if hasattr(app.state, "services"):
        app.state.services.engine.room.close()


def make_services(
    model: ServedModel,
    settings: ServeSettings,
    folder: Path,
    log: Log = no_log,
    on_failure: Callable[[], None] = lambda: None,
) -> Services:
    """What the routes share.

    Args:
        model: that answers.
        settings: of the server.
        folder: of its own, for uploads and downloads.
        log: gets what fails.
        on_failure: is called when the weights cannot be loaded.
    """
    limits, at_once = settings.engine, model.num_batches_at_once
    if at_once > 1:  # its answers are one batch wherever they come from
        limits = replace(limits, batch_rows=1)
    room = WaitingRoom(limits, model.batch_tokens, at_once)
    guard = MediaGuard(
        MediaSource(settings.media_root, settings.allow_hosts),
        replace(
            settings.media,
            max_bytes=settings.requests.upload_bytes,
            max_seconds=settings.engine.media_seconds / 2,
            max_frames=settings.requests.num_frames,
            max_decoders=settings.engine.media_workers,
        ),
        folder / "media",
    )
    return Services(
        settings=settings,
        model=model,
        engine=Engine(model, room, log, on_failure),
        guard=guard,
        files=UploadedFiles(folder / "files", settings.files),
        media=MediaReader(guard, settings.engine.media_workers, model.frame_side),
        metrics=Metrics(lambda: room.num_running, lambda: room.num_waiting),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
