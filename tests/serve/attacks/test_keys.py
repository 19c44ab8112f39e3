"""Attacks on the key, and on who may ask from where."""

import httpx
import pytest

from .conftest import KEY, World, refusal

WRONG = {
    "none": None,
    "empty": "",
    "no scheme": KEY,
    "another scheme": f"Basic {KEY}",
    "no key": "Bearer",
    "a prefix": f"Bearer {KEY[:-1]}",
    "with more": f"Bearer {KEY}x",
    "in capitals": f"Bearer {KEY.upper()}",
    "two keys": f"Bearer {KEY} {KEY}",
    "quoted": f'Bearer "{KEY}"',
    "long": "Bearer " + "a" * 10_000,
    "beyond ASCII": "Bearer \xe9\xe9\xe9\xe9",
    "a pattern": "Bearer .*",
    "the name of a file": "Bearer keys",
}

PATHS = ["/v1/models", "/v1/files", "/v1/chat/completions", "/metrics", "/v1/unknown", "/docs"]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_key_is_refused_on_every_path(world: World, name: str) -> None:
    header = WRONG[name]
    headers = [] if header is None else [(b"Authorization", header.encode("latin-1"))]
    for path in PATHS:
        for method in ("GET", "POST", "DELETE"):
            answer = world.client.request(method, path, headers=headers)
            refusal(answer, world, 401)
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", [
        "//v1/models", "/v1//models", "/./v1/models", "/static/../v1/models",
        "/static/..%2fv1/models", "/static/%2e%2e/v1/models", "/health/../v1/models",
        "/health;/v1/models", "/V1/models", "/v1/models/", "/%76%31/models", "/v1/models%00",
    ],
)  # fmt: skip
def test_no_way_of_writing_a_path_goes_round_the_key(world: World, path: str) -> None:
    answer = world.client.get(httpx.URL(world.url, raw_path=path.encode()))
    assert answer.status_code in (400, 401, 404), answer.text
    assert "fixed" not in answer.text


def test_a_key_in_the_query_or_a_cookie_is_none(world: World) -> None:
    for query in (f"?api_key={KEY}", f"?key={KEY}", f"?Authorization=Bearer%20{KEY}"):
        refusal(world.client.get(f"/v1/models{query}"), world, 401)
    refusal(world.client.get("/v1/models", headers={"Cookie": f"Authorization={KEY}"}), world, 401)


def test_a_second_key_does_not_help(world: World) -> None:
    headers = [(b"Authorization", b"Bearer wrong"), (b"Authorization", f"Bearer {KEY}".encode())]
    refusal(world.client.get("/v1/models", headers=headers), world, 400, 401)


@pytest.mark.parametrize(
    "headers", [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)  # fmt: skip
def test_a_page_of_another_site_cannot_ask(world: World, headers: dict[str, str]) -> None:
    """By a name that resolves to this machine, or from a user's browser."""
    answer = world.client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}", **headers})
    refusal(answer, world, 400, 403)


def test_the_key_opens(world: World) -> None:
    answer = world.client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.json()["data"][0]["id"] == "fixed"
