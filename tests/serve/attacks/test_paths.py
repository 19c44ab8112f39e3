"""Paths that lead out of the media folder, and things in it that are no files."""

import pytest

from .conftest import World, refusal

FORBIDDEN = {
    "parent": "../secret.mp4",
    "parent in the middle": "inner/../../secret.mp4",
    "parent within": "inner/../good.mp4",
    "absolute": "{outside}/secret.mp4",
    "absolute with parent": "{root}/../secret.mp4",
    "password file": "/etc/passwd",
    "environment": "/proc/self/environ",
    "descriptor": "/proc/self/fd/0",
    "descriptor by dev": "/dev/fd/0",
    "device": "/dev/zero",
    "sibling with the same beginning": "{root}_evil/secret.mp4",
    "sibling by parent": "../media_evil/secret.mp4",
    "link to a file": "link.mp4",
    "link to a file within": "inner-link.mp4",
    "link to a folder": "link/secret.mp4",
    "link to itself": "loop",
    "link to a device": "null.mp4",
    "pipe": "fifo.mp4",
    "socket": "socket.mp4",
    "folder": "inner",
    "folder with a slash": "inner/",
    "the root": "{root}",
    "the root as ./": "./",
    "nothing": "",
    "missing": "no.mp4",
    "file as a folder": "good.mp4/x",
    "backslashes": "..\\secret.mp4",
    "zero byte": "good.mp4\0.txt",
    "line break": "good.mp4\n",
    "too long": "a" * 5000,
    "too deep": "a/" * 3000,
    "escaped path": "%2e%2e/secret.mp4",
    "home": "~/secret.mp4",
    "variable": "$HOME/secret.mp4",
    "pattern": "*.mp4",
    "file: of another host": "file://example.org{root}/good.mp4",
    "file: with an address as host": "file://127.0.0.1{root}/good.mp4",
    "file: with a user": "file://user@localhost{root}/good.mp4",
    "file: with parent": "file://{root}/../secret.mp4",
    "file: with escaped parent": "file://{root}/%2e%2e/secret.mp4",
    "file: with parent escaped twice": "file://{root}/%252e%252e/secret.mp4",
    "file: with an escaped slash": "file://{root}/..%2fsecret.mp4",
    "file: with an escaped zero": "file://{root}/good.mp4%00.txt",
    "file: with a query": "file://{root}/good.mp4?x",
    "file: with a fragment": "file://{root}/good.mp4#x",
    "file: without a path": "file://",
    "file: relative": "file:good.mp4",
    "file: of a device": "file:///dev/zero",
    "file: in capitals": "FILE:///etc/passwd",
    "file: with bytes that are no text": "file://{root}/%ff.mp4",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_only_regular_files_below_the_media_folder_are_read(world: World, name: str) -> None:
    address = FORBIDDEN[name].replace("{root}", str(world.root))
    refusal(world.show(address.replace("{outside}", str(world.outside))), world, 400, 403, 404)


@pytest.mark.parametrize(
    "address", [
        "good.mp4", "{root}/good.mp4", "file://{root}/good.mp4", "file://localhost{root}/good.mp4",
        "inner/a b.mp4", "file://{root}/inner/a%20b.mp4", "./good.mp4", "inner//a b.mp4",
    ],
)  # fmt: skip
def test_files_below_the_media_folder_are_read(world: World, address: str) -> None:
    answer = world.show(address.replace("{root}", str(world.root)))
    assert answer.status_code == 200, answer.text


def test_what_is_outside_cannot_be_told_from_what_is_not_there(world: World) -> None:
    there = world.show(f"{world.outside}/secret.mp4")
    missing = world.show(f"{world.outside}/nothing.mp4")
    assert (there.status_code, there.json()) == (missing.status_code, missing.json())
