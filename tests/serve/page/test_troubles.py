"""What the page says when something goes wrong, and how it goes on."""

from pathlib import Path
from typing import Any

import pytest

from llava_video.serve.settings import RequestLimits
from tests.serve.page.talking import THREE_SHAPES, Talking
from tests.serve.page.told import Told
from tests.serve.server import Served, serving

KEY = "a-key-of-the-tests-0123456789"


@pytest.fixture
def no_video(tmp_path: Path) -> Path:
    file = tmp_path / "no video.mp4"
    file.write_bytes(b"this is no video " * 100)
    return file


def test_a_file_that_is_no_video_is_refused_with_its_name(page: Talking, no_video: Path) -> None:
    page.give("#video-file", no_video)
    page.until(lambda: page.is_shown("#failed"))
    assert page.text("#failed-text").startswith("no video.mp4")
    assert not page.is_shown("#failed-again")
    assert page.is_shown("#failed-other")
    assert not page.is_shown("#film")
    page.refused(422)
    page.take()
    assert not page.is_shown("#failed")
    assert page.ask("Say: better") == "better"


def test_a_full_queue_is_said_and_can_be_asked_again(page: Talking, site: Served) -> None:
    page.take()
    room = site.services.engine.room
    place = room.enter(room.limits.num_waiting)
    try:
        assert page.ask("Say: now").startswith("The server is busy. Try again in")
    finally:
        room.leave(place)
    page.refused(429)
    page.button("Ask again").click()
    page.until(lambda: page.text(".turn .text") == "now")
    assert len(page.all(".turn")) == 1


def test_a_question_that_was_refused_is_not_in_the_next_prompt(
    page: Talking, site: Served, told: Told
) -> None:
    page.take()
    room = site.services.engine.room
    place = room.enter(room.limits.num_waiting)
    page.ask("Say: never")
    room.leave(place)
    page.refused(429)
    assert page.ask("Say: this") == "this"
    assert [message["role"] for message in told.asked[-1]] == ["user"]


def test_a_server_that_has_forgotten_the_file_gets_it_again(page: Talking, site: Served) -> None:
    page.take()
    (newest, *_) = site.services.files.of("anyone")
    site.services.files.delete(newest.file_id, "anyone")
    assert page.ask("Say: still here") == "still here"
    page.refused(404)


def test_an_upload_can_be_cancelled_and_begun_again(page: Talking, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(THREE_SHAPES.read_bytes() + bytes(4 << 20))
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1}
    page.command("Network.enable")
    page.command("Network.emulateNetworkConditions", **slow, uploadThroughput=1 << 20)
    try:
        page.give("#video-file", large)
        page.until(lambda: "of 4." in page.text("#upload-text"))
        page.until(lambda: float(page.one("#upload-bar").get_property("value")) > 0)
        page.one("#upload-stop").click()
        page.until(lambda: page.text("#failed-text") == "The upload was cancelled.")
    finally:
        page.command("Network.emulateNetworkConditions", **slow, uploadThroughput=-1)
        page.command("Network.disable")
    page.one("#failed-again").click()
    page.until(lambda: page.all("#tape .frame"))


def test_a_server_that_ends_in_mid_stream(browser: Any, told: Told) -> None:
    page = Talking(browser, "")
    with serving(told, drain_seconds=1) as served:
        page.url = served.server.url
        page.start()
        page.take()
        told.shut()
        page.begin("Say: half an")
        page.until(lambda: page.text(".turn .text") == "half an")
    told.open()
    page.until(lambda: page.is_shown(".turn .error"))
    assert page.text(".turn .text").startswith("half an")
    assert page.text(".turn .error") in (
        "The connection was lost in the middle of the answer. Ask again.",
        "the server has ended",
    )
    page.button("Ask again").click()
    page.until(lambda: "does not answer" in page.text(".turn .error"))
    page.errors()


def test_a_key_is_asked_for_and_kept_for_the_tab_only(
    browser: Any, told: Told, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    with serving(told, key=KEY, api_key_file=keys) as served:
        page = Talking(browser, served.server.url)
        page.open(f"{page.url}/")
        page.script("sessionStorage.clear()")
        page.until(lambda: page.is_shown("#key-dialog"))
        assert not page.is_shown("#key-wrong")
        page.one("#key").send_keys("not the key of this server\n")
        page.until(lambda: page.is_shown("#key-wrong"))
        page.one("#key").send_keys(KEY + "\n")
        page.until(lambda: page.text("#model") == "tiny")
        page.take()
        assert page.ask("Say: come in") == "come in"
        assert page.script("return [localStorage.length, document.cookie]") == [0, ""]
        page.open(f"{page.url}/")
        page.until(lambda: page.text("#model") == "tiny")
        assert not page.is_shown("#key-dialog")
        page.script("sessionStorage.clear()")
        page.open(f"{page.url}/")
        page.until(lambda: page.is_shown("#key-dialog"))
        page.button("Cancel").click()
        page.until(lambda: "wants an API key" in page.text("#problem-text"))
        page.refused(401, 401, 401)


def test_a_file_beyond_the_limit_is_not_even_sent(browser: Any, told: Told) -> None:
    limits = RequestLimits(upload_bytes=1000)
    with serving(told, requests=limits) as served:
        page = Talking(browser, served.server.url)
        page.start()
        page.give("#video-file", THREE_SHAPES)
        page.until(lambda: "this server takes 1 kB" in page.text("#failed-text"))
        assert not any(record["route"] == "/v1/files" for record in served.log)
