"""Keys are asked for on every route but /health and the page, whatever routes there are."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from llava_video.errors import InputError
from llava_video.serve.engine.served import ServedCheckpoint
from llava_video.serve.keys import is_public, read_keys
from tests.serve.server import COMPLETIONS, FOUR_SHAPES, Served, body, serving

KEYS = ("a-key-of-the-first-user", "a-key-of-the-second-user")


@pytest.fixture(scope="module")
def locked(tiny: ServedCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"# two users\n{KEYS[0]}\n\n{KEYS[1]}\n")
    with serving(tiny, key=KEYS[0], api_key_file=file) as server:
        yield server


def routes_of(server: Served) -> list[tuple[str, str]]:
    found = []

    def walk(routes: list[BaseRoute]) -> None:
        for route in routes:
            inner = getattr(route, "routes", None) or getattr(
                getattr(route, "original_router", None), "routes", None
            )
            if inner:
                walk(inner)
            elif isinstance(route, APIRoute):
                found.extend((method, route.path) for method in route.methods)
            else:
                found.append(("GET", getattr(route, "path", "/")))

    walk(server.app.routes)
    return found


def test_every_route_asks_for_a_key(locked: Served) -> None:
    routes = routes_of(locked)
    assert ("POST", COMPLETIONS) in routes
    assert ("DELETE", "/v1/files/{file_id}") in routes
    with httpx.Client(base_url=locked.server.url) as stranger:
        for method, template in routes:
            path = template.replace("{file_id}", "file-1").replace("{name:path}", "tiny")
            for headers in (
                {},
                {"authorization": "Bearer wrong-key-of-nobody"},
                {"authorization": f"Basic {KEYS[0]}"},
                {"authorization": KEYS[0]},
                {"authorization": f"Bearer {KEYS[0]}x"},
            ):
                response = stranger.request(method, path, headers=headers)
                if is_public(path):
                    assert response.status_code != 401, path
                else:
                    assert response.status_code == 401, (method, path, headers)
                    assert response.json()["error"]["code"] == "invalid_api_key"


def test_public_paths_are_few() -> None:
    assert is_public("/health")
    for path in (
        "/v1/models",
        "/metrics",
        "/ready",
        "/health/",
        "/static",
        "//health",
        "/v1/files",
    ):
        assert not is_public(path)


def test_paths_that_are_not_there_ask_for_a_key_too(locked: Served) -> None:
    with httpx.Client(base_url=locked.server.url) as stranger:
        for path in ("/docs", "/openapi.json", "/redoc", "/v1/nothing", "/static/../v1/models"):
            assert stranger.get(path).status_code in (401, 404)
        assert stranger.get("/v1/models/../../health").status_code in (200, 401)


def test_each_key_is_one_user(locked: Served) -> None:
    assert locked.ask("Hello").choices[0].message.content
    with FOUR_SHAPES.open("rb") as file:
        own = locked.client.files.create(file=file, purpose="user_data")
    other = locked.client.with_options(api_key=KEYS[1])
    assert other.files.list().data == []
    part = {"type": "file", "file": {"file_id": own.id}}
    asked = locked.http.post(
        COMPLETIONS,
        json=body(part, "What?"),
        headers={"authorization": f"Bearer {KEYS[1]}"},
    )
    assert asked.status_code == 404
    deleted = locked.http.delete(
        f"/v1/files/{own.id}", headers={"authorization": f"Bearer {KEYS[1]}"}
    )
    assert deleted.status_code == 404
    assert locked.ask(part, "What?").choices[0].message.content


def test_keys_are_not_logged(locked: Served) -> None:
    locked.ask("Hello")
    assert not any(key in str(locked.log) for key in KEYS)
    assert len({record["owner"] for record in locked.log if record["status"] == 200}) <= 3


@pytest.mark.parametrize("content", ["", "# none\n", "short\n", "with a space in it, long\n"])
def test_files_without_usable_keys_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(InputError, match="keys"):
        read_keys(tmp_path / "keys")
    with pytest.raises(InputError, match="cannot be read"):
        read_keys(tmp_path / "nothing")
