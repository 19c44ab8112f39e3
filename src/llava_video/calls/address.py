"""The address of an endpoint, however it is written, and what goes with every request to it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from llava_video.calls.endpoint import Endpoint
from llava_video.errors import InputError

OPENAI = "https://api.openai.com/v1"
_ROUTE = "/chat/completions"
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NO_HEADER = "it holds a line break or another character that no header can have; set it anew"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go.

    Attributes:
        base: scheme, host and path, without a slash at the end.
        query: values of the query of every request.
    """

    base: str
    query: dict[str, str]

    @property
    def completions(self) -> str:
        """The URL of chat completions, without the query."""
        return self.base + _ROUTE

    @property
    def is_azure(self) -> bool:
        """Whether it is Azure's, which takes the key in a header of its own."""
        return (urlsplit(self.base).hostname or "").endswith(_AZURE)


def read_address(settings: Endpoint) -> Address:
    """The address that settings name; without ``base_url`` OpenAI's.

    A URL without a path gets ``/v1``; slashes at the end, and the route of chat completions itself,
    are left out; a query becomes part of every request's.

    Raises:
        InputError: it is no address.
    """
    text = settings.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    wrong = f"--base-url {text}: no address"
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{wrong} ({error}); write it like http://127.0.0.1:8000/v1") from error
    if parts.scheme.lower() not in ("http", "https") or not host or re.search(r"\s", parts.netloc):
        raise InputError(f"{wrong}; write it like http://127.0.0.1:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            f"--base-url with a name or password before {host}; leave them out, and put the key "
            f"into {settings.api_key_env}"
        )
    if parts.fragment:
        raise InputError(f"--base-url {text}: leave #{parts.fragment} out")
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    path = re.sub(r"/(?:chat(?:/completions)?|completions|responses|models)$", "", path)
    base = urlunsplit((parts.scheme.lower(), parts.netloc, path or "/v1", "", ""))
    return Address(base, dict(parse_qsl(parts.query, keep_blank_values=True)) | settings.query)


def variables_of(settings: Endpoint) -> list[str]:
    """Environment variables that an endpoint's settings depend on, set or not."""
    named = [name for text in settings.headers.values() for name in _VARIABLE.findall(text)]
    return ["OPENAI_BASE_URL", settings.api_key_env, *named]


def read_key(settings: Endpoint) -> str:
    """The key, without white space around it; empty where there is none.

    Raises:
        InputError: it holds characters that a header cannot.
    """
    key = os.environ.get(settings.api_key_env, "").strip()
    if re.search(r"[^\x21-\x7e]", key):
        raise InputError(f"{settings.api_key_env}: {_NO_HEADER}")
    return key


def read_headers(
    settings: Endpoint, address: Address, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers that carry the key and the recipe's own ones.

    ``${NAME}`` in a value is the environment variable NAME, so that recipes hold no secrets.

    Raises:
        InputError: a variable is not set, or a name or value cannot be in a header.
    """
    environment = os.environ if environment is None else environment
    key = read_key(settings) or "none"
    name = settings.api_key_header or ("api-key" if address.is_azure else "Authorization")
    headers = {name: f"Bearer {key}" if name.lower() == "authorization" else key}
    for header, text in settings.headers.items():
        if not _HEADER_NAME.fullmatch(header):
            raise InputError(f"endpoint.headers: {header!r} cannot be the name of a header")
        for variable in _VARIABLE.findall(text):
            if variable not in environment:
                raise InputError(f"endpoint.headers.{header}: set {variable}, which it names")
        value = _VARIABLE.sub(lambda found: environment[found[1]], text)
        if re.search(r"[^\x20-\x7e]", value.strip()):
            raise InputError(f"endpoint.headers.{header}: {_NO_HEADER}")
        headers[header] = value.strip()
    return headers
