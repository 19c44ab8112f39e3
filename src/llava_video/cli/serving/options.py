"""Options of ``serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[
    str | None, typer.Option(help="What clients call the model; default: its own name.")
]
Host = Annotated[
    str, typer.Option(help="Where to listen; others than this machine need --api-key-file.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")]
ApiKeyFile = Annotated[
    Path | None, typer.Option(help="Keys, one a line; every request then needs one of them.")
]
MediaRoot = Annotated[Path | None, typer.Option(help="Folder below which requests may name files.")]
AllowHosts = Annotated[
    list[str] | None,
    typer.Option(help="Host from which media may be fetched; may be repeated. Default: none."),
]
AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(help="Site whose pages may ask from a browser (CORS); may be repeated."),
]
MaxFrames = Annotated[
    int, typer.Option(min=1, help="Most frames of a video that a request may ask for.")
]
MaxNewTokens = Annotated[
    int, typer.Option(min=1, help="Longest answer that a request may ask for, in tokens.")
]
MaxBatch = Annotated[int, typer.Option(min=1, help="Answers that are decoded together.")]
MaxWaiting = Annotated[
    int, typer.Option(min=0, help="Answers that may wait; further requests get a 429.")
]
MaxUploadMib = Annotated[
    int, typer.Option(min=1, help="Largest file that can be uploaded or read, in MiB.")
]
MediaWorkers = Annotated[
    int, typer.Option(min=1, help="Files that are read at a time, each in its own process.")
]
CacheDir = Annotated[
    Path | None,
    typer.Option(help="Keep encoded videos there, for the next start and other servers."),
]
MaxCacheGib = Annotated[
    float, typer.Option(min=0, help="Most that --cache-dir holds; the oldest go first.")
]
DrainSeconds = Annotated[
    float, typer.Option(min=0, help="How long answers may take to end after SIGTERM.")
]
