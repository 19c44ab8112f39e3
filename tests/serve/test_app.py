"""What surrounds every route: who may ask, what headers say, and what is logged."""

from dataclasses import replace
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.serve.app import is_loopback, make_serve_app
from llava_video.serve.engine.served import ServedCheckpoint
from llava_video.serve.own_folder import own_folder
from llava_video.serve.settings import ServeSettings
from tests.serve.server import Served, eventually, serving, video_url


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "127.evil.example", "example.org"]
)
def test_other_machines_are_served_with_keys_only(tiny: ServedCheckpoint, host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(InputError, match="--api-key-file"):
        make_serve_app(tiny, ServeSettings(host=host))


def test_a_folder_of_media_has_to_be_there(tiny: ServedCheckpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--media-root"):
        make_serve_app(tiny, ServeSettings(media_root=tmp_path / "nothing"))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]", "a:b:c"])
def test_a_foreign_name_of_this_machine_is_refused(server: Served, host: str) -> None:
    refused = server.http.get("/v1/models", headers={"host": host})
    assert refused.status_code in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:1", "[::1]:8000"])
def test_its_own_names_are_taken(server: Served, host: str) -> None:
    assert server.http.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_may_not_ask(server: Served, headers: dict[str, str]) -> None:
    for request in (("GET", "/v1/models"), ("POST", "/v1/files"), ("OPTIONS", "/v1/models")):
        refused = server.http.request(*request, headers=headers)
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers


def test_a_site_that_is_allowed_may_ask(tiny: ServedCheckpoint) -> None:
    site = "https://lab.example"
    with serving(tiny, origins=(site,)) as server:
        preflight = server.http.options(
            "/v1/chat/completions",
            headers={"origin": site, "access-control-request-method": "POST"},
        )
        assert preflight.headers["access-control-allow-origin"] == site
        asked = server.http.get("/v1/models", headers={"origin": site})
        assert asked.headers["access-control-allow-origin"] == site
        other = {"origin": "https://evil.example"}
        assert server.http.get("/v1/models", headers=other).status_code == 403


def test_every_response_has_an_id_and_safe_headers(server: Served) -> None:
    ids = set()
    for response in (
        server.http.get("/health"),
        server.http.get("/v1/nothing"),
        server.http.put("/v1/models"),
        server.post("Hello"),
        server.post("Hello", stream=True),
        server.http.post("/v1/chat/completions", content=b"{"),
    ):
        ids.add(response.headers["x-request-id"])
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert len(ids) == 6
    # A record is written when the response has been sent.
    assert eventually(lambda: ids <= {record["id"] for record in server.log})


def test_the_log_holds_no_text_and_no_media(server: Served) -> None:
    server.log.clear()
    server.ask(video_url("four_shapes.mp4"), "a most secret question")
    server.post("a most secret question", n="secret")
    server.http.get("/v1/secret?secret=1")
    assert eventually(lambda: len(server.log) == 3)
    assert "secret" not in str(server.log)
    assert "four_shapes" not in str(server.log)


def test_errors_name_no_folder_of_the_server(server: Served, tmp_path: Path) -> None:
    root = str(server.services.settings.media_root)
    (tmp_path / "outside.mp4").write_bytes(b"x")
    for name in ("nothing.mp4", "../sums", "four_shapes.script.txt", str(tmp_path / "outside.mp4")):
        refused = server.post(video_url(name), "What?")
        assert 400 <= refused.status_code < 500
        assert root not in refused.text
        assert "Traceback" not in refused.text


def test_a_folder_that_a_killed_server_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "llava-video-serve-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "upload").write_bytes(b"x")
    being_made = tmp_path / "llava-video-serve-new"
    being_made.mkdir()
    with own_folder(tmp_path) as one:
        assert not left.exists()
        assert being_made.exists()
        with own_folder(tmp_path) as other:
            assert one.exists() and one != other
    assert not one.exists()


def test_settings_are_values() -> None:
    assert replace(ServeSettings(), port=1) == ServeSettings(port=1)
