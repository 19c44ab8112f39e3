"""One request to an OpenAI-compatible endpoint, and the classification of failures."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

from llava_video.calls.address import read_address, read_headers, read_key
from llava_video.calls.annotator import AttemptError
from llava_video.calls.completion import BodyError, read_completion
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.messages import Reply, Request
from llava_video.errors import EndpointError
from llava_video.records.json_lines import dump_json

_TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504, 529)
_SAME_FOR_EVERY_CALL = (401, 402, 403, 404, 405)
_MACHINE = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
_REDIRECTS = (301, 302, 303, 307, 308)
_OTHER_FIELD = {"max_completion_tokens": "max_tokens"}
# Names of an empty account, which servers put under `code` or under `type`.
_QUOTA = re.compile(
    r"(?i)insufficient_(?:user_)?(?:quota|balance|credits?|funds)|billing_(?:hard_limit|not_active)"
    r"|quota_exceeded_error|account_deactivated|credit_balance"
)
# Statuses of errors that came with 200, by their names.
_KINDS = (
    (_QUOTA, 429),
    (r"(?i)rate.?limit|too_many_requests", 429),
    (r"(?i)authentication|invalid_api_key|unauthorized", 401),
    (r"(?i)not.?found", 404),
    (r"(?i)invalid.?request|bad.?request|unsupported", 400),
)
_RATE_LIMIT_PREFIX = "x-ratelimit-"


class OpenAIEndpoint:
    """The `openai` client without its retries; the caller makes the attempts."""

    def __init__(self, settings: Endpoint) -> None:
        self._settings = settings
        self._address = read_address(settings)
        # Headers about this machine are left out: no server needs them, and each costs CPU time.
        unsent: Any = {f"X-Stainless-{name}": Omit() for name in _MACHINE}
        own: Any = {**read_headers(settings, self._address)}
        has_own_key = not any(name.lower() == "authorization" for name in own)
        self._omitted: dict[str, Any] = {"Authorization": Omit()} if has_own_key else {}
        self._client = AsyncOpenAI(
            api_key=read_key(settings) or "none",
            base_url=self._address.base,
            max_retries=0,
            timeout=settings.timeout_seconds,
            # httpx scans all open connections for every request, which limits a process to some
            # hundred calls a second; aiohttp does not. Redirects are not followed, as they would
            # take the key to another host.
            http_client=DefaultAioHttpClient(follow_redirects=False),
            default_headers={**unsent, **own},
            default_query=dict(self._address.query),
        )
        # Whole, as joining it to the base for every request costs a tenth of a call's time.
        self._url = self._address.completions
        is_auto = settings.limit_field == "auto"
        self._limit_field: str = "max_completion_tokens" if is_auto else settings.limit_field

    async def complete(self, request: Request, key: str) -> Reply:
        """Send one request; with the key as ``Idempotency-Key``.

        An endpoint that refuses the field of the limit is asked with the other one at once, this
        time and from then on: it has done no work.
        """
        field = self._limit_field
        try:
            return await self._send(request, key, field)
        except openai.APIStatusError as error:
            if not self._refuses_field(error, field):
                raise self._status_error(error) from error
        self._limit_field = _OTHER_FIELD[field]
        try:
            return await self._send(request, key, self._limit_field)
        except openai.APIStatusError as error:
            raise self._status_error(error) from error

    async def _send(self, request: Request, key: str, limit_field: str) -> Reply:
        """One request.

        The generic ``post`` is used because the typed method traverses the body once more, which
        costs a quarter of a call's CPU time.
        """
        try:
            response = await self._client.post(
                self._url,
                cast_to=httpx2.Response,
                content=dump_json(request.body(limit_field)).encode(),
                options={"headers": {"Idempotency-Key": key, **self._omitted}},
            )
            return read_completion(response.json(), _rate_limits(response.headers))
        except openai.APIConnectionError as error:
            raise self._connection_error(error) from error
        except openai.APIStatusError:
            raise
        except BodyError as error:
            raise self._body_error(error) from error
        except (openai.APIError, ValueError, RecursionError) as error:
            # A 200 whose body is not a completion: the work was done, so it may be billed.
            raise AttemptError(
                f"the endpoint's answer is not a chat completion ({type(error).__name__}: "
                f"{_one_line(str(error))})",
                "bad_body",
                is_transient=True,
                may_be_billed=True,
            ) from error

    def _refuses_field(self, error: openai.APIStatusError, field: str) -> bool:
        """Whether a refusal names the field of the limit, which nobody chose."""
        return (
            self._settings.limit_field == "auto"
            and error.status_code in (400, 422)
            and field == "max_completion_tokens"
            and field in f"{error.message} {error.body}"
        )

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
            message = f"cannot reach {self._address.base}: {reason}"
            outcome = "unreachable" if never_sent else "connection_lost"
        return AttemptError(message, outcome, is_transient=True, may_be_billed=not never_sent)

    def _status_error(self, error: openai.APIStatusError) -> Exception:
        status, text = error.status_code, _one_line(error.message)
        headers = error.response.headers
        where = f"{self._address.base} answered {status}: {text}"
        if status in _REDIRECTS:
            target = _one_line(headers.get("location", "another address"))
            return EndpointError(f"{where}; it moved to {target}: give that as --base-url")
        return self._refusal(
            status,
            f"{error.code} {error.type}",
            where,
            retry_after_seconds=_retry_after_seconds(headers),
            rate_limits=_rate_limits(headers),
        )

    def _body_error(self, error: BodyError) -> Exception:
        """An error that came with status 200."""
        where = f"{self._address.base} answered 200 with an error: {error}"
        named = (code for pattern, code in _KINDS if re.search(pattern, error.kind))
        status = error.status or next(named, None)
        if status is None:
            return AttemptError(where, "error_body", is_transient=True, may_be_billed=True)
        return self._refusal(status, error.kind, where)

    def _refusal(self, status: int, kind: str, where: str, **more: Any) -> Exception:
        if _QUOTA.search(kind):
            return EndpointError(f"{where}; top up the account and run again to resume")
        if status in _SAME_FOR_EVERY_CALL:
            remedy = {
                401: f"check the key in {self._settings.api_key_env}",
                404: f"check --base-url and --model {self._settings.model}",
            }
            return EndpointError(f"{where}; {remedy.get(status, 'check the account and the URL')}")
        return AttemptError(where, str(status), is_transient=status in _TRANSIENT, **more)


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
