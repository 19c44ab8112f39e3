"""``llava-video serve``: an OpenAI-compatible API and a page."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.answering import options as o


def command(
    model: o.Model = "tiny",
    name: Annotated[
        str | None, typer.Option(help="What clients call the model; default: its own name.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine need --api-key-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(help="Keys, one a line; every request then needs one of them.")
    ] = None,
    media_root: Annotated[
        Path | None, typer.Option(help="Folder below which requests may name files.")
    ] = None,
    allow_hosts: Annotated[
        list[str] | None,
        typer.Option(help="Host from which media may be fetched; may be repeated. Default: none."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Site whose pages may ask from a browser (CORS); may be repeated."),
    ] = None,
    representation: o.Representation = None,
    max_frames: Annotated[
        int, typer.Option(min=1, help="Most frames of a video that a request may ask for.")
    ] = 256,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Longest answer that a request may ask for, in tokens.")
    ] = 4096,
    max_batch: Annotated[int, typer.Option(min=1, help="Answers that are decoded together.")] = 16,
    max_waiting: Annotated[
        int, typer.Option(min=0, help="Requests that may wait; others are told to ask later.")
    ] = 64,
    max_upload_mib: Annotated[
        int, typer.Option(min=1, help="Largest file that can be uploaded or read, in MiB.")
    ] = 512,
    media_workers: Annotated[
        int, typer.Option(min=1, help="Files that are read at a time, each in its own process.")
    ] = 2,
    cache_dir: Annotated[
        Path | None,
        typer.Option(help="Keep encoded videos there, for the next start and other servers."),
    ] = None,
    max_cache_gib: Annotated[
        float, typer.Option(min=0, help="Most that --cache-dir holds; the oldest go first.")
    ] = 16.0,
    drain_seconds: Annotated[
        float, typer.Option(min=0, help="How long answers may take to end after SIGTERM.")
    ] = 30.0,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
) -> None:
    """Answer questions about videos over HTTP, as OpenAI's API does.

    Requests are logged on standard error, one JSON object a line, without what was said or shown.
    """
    from llava_video.cli.startup import keep_libraries_quiet, many_imports
    from llava_video.serve.settings import (
        GIB,
        MIB,
        EngineLimits,
        FileLimits,
        RequestLimits,
        ServeSettings,
    )

    settings = ServeSettings(
        host=host,
        port=port,
        api_key_file=api_key_file,
        media_root=media_root,
        allow_hosts=tuple(allow_hosts or ()),
        origins=tuple(allow_origin or ()),
        drain_seconds=drain_seconds,
        requests=RequestLimits(
            upload_bytes=max_upload_mib * MIB,
            num_frames=max_frames,
            num_new_tokens=max_new_tokens,
        ),
        engine=EngineLimits(
            batch_rows=max_batch, num_waiting=max_waiting, media_workers=media_workers
        ),
        files=FileLimits(total_bytes=8 * max_upload_mib * MIB),
    )
    with many_imports():
        app = importlib.import_module("llava_video.serve.app")
        served = importlib.import_module("llava_video.serve.engine.served")
    keep_libraries_quiet()
    features = None
    if cache_dir is not None:
        feature_files = importlib.import_module("llava_video.chat.local.feature_files")
        features = feature_files.FeatureFiles(cache_dir, round(max_cache_gib * GIB))
    loaded = served.load_served(
        model,
        alias=name,
        device=device,
        dtype=dtype,
        int8=quantize is not None,
        representation=representation,
        feature_files=features,
    )
    app.serve(loaded, settings, lambda url: _greet(url, loaded.name, settings.api_key_file))


def _greet(url: str, model: str, api_key_file: Path | None) -> None:
    key = "a key of the file" if api_key_file is not None else "none"
    typer.echo(f"{model} is served at {url}  (base URL {url}/v1, key: {key}); Ctrl-C ends it")
