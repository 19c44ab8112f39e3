"""Makes the annotator that the settings of an endpoint name."""

from __future__ import annotations

from llava_video.calls.address import read_address, read_headers, read_key
from llava_video.calls.annotator import Annotator
from llava_video.calls.endpoint import Endpoint
from llava_video.errors import InputError


def make_annotator(settings: Endpoint) -> Annotator:
    """The annotator that the settings name."""
    if settings.model == "toy":
        from llava_video.calls.toy_annotator import ToyAnnotator

        return ToyAnnotator()
    from llava_video.calls.openai_endpoint import OpenAIEndpoint

    return OpenAIEndpoint(settings)


def check_endpoint(settings: Endpoint) -> None:
    """Check an endpoint's settings before any video is measured.

    Raises:
        InputError: the key or the address is missing, or cannot be sent.
    """
    if settings.model == "toy":
        return
    if settings.base_url is None and not read_key(settings):
        raise InputError(
            f"no API key: set {settings.api_key_env}, or give --base-url of your own server, "
            "or --model toy for a run without any"
        )
    read_headers(settings, read_address(settings))
