"""The engine: who is answered together, who is told to come back, and who has left."""

import gc
import json
import socket
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from llava_video.errors import InputError, LlavaVideoError
from llava_video.serve.app import serve
from llava_video.serve.engine.queue import Place
from llava_video.serve.engine.served import ServedCheckpoint
from llava_video.serve.settings import EngineLimits, ServeSettings
from llava_video.web.errors import HttpError
from llava_video.web.middleware import no_log
from tests.serve.server import (
    COMPLETIONS,
    FOUR_SHAPES,
    Gate,
    Served,
    body,
    eventually,
    serving,
    video_url,
)

SHAPES = ("red", "blue", "green", "yellow")


@pytest.fixture
def gate(tiny: ServedCheckpoint) -> Gate:
    tiny.load()  # now, lest the time of a first request be that of loading
    return Gate(tiny)


def test_requests_that_wait_are_answered_together(gate: Gate) -> None:
    questions = [f"Is the {colour} shape a circle?" for colour in SHAPES]
    with serving(gate, engine=EngineLimits(batch_rows=3)) as server:
        alone = [server.ask(question).choices[0].message.content for question in questions]
        gate.batches.clear()
        gate.shut()
        pool = ThreadPoolExecutor(5)
        first = pool.submit(server.ask, "Hello")
        assert gate.entered.wait(20)
        others = [pool.submit(server.ask, question) for question in questions]
        assert eventually(lambda: server.services.engine.room.num_waiting == 4)
        assert eventually(lambda: len(server.services.engine.room._waiting) == 4)
        gate.open()
        assert [o.result().choices[0].message.content for o in others] == alone
        assert first.result().choices[0].finish_reason == "stop"
    assert gate.batches == [1, 3, 1]


def test_other_options_are_answered_apart(gate: Gate) -> None:
    with serving(gate) as server:
        gate.shut()
        pool = ThreadPoolExecutor(4)
        pool.submit(server.ask, "Hello")
        assert gate.entered.wait(20)
        others = [pool.submit(server.ask, "Hello", max_tokens=n) for n in (3, 4, 3)]
        assert eventually(lambda: len(server.services.engine.room._waiting) == 3)
        gate.open()
        assert [o.result().usage.completion_tokens <= 4 for o in others] == [True] * 3
    assert sorted(gate.batches) == [1, 1, 2]


def test_a_full_queue_says_when_to_come_back(gate: Gate) -> None:
    with serving(gate, engine=EngineLimits(batch_rows=1, num_waiting=2)) as server:
        gate.shut()
        pool = ThreadPoolExecutor(3)
        asked = [pool.submit(server.ask, "Hello")]
        assert gate.entered.wait(20)
        asked += [pool.submit(server.ask, "Hello") for _ in range(2)]
        assert eventually(lambda: server.services.engine.room.num_waiting == 2)
        refused = server.post("Hello")
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "queue_full"
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        streamed = server.post("Hello", stream=True)  # before the stream begins
        assert streamed.status_code == 429
        gate.open()
        assert all(a.result().choices[0].message.content for a in asked)
        assert server.post("Hello").status_code == 200


def test_tokens_that_wait_are_bounded_too(gate: Gate) -> None:
    with serving(gate, engine=EngineLimits(waiting_tokens=3000)) as server:
        gate.shut()
        pool = ThreadPoolExecutor(2)
        first = pool.submit(server.ask, "Hello", max_tokens=1900)
        assert gate.entered.wait(20)
        assert server.post("Hello", max_tokens=1900).status_code == 429
        small = pool.submit(server.post, "Hello", max_tokens=10)
        gate.open()
        assert first.result().choices[0].message.content
        assert small.result().status_code == 200


def test_a_client_that_leaves_a_stream_frees_its_place(gate: Gate) -> None:
    with serving(gate, engine=EngineLimits(batch_rows=1, num_waiting=1)) as server:
        gate.shut()
        with server.http.stream("POST", COMPLETIONS, json=body("Hello", stream=True)) as response:
            pieces = response.iter_bytes()  # closes the connection when it is let go
            assert b"assistant" in next(pieces)
            assert gate.entered.wait(20)
        room = server.services.engine.room
        assert eventually(lambda: room.num_running == room.num_waiting == 0)
        assert eventually(lambda: 0 in gate.leaving)  # its row ends with its next token
        gate.open()
        assert server.ask("Hello").choices[0].finish_reason == "stop"


@contextmanager
def asking(server: Served, *parts: Any) -> Iterator[None]:
    """A client that has asked, and leaves at the end of the block."""
    content = json.dumps(body(*parts)).encode()
    with socket.create_connection(("127.0.0.1", server.server.port)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(content), content)
        )
        yield


def test_a_client_that_leaves_the_queue_is_never_answered(gate: Gate) -> None:
    with serving(gate) as server:
        gate.shut()
        pool = ThreadPoolExecutor(1)
        first = pool.submit(server.ask, "Hello")
        assert gate.entered.wait(20)
        room = server.services.engine.room
        with asking(server, "Hi"):
            assert eventually(lambda: len(room._waiting) == 1)
        assert eventually(lambda: room.num_waiting == 0 and not room._waiting)
        gate.open()
        first.result()
    assert gate.batches == [1]
    assert [r["status"] for r in server.log if r["route"] == COMPLETIONS] == [499, 200]


def test_a_client_that_leaves_while_its_video_is_read_frees_its_place(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(gate, engine=EngineLimits(num_waiting=1, media_workers=1)) as server:
        reading, let_go = threading.Event(), threading.Event()
        read_video = server.services.guard.read_video

        def slow(*args: Any, **options: Any) -> Any:
            reading.set()
            assert let_go.wait(30)
            return read_video(*args, **options)

        monkeypatch.setattr(server.services.guard, "read_video", slow)
        with asking(server, video_url("four_shapes.mp4"), "What?"):
            assert reading.wait(20)
        room = server.services.engine.room
        assert eventually(lambda: room.num_waiting == 0)
        assert server.ask("Hello").choices[0].message.content  # while the video is still read
        let_go.set()
    assert sum(gate.batches) == 1


def test_a_request_whose_turn_does_not_come_in_time_is_ended(gate: Gate) -> None:
    with serving(gate, engine=EngineLimits(wait_seconds=3, batch_rows=1)) as server:
        gate.shut()
        pool = ThreadPoolExecutor(1)
        first = pool.submit(server.post, "Hello")
        assert gate.entered.wait(20)
        late = server.post("Hello")
        assert (late.status_code, "in time" in late.json()["error"]["message"]) == (504, True)
        gate.open()
        assert first.result().status_code == 200


def test_an_answer_that_takes_too_long_is_ended(gate: Gate) -> None:
    with serving(gate, engine=EngineLimits(answer_seconds=0.05)) as server:
        gate.shut()
        late = server.post("Hello")
        assert (late.status_code, "in time" in late.json()["error"]["message"]) == (504, True)
        assert server.services.engine.room.num_running == 0
        gate.open()


def test_an_error_in_mid_stream_is_said_in_the_stream(gate: Gate) -> None:
    with serving(gate, engine=EngineLimits(answer_seconds=0.2)) as server:
        gate.shut()
        response = server.post("Hello", stream=True)
        gate.open()
    lines = [line for line in response.text.split("\n\n") if line]
    assert '"error"' in lines[-2]
    assert lines[-1] == "data: [DONE]"


class Failing(Gate):
    """A checkpoint that cannot answer conversations with some text in them."""

    def answer(self, conversations: Any, options: Any, **more: Any) -> Iterator[Any]:
        text = str(conversations)
        if "refuse" in text:
            raise InputError("this cannot be answered")
        if "break" in text:
            raise RuntimeError("/secret/path broke")
        return super().answer(conversations, options, **more)


def test_a_request_that_fails_leaves_its_neighbours_alone(tiny: ServedCheckpoint) -> None:
    gate = Failing(tiny)
    with serving(gate) as server:
        gate.shut()
        pool = ThreadPoolExecutor(4)
        pool.submit(server.post, "Hello")
        assert gate.entered.wait(20)
        asked = [pool.submit(server.post, text) for text in ("refuse", "break", "Hello")]
        assert eventually(lambda: len(server.services.engine.room._waiting) == 3)
        gate.open()
        refused, broken, answered = (one.result() for one in asked)
        assert (refused.status_code, broken.status_code, answered.status_code) == (400, 500, 200)
        assert "secret" not in broken.text
        assert server.post("Hello").status_code == 200
    (failed,) = [record for record in server.log if record.get("event") == "engine"][-1:]
    assert failed["error"] == "RuntimeError"
    assert "secret" not in str(server.log)


def test_jobs_take_their_turn(gate: Gate) -> None:
    with serving(gate) as server:
        assert server.run(lambda: threading.current_thread().name) == "engine"
        with pytest.raises(Exception, match="the model failed"):
            server.run(lambda: int("x"))


def test_a_job_whose_client_has_left_is_not_kept(gate: Gate) -> None:
    with serving(gate) as server:
        room = server.services.engine.room
        gate.shut()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(server.ask, "Hello")
            assert gate.entered.wait(20)
            left, stays = room.enter(1), room.enter(1)
            jobs = [server.services.engine.run(place, list) for place in (left, stays)]
            room.leave(left)
            assert len(room._waiting) == 1
            gate.open()
            assert running.result().choices[0].message.content
        assert jobs[0].cancelled()
        assert jobs[1].result(20) == []
        room.leave(stays)


def test_a_stop_tells_jobs_that_wait(gate: Gate) -> None:
    with serving(gate, drain_seconds=0.2) as server:
        gate.shut()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(server.post, "Hello")
            assert gate.entered.wait(20)
            room = server.services.engine.room
            jobs = [server.services.engine.run(room.enter(1), list) for _ in range(2)]
            jobs[0].cancel()
            server.services.engine.close(0.1)
            gate.open()
        with pytest.raises(HttpError, match="has ended"):
            jobs[1].result(20)


def test_an_idle_engine_holds_no_answered_conversation(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, held = server.services.engine.room, []
    submit = room.submit

    def watch(place: Place, work: Any) -> None:
        held.append(weakref.ref(work))
        submit(place, work)

    monkeypatch.setattr(room, "submit", watch)
    server.ask(video_url(FOUR_SHAPES.name), "What moves?")
    assert eventually(lambda: gc.collect() >= 0 and held[0]() is None)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), InputError("no weights")])
def test_weights_that_cannot_be_loaded_end_the_server(
    tiny: ServedCheckpoint, error: Exception
) -> None:
    class Unloadable(Gate):
        def load(self) -> None:
            raise error

    with pytest.raises(LlavaVideoError, match=str(error)):
        serve(
            Unloadable(tiny),  # type: ignore[arg-type]
            ServeSettings(port=0, drain_seconds=1),
            lambda url: None,
            no_log,
        )


def test_a_stop_completes_what_is_inside_and_takes_no_more(gate: Gate) -> None:
    with serving(gate) as server:
        gate.shut()
        pool = ThreadPoolExecutor(2)
        running = pool.submit(server.ask, "Hello")
        assert gate.entered.wait(20)
        waiting = pool.submit(server.ask, "Hello")
        assert eventually(lambda: len(server.services.engine.room._waiting) == 1)
        assert server.http.get("/ready").status_code == 200
        from llava_video.serve.app import stop_taking

        stop_taking(server.app)
        assert server.http.get("/health").status_code == 200
        assert server.http.get("/ready").status_code == 503
        assert server.post("Hello").status_code == 503
        gate.open()
        assert running.result().choices[0].message.content
        assert waiting.result().choices[0].message.content
