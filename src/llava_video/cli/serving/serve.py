"""``llava-video serve``: an OpenAI-compatible API and a page."""

from __future__ import annotations

import importlib
from pathlib import Path

import typer

from llava_video.cli.answering import options as o
from llava_video.cli.serving import engines as e
from llava_video.cli.serving import options as s


def command(
    model: o.Model = "tiny",
    name: s.Name = None,
    host: s.Host = "127.0.0.1",
    port: s.Port = 8000,
    api_key_file: s.ApiKeyFile = None,
    media_root: s.MediaRoot = None,
    allow_hosts: s.AllowHosts = None,
    allow_origin: s.AllowOrigin = None,
    representation: o.Representation = None,
    max_frames: s.MaxFrames = 256,
    max_new_tokens: s.MaxNewTokens = 4096,
    max_batch: s.MaxBatch = 16,
    max_waiting: s.MaxWaiting = 64,
    max_upload_mib: s.MaxUploadMib = 512,
    media_workers: s.MediaWorkers = 2,
    cache_dir: s.CacheDir = None,
    max_cache_gib: s.MaxCacheGib = 16.0,
    drain_seconds: s.DrainSeconds = 30.0,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    engine: e.EngineOption = e.Engine.OWN,
    engine_option: e.EngineArguments = None,
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
    keep_libraries_quiet()
    loaded = e.load_served(
        model,
        name,
        engine,
        engine_option,
        num_at_once=max_batch,
        cache_dir=cache_dir,
        cache_bytes=round(max_cache_gib * GIB),
        int8=quantize is not None,
        device=device,
        dtype=dtype,
        representation=representation,
    )
    app.serve(loaded, settings, lambda url: _greet(url, loaded.name, settings.api_key_file))


def _greet(url: str, model: str, api_key_file: Path | None) -> None:
    key = "a key of the file" if api_key_file is not None else "none"
    typer.echo(f"{model} is served at {url}  (base URL {url}/v1, key: {key}); Ctrl-C ends it")
