"""What goes wrong around a server: its disk, its folders, its clock, its clients."""

import json
import resource
import shutil
import socket
import time

import pytest

from .conftest import KEY, World, refusal
from .hostile_files import gif_of_many_frames, sound_video
from .test_files import as_data


def test_a_full_disk_is_said_and_does_not_last(world: World) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))  # the system then writes no more
    try:
        for address in (as_data(sound_video()), f"{world.host.address}/good.mp4"):
            answer = world.show(address)
            assert answer.headers["retry-after"]
            assert "room" in refusal(answer, world, 503)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    world.check_nothing_is_stored()
    assert world.show(as_data(sound_video())).status_code == 200


def test_a_folder_of_downloads_that_is_removed_is_made_again(world: World) -> None:
    shutil.rmtree(world.guard.folder.path, ignore_errors=True)
    assert world.show(as_data(sound_video())).status_code == 200
    assert world.show(f"{world.host.address}/good.mp4").status_code == 200


def test_a_media_folder_that_is_away_is_said(world: World) -> None:
    away = world.root.with_name("away")
    world.root.rename(away)
    try:
        refusal(world.show("good.mp4"), world, 503)
    finally:
        away.rename(world.root)


def test_a_file_that_is_exchanged_for_a_link_is_not_followed(world: World) -> None:
    place = world.root / "exchanged.mp4"
    place.write_bytes(sound_video())
    assert world.show("exchanged.mp4").status_code == 200
    place.unlink()
    place.symlink_to(world.outside / "secret.mp4")
    refusal(world.show("exchanged.mp4"), world, 403)
    place.unlink()


def test_a_clock_that_is_set_back_or_forward_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    for other in (0.0, now - 1e8, now + 1e8):
        monkeypatch.setattr(time, "time", lambda other=other: other)
        world.check_alive()
        assert world.show(f"{world.host.address}/good.mp4").status_code == 200


def test_clients_that_leave_while_their_video_is_read_leave_nothing_behind(world: World) -> None:
    place = world.root / "slow.gif"
    place.write_bytes(gif_of_many_frames(100_000) + b"leave")
    part = {"type": "video_url", "video_url": {"url": "slow.gif"}}
    body = json.dumps({"model": "fixed", "messages": [{"role": "user", "content": [part]}]})
    port = int(world.url.rpartition(":")[2])
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
                f"{KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                f"{body}".encode()
            )
            time.sleep(0.05)
    world.check_alive()
    place.unlink()
