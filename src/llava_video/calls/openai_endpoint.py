"""One request to an OpenAI-compatible endpoint, and the classification of failures."""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

from llava_video.calls.annotator import AttemptError, read_completion
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.messages import Reply, Request
from llava_video.errors import EndpointError
from llava_video.records.json_lines import dump_json

_TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504, 529)
_SAME_FOR_EVERY_CALL = (401, 402, 403, 404, 405)
_MACHINE = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
_RATE_LIMIT_PREFIX = "x-ratelimit-"


class OpenAIEndpoint:
    """The `openai` client without its retries; the caller makes the attempts."""

    def __init__(self, settings: Endpoint) -> None:
        self._settings = settings
        # Headers about this machine are left out: no server needs them, and each costs CPU time.
        unsent: Any = {f"X-Stainless-{name}": Omit() for name in _MACHINE}
        self._client = AsyncOpenAI(
            api_key=os.environ.get(settings.api_key_env) or "none",
            base_url=settings.base_url,
            max_retries=0,
            timeout=settings.timeout_seconds,
            # httpx scans all open connections for every request, which limits a process to some
            # hundred calls a second; aiohttp does not.
            http_client=DefaultAioHttpClient(),
            default_headers=unsent,
        )
        # Whole, as joining it to the base for every request costs a tenth of a call's time.
        self._url = f"{self._client.base_url}chat/completions"

    async def complete(self, request: Request, key: str) -> Reply:
        """Send one request; with the key as ``Idempotency-Key``.

        The generic ``post`` is used because the typed method traverses the body once more, which
        costs a quarter of a call's CPU time.
        """
        try:
            response = await self._client.post(
                self._url,
                cast_to=httpx2.Response,
                content=dump_json(request.body()).encode(),
                options={"headers": {"Idempotency-Key": key}},
            )
            return read_completion(response.json(), _rate_limits(response.headers))
        except openai.APIConnectionError as error:
            raise self._connection_error(error) from error
        except openai.APIStatusError as error:
            raise self._status_error(error) from error
        except (openai.APIError, ValueError, RecursionError) as error:
            # A 200 whose body is not a completion: the work was done, so it may be billed.
            raise AttemptError(
                f"the endpoint's answer is not a chat completion ({type(error).__name__}: "
                f"{_one_line(str(error))})",
                "bad_body",
                is_transient=True,
                may_be_billed=True,
            ) from error

    async def aclose(self) -> None:
        await self._client.close()

    def _connection_error(self, error: openai.APIConnectionError) -> AttemptError:
        # Through the layers above aiohttp, a refused connection, a lost one and a slow answer all
        # become timeouts; only its own error says whether the request was sent.
        cause = error.__cause__
        root = cause.__cause__ if cause is not None else None
        never_sent = isinstance(root, aiohttp.ClientConnectorError)
        lost = isinstance(root, aiohttp.ClientConnectionError) and not isinstance(
            root, TimeoutError
        )
        if isinstance(error, openai.APITimeoutError) and not lost:
            message, outcome = f"no answer within {self._settings.timeout_seconds:g} s", "timeout"
        else:
            reason = _one_line(str(cause or error)) or type(cause).__name__
            message = f"cannot reach {self._client.base_url}: {reason}"
            outcome = "unreachable" if never_sent else "connection_lost"
        return AttemptError(message, outcome, is_transient=True, may_be_billed=not never_sent)

    def _status_error(self, error: openai.APIStatusError) -> Exception:
        status, text = error.status_code, _one_line(error.message)
        where = f"{self._client.base_url} answered {status}: {text}"
        if error.code == "insufficient_quota":
            return EndpointError(f"{where}; top up the account and run again to resume")
        if status in _SAME_FOR_EVERY_CALL:
            remedy = {
                401: f"check the key in {self._settings.api_key_env}",
                404: f"check --base-url and --model {self._settings.model}",
            }
            return EndpointError(f"{where}; {remedy.get(status, 'check the account and the URL')}")
        return AttemptError(
            where,
            str(status),
            is_transient=status in _TRANSIENT,
            retry_after_seconds=_retry_after_seconds(error.response.headers),
            rate_limits=_rate_limits(error.response.headers),
        )


def _rate_limits(headers: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.lower().removeprefix(_RATE_LIMIT_PREFIX), value)
        for name, value in headers.items()
        if name.lower().startswith(_RATE_LIMIT_PREFIX)
    )


def _retry_after_seconds(headers: Any) -> float | None:
    milliseconds, seconds = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        return None if seconds is None else max(0.0, float(seconds))
    except ValueError:  # an HTTP date; the usual backoff serves
        return None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
