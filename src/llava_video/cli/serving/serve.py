"""``llava-video serve``: an OpenAI-compatible API and a page."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.answering import options as o


def command(
    model: o.Model = "tiny",
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine need --api-key-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(help="Keys, one a line, of which each request needs one.")
    ] = None,
    media_root: Annotated[
        Path | None, typer.Option(help="Folder below which requests may name files.")
    ] = None,
    representation: o.Representation = None,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
) -> None:
    """Answer questions about videos over HTTP, as OpenAI's API does."""
    from llava_video.cli.startup import keep_libraries_quiet, many_imports
    from llava_video.serve.settings import ServeSettings

    settings = ServeSettings(host=host, port=port, api_key_file=api_key_file, media_root=media_root)
    with many_imports():
        app_module = importlib.import_module("llava_video.serve.app")
        served = importlib.import_module("llava_video.serve.engine.served")
    keep_libraries_quiet()
    from llava_video.web.middleware import log_lines
    from llava_video.web.run import WebServer

    loaded = served.load_served(
        model, device=device, dtype=dtype, int8=quantize is not None, representation=representation
    )
    app = app_module.make_serve_app(loaded, settings, log_lines())
    server = WebServer(app, host, port, drain_seconds=settings.drain_seconds)
    typer.echo(f"{server.url}  model {loaded.name}")
    server.serve_until_stopped()
