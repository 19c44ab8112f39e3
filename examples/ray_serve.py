"""Several copies of the server behind one address, on the machines of a Ray cluster.

    serve run examples.ray_serve:build model=tiny media_root=videos replicas=2

Each replica is the app of `llava-video serve` with a model of its own: /v1/chat/completions,
/v1/models, /ready, /metrics and the page. One that dies is started anew; requests go to the others
meanwhile.
Uploaded files and what a model keeps of videos stay with the replica that has them: name videos
below media_root (a folder that all machines see), or send them as data: addresses. Without keys
only this machine may ask; keys=FILE holds one a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ray import serve

if TYPE_CHECKING:
    from fastapi import FastAPI


def build(arguments: dict[str, str]) -> serve.Application:
    """The application that `serve run` starts.

    Args:
        arguments: ``model``, ``media_root``, ``replicas``, ``cpus`` and ``gpus`` of each, ``keys``.
    """
    model = arguments.get("model", "tiny")
    keys, root = arguments.get("keys"), arguments.get("media_root")

    def make_app() -> FastAPI:  # on the replica
        from llava_video.serve.app import make_serve_app
        from llava_video.serve.engine.served import load_served
        from llava_video.serve.settings import ServeSettings

        settings = ServeSettings(
            host="127.0.0.1" if keys is None else "0.0.0.0",
            api_key_file=None if keys is None else Path(keys),
            media_root=None if root is None else Path(root).resolve(),
        )
        return make_serve_app(load_served(model), settings)

    @serve.deployment(
        num_replicas=int(arguments.get("replicas", "2")),
        max_ongoing_requests=64,  # the rows that wait in a replica; more wait before it
        ray_actor_options={
            "num_cpus": float(arguments.get("cpus", "1")),
            "num_gpus": float(arguments.get("gpus", "0")),
        },
    )
    @serve.ingress(make_app)
    class LlavaVideo:
        """One replica."""

    return LlavaVideo.bind()
