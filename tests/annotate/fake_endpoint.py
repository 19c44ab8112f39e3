"""A small OpenAI-compatible server on loopback that counts what it is asked.

Its answers follow from the request alone, so two runs that ask the same get the same. Failures are
scripted: `FakeEndpoint.fail` is asked before every answer and may return one. `FakeEndpoint.write`
gives the text of an answer, or fields of its choice, such as ``{"finish_reason": "length"}``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_BODY_BYTES = 64 * 2**20


@dataclass
class Failure:
    """What to answer instead: a status with a message, raw text, or a dropped connection."""

    status: int = 500
    message: str = "scripted failure"
    code: str | None = None
    kind: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    drop: bool = False


@dataclass
class Received:
    """One request as it came in."""

    number: int
    key: str
    body: dict
    headers: dict[str, str]
    path: str = ""


class FakeEndpoint:
    """``with FakeEndpoint() as fake:`` and point a client at ``fake.url``."""

    def __init__(
        self,
        *,
        delay_seconds: float = 0.0,
        fail: Callable[[Received], Failure | None] = lambda request: None,
        write: Callable[[dict], str | dict] | None = None,
        headers: Callable[[Received], dict[str, str]] = lambda request: {},
        usage: Callable[[dict], dict] | None = None,
        keep: bool = True,
    ) -> None:
        self.delay_seconds = delay_seconds
        self.fail = fail
        self.write = write or write_answer
        self.headers = headers
        self.usage = usage
        self.keep = keep
        self.received: list[Received] = []
        self.answered: Counter[str] = Counter()
        self.num_requests = 0
        self.most_at_a_time = 0
        self._open = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeEndpoint:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_BODY_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        body = json.loads(raw or b"{}")
        self.num_requests += 1
        key = headers.get("idempotency-key", "")
        request = Received(self.num_requests, key, body, headers, head[0].split()[1])
        if self.keep:
            self.received.append(request)
        self._open += 1
        self.most_at_a_time = max(self.most_at_a_time, self._open)
        try:
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            return await self._answer(request, writer)
        finally:
            self._open -= 1

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        failure = self.fail(request)
        extra = self.headers(request)
        status = 200
        if failure is None:
            answer = completion(request.body, self.write(request.body))
            if self.usage is not None:
                answer["usage"] = self.usage(request.body)
            text = json.dumps(answer)
            self.answered[request.key] += 1
        elif failure.drop:
            return False
        elif failure.raw is not None:
            text, extra = failure.raw, extra | failure.headers
        else:
            status, extra = failure.status, extra | failure.headers
            text = json.dumps(
                {"error": {"message": failure.message, "code": failure.code, "type": failure.kind}}
            )
        payload = text.encode()
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json"]
        lines += [f"content-length: {len(payload)}", *(f"{k}: {v}" for k, v in extra.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
        await writer.drain()
        return True


def completion(body: dict, written: str | dict) -> dict:
    """A chat completion; its id follows from the request."""
    choice = {"message": {"content": written}} if isinstance(written, str) else written
    text = str(choice["message"].get("content") or "")
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    sent = sum(len(part) for part in texts_in(body)) // 4 + 85 * len(images_in(body))
    return {
        "id": f"chatcmpl-{digest[:16]}",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                **choice,
                "message": {"role": "assistant", **choice["message"]},
            }
        ],
        "usage": {
            "prompt_tokens": sent,
            "completion_tokens": len(text) // 4 + 3,
            "total_tokens": sent + len(text) // 4 + 3,
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }


def texts_in(body: dict) -> list[str]:
    """All texts of a request."""
    found = []
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [part["text"] for part in parts if part["type"] == "text"]
    return found


def images_in(body: dict) -> list[str]:
    """All image URLs of a request."""
    return [
        part["image_url"]["url"]
        for message in body["messages"]
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part["type"] == "image_url"
    ]


def schema_name(body: dict) -> str:
    """Name of the JSON schema that was asked for, or an empty string."""
    return body.get("response_format", {}).get("json_schema", {}).get("name", "")


_THINGS = ("kettle", "lantern", "bicycle", "violin", "ladder", "parrot", "anchor", "umbrella")
_DEEDS = ("falls over", "is lifted", "rolls away", "stands still", "is painted", "disappears")


def write_answer(body: dict) -> str:
    """A plausible answer of the kind that is asked for, different for different requests."""
    digest = hashlib.sha256("".join([*texts_in(body), *images_in(body)]).encode()).digest()
    name = schema_name(body)
    if name.endswith("_pairs"):
        schema = body["response_format"]["json_schema"]["schema"]
        types = schema["properties"]["pairs"]["items"]["properties"]["type"]["enum"]
        pairs = [
            _pair(number, title, digest, name.startswith("multi"))
            for number, title in enumerate(types)
        ]
        return json.dumps({"pairs": pairs})
    if name == "verdicts":
        num = sum(line[:1].isdigit() for line in texts_in(body)[1].splitlines())
        return json.dumps({"verdicts": ["supported"] * num})
    if name == "answer":
        return json.dumps({"answer": "ABCD"[digest[0] % 4]})
    thing, deed = _THINGS[digest[0] % 8], _DEEDS[digest[1] % 6]
    return f"A {thing} {deed} beside scene {digest.hex()[:8]}. The camera stays still."


def _pair(number: int, title: str, digest: bytes, choices: bool) -> dict:
    one, two = _THINGS[(digest[2] + number) % 8], _THINGS[(digest[3] + number * 3 + 1) % 8]
    pair = {
        "type": title,
        "question": f"{title}: what becomes of the {one} near item {digest.hex()[:6]} {number}?",
        "answer": f"The {two} number {digest[4]} {_DEEDS[number % 6]}.",
    }
    if choices:
        others = [deed for deed in _DEEDS if deed != _DEEDS[number % 6]][:3]
        pair["wrong_answers"] = [f"The {two} number {digest[4]} {deed}." for deed in others]
    return pair
