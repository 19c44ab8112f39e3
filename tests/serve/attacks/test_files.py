"""Files that take all memory or time, name other files, or reach for a decoder that has holes.

Each is tried as a video and as an image, sent as a ``data:`` address.
"""

import base64
import math
from collections.abc import Callable

import pytest

from . import hostile_files as files
from .conftest import World, refusal

REFUSED: dict[str, Callable[[], bytes]] = {
    "jpeg of 50,000 x 50,000 as a video": lambda: files.motion_jpeg(files.huge_jpeg()),
    "png of 50,000 x 50,000": files.huge_png,
    "png with a text of 200 MB": files.png_with_text_bomb,
    "gif of 65,535 x 65,535": files.huge_gif,
    "webp of 16,383 x 16,383": files.huge_webp,
    "10^9 claimed frames in mp4": files.mp4_with_claimed_frames,
    "no frames": files.mp4_without_frames,
    "no clock": lambda: files.mp4_with_timescale(0),
    "moov cut off": files.mp4_with_cut_moov,
    "nested boxes": files.mp4_with_nested_boxes,
    "media in another file": lambda: files.mp4_with_external_data("file:///etc/passwd"),
    "matroska within matroska": files.mkv_of_nested_elements,
    "matroska element of 2^55 bytes": files.mkv_with_endless_element,
    "mpeg-4 of 8,191 x 8,191 in an avi of 96 x 64": files.mpeg4_of_claimed_size,
    "size that grows beyond the limit": lambda: files.stream_whose_size_changes(64, 2000),
    "one frame in 4 x 10^9 seconds": lambda: files.avi_with_rate(0xFFFF_FFFF, 1),
    "jpeg 2000": lambda: files.sound_video("mkv", "jpeg2000"),
    "ffv1": lambda: files.sound_video("mkv", "ffv1"),
    "raw video": lambda: files.sound_video("avi", "rawvideo"),
    "a gzip bomb": files.packed_twice,
    "a zip bomb": files.zip_bomb,
    "noise": files.noise,
    "postscript": files.eps_that_runs,
    "photoshop": files.psd_header,
    "one byte": lambda: b"\0",
    "zeros": lambda: bytes(1 << 20),
    **{
        kind: lambda content=content: content
        for kind, content in files.playlists("file:///etc/passwd").items()
    },
}

READ: dict[str, Callable[[], bytes]] = {
    "one pixel": lambda: files.stream_whose_size_changes(1),
    "size that changes within the limit": lambda: files.stream_whose_size_changes(64, 96, 48),
    "one frame that comes 4 x 10^9 times": files.mp4_with_claimed_times,
    "4 x 10^9 claimed frames in avi": files.avi_with_claimed_frames,
    "rate of 0 / 0": lambda: files.avi_with_rate(0, 0),
    "rate of 1 / 0": lambda: files.avi_with_rate(0, 1),
    "rate of 4 x 10^9": lambda: files.avi_with_rate(1, 0xFFFF_FFFF),
    **{
        f"rate of {fps} in flv": lambda fps=fps: files.flv_with_rate(fps)
        for fps in (math.nan, math.inf, -math.inf, -25.0, 0.0, 1e308, 1e-300)
    },
    "frames of 0 ns": lambda: files.mkv_with_frame_duration(0),
    "frames of 2^64 ns": lambda: files.mkv_with_frame_duration((1 << 64) - 1),
}
"""What looks like an attack, and is read as what it holds."""


def as_data(content: bytes, kind: str = "video/mp4") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["video", "image"])
def test_a_hostile_file_is_refused_in_time(world: World, name: str, kind: str) -> None:
    content = REFUSED[name]()
    if kind == "image" and name.startswith("size that grows"):
        pytest.skip("its first picture is a sound image")
    refusal(world.show(as_data(content), kind), world, 413, 415, 422)
    world.check_nothing_is_stored()


@pytest.mark.parametrize("name", READ)
def test_what_a_container_says_of_times_and_numbers_does_no_harm(world: World, name: str) -> None:
    answer = world.show(as_data(READ[name]()))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["hls", "ffconcat", "subtitles", "dash"])
def test_a_playlist_is_not_followed(world: World, kind: str) -> None:
    for target in (f"{world.host.address}/good.mp4", str(world.root / "good.mp4"), "good.mp4"):
        before = world.host.num_connections
        place = world.root / "list.mp4"
        place.write_bytes(files.playlists(target)[kind])
        refusal(world.show("list.mp4"), world, 422)
        assert world.host.num_connections == before
    place.unlink()


def test_many_pictures_as_one_video_are_refused(world: World) -> None:
    """vLLM's way to send frames, which had no bound there."""
    picture = base64.b64encode(files.picture(8, 8)).decode()
    frames = ",".join([picture] * 2000)
    refusal(world.show(f"data:video/jpeg;base64,{frames}"), world, 415)
    refusal(world.show(f"data:video/mp4;base64,{frames}"), world, 400, 415)


@pytest.mark.parametrize("kind", ["jpegs", "pictures of a gif"])
def test_10_to_the_5_pictures_in_a_row_are_read_or_refused_in_time(world: World, kind: str) -> None:
    place = world.root / "many.mp4"
    is_gif = kind == "pictures of a gif"
    content = files.gif_of_many_frames(100_000) if is_gif else files.picture(1, 1) * 100_000
    place.write_bytes(content[: world.max_bytes])
    answer = world.show("many.mp4")
    assert answer.status_code in (200, 422), answer.text
    place.unlink()


BAD_DATA = {
    "no comma": "data:video/mp4;base64",
    "no base64": "data:video/mp4,abc",
    "not base64": "data:video/mp4;base64,!!!!",
    "escaped": "data:video/mp4;base64,AAAA%3D%3D",
    "line breaks": "data:video/mp4;base64,AAAA\nAAAA",
    "padding inside": "data:video/mp4;base64,AA==AAAA",
    "no padding": "data:video/mp4;base64,AAAAA",
    "web alphabet": "data:video/mp4;base64,_-_-",
    "empty": "data:video/mp4;base64,",
    "long header": "data:video/mp4;" + "a=b;" * 500 + "base64,AAAA",
    "long type": "data:" + "v" * 1000 + "/mp4;base64,AAAA",
    "header with a line break": "data:video/mp4\r\nx: y;base64,AAAA",
    "letters beyond ASCII": "data:video/mp4;base64,ＡＡＡＡ",
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_a_data_address_that_is_none_is_refused(world: World, name: str) -> None:
    refusal(world.show(BAD_DATA[name]), world, 400)
    world.check_nothing_is_stored()
