"""Addresses that lead the server to where it must not go (SSRF), and hosts that hold it up."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import World, refusal
from .hostile_hosts import NAMES

# {port} is that of a host the server may fetch from, by the name 127.0.0.1 only.
WRITTEN_OTHERWISE = {
    "short form": "http://127.1:{port}/good.mp4",
    "decimal": "http://2130706433:{port}/good.mp4",
    "hexadecimal": "http://0x7f000001:{port}/good.mp4",
    "hexadecimal parts": "http://0x7f.0.0.1:{port}/good.mp4",
    "octal": "http://0177.0.0.1:{port}/good.mp4",
    "octal whole": "http://017700000001:{port}/good.mp4",
    "zero": "http://0:{port}/good.mp4",
    "unspecified": "http://0.0.0.0:{port}/good.mp4",
    "name": "http://localhost:{port}/good.mp4",
    "ipv6": "http://[::1]:{port}/good.mp4",
    "ipv4-mapped": "http://[::ffff:127.0.0.1]:{port}/good.mp4",
    "ipv4-mapped in hexadecimal": "http://[::ffff:7f00:1]:{port}/good.mp4",
    "nat64": "http://[64:ff9b::7f00:1]:{port}/good.mp4",
    "metadata of clouds": "http://169.254.169.254/latest/meta-data/",
    "metadata of clouds by ipv6": "http://[fd00:ec2::254]/latest/meta-data/",
    "another port": "http://127.0.0.1:{other}/good.mp4",
    "the server itself": "{server}/health",
    "ssh": "http://127.0.0.1:22/",
    "listed host with a dot and more": "http://127.0.0.1.evil.test.example:{port}/",
    "listed host as a subdomain": "http://127.0.0.1:{port}.example.org/",
    "backslash and at": "http://127.0.0.1:{port}\\@169.254.169.254/",
    "at and backslash": "http://169.254.169.254\\@127.0.0.1:{port}/good.mp4",
    "user": "http://user@127.0.0.1:{port}/good.mp4",
    "user and password": "http://user:pass@127.0.0.1:{port}/good.mp4",
    "host as user": "http://127.0.0.1:{port}@169.254.169.254/",
    "escaped host": "http://%31%32%37.0.0.1:{port}/good.mp4",
    "escaped at": "http://127.0.0.1:{port}%40169.254.169.254/",
    "tab in the scheme": "ht\ttp://127.0.0.1:{port}/good.mp4",
    "line break in the host": "http://127.0.0.1\n:{port}/good.mp4",
    "header smuggled": "http://127.0.0.1:{port}/good.mp4 HTTP/1.1\r\nX-Evil: 1\r\n\r\n",
    "zero byte": "http://127.0.0.1:{port}/good.mp4\0.txt",
    "space before": " http://127.0.0.1:{port}/good.mp4",
    "one slash": "http:/127.0.0.1:{port}/good.mp4",
    "no slashes": "http:127.0.0.1:{port}/good.mp4",
    "three slashes": "http:///127.0.0.1:{port}/good.mp4",
    "no scheme": "//127.0.0.1:{port}/good.mp4",
    "circled digits": "http://①②⑦.0.0.1:{port}/good.mp4",
    "ideographic dots": "http://127。0。0。1:{port}/good.mp4",
    "letter that folds": "httpſ://127.0.0.1:{port}/good.mp4",
    "zone": "http://[fe80::1%25lo]:{port}/",
    "port beyond": "http://127.0.0.1:99999/good.mp4",
    "port of no number": "http://127.0.0.1:{port}x/good.mp4",
    "two ports": "http://127.0.0.1:{port}:80/good.mp4",
    "too long": "http://127.0.0.1:{port}/" + "a" * 10_000,
    "ftp": "ftp://127.0.0.1:{port}/good.mp4",
    "gopher": "gopher://127.0.0.1:{port}/_GET",
    "ffmpeg's tcp": "tcp://127.0.0.1:{port}",
    "ffmpeg's concat": "concat:http://127.0.0.1:{port}/good.mp4|http://127.0.0.1:{port}/good.mp4",
    "ffmpeg's subfile": "subfile,,start,0,end,9,,:http://127.0.0.1:{port}/good.mp4",
    "ffmpeg's crypto": "crypto:http://127.0.0.1:{port}/good.mp4",
    "ffmpeg's cache": "cache:http://127.0.0.1:{port}/good.mp4",
    "ffmpeg's async": "async:http://127.0.0.1:{port}/good.mp4",
    "ffmpeg's pipe": "pipe:0",
    "ffmpeg's descriptor": "fd:0",
    "rtsp": "rtsp://127.0.0.1:{port}/live",
    "blob": "blob:http://127.0.0.1:{port}/good.mp4",
    "javascript": "javascript:fetch('http://127.0.0.1:{port}/good.mp4')",
    "jar": "jar:http://127.0.0.1:{port}/a.jar!/good.mp4",
}


@pytest.mark.parametrize("name", WRITTEN_OTHERWISE)
def test_only_the_listed_host_as_it_is_listed_is_connected_to(world: World, name: str) -> None:
    before = world.host.num_connections, world.other_host.num_connections
    address = WRITTEN_OTHERWISE[name].replace("{port}", str(world.host.port))
    address = address.replace("{other}", str(world.other_host.port)).replace("{server}", world.url)
    refusal(world.show(address), world, 400, 403)
    assert (world.host.num_connections, world.other_host.num_connections) == before


@pytest.mark.parametrize("name", [name for name in NAMES if name != "inner.test"])
def test_a_name_that_does_not_lead_to_the_internet_alone_is_not_connected_to(
    world: World, name: str
) -> None:
    before = world.host.num_connections
    refusal(world.show(f"http://{name}:{world.host.port}/good.mp4"), world, 403, 422)
    assert world.host.num_connections == before


REDIRECTS = [
    "/to-other-port", "/to-metadata", "/to-file", "/to-data", "/to-user", "/to-backslash",
    "/to-scheme-less", "/loop", "/chain-0",
]  # fmt: skip


@pytest.mark.parametrize("path", REDIRECTS)
def test_a_redirect_is_checked_like_an_address(world: World, path: str) -> None:
    before = world.other_host.num_connections
    refusal(world.show(world.host.address + path), world, 400, 403, 422)
    assert world.other_host.num_connections == before


HOLD_UPS = [
    "/drip", "/drip-headers", "/drip-chunks", "/continue", "/silent", "/endless-trailers",
]  # fmt: skip


def test_hosts_that_take_all_the_time_are_left(world: World) -> None:
    """All at once, each within the seconds that a download may take."""
    with ThreadPoolExecutor(len(HOLD_UPS)) as pool:
        answers = pool.map(lambda path: world.show(world.host.address + path), HOLD_UPS)
        for answer in answers:
            assert "takes too long" in refusal(answer, world, 422)
    world.check_nothing_is_stored()


NO_FILES = [
    "/endless-chunks", "/endless", "/endless-header", "/says-huge", "/says-negative", "/ends-early",
    "/bad-chunk", "/gzip", "/deflated", "/empty", "/error", "/not-http", "/text",
]  # fmt: skip


@pytest.mark.parametrize("path", NO_FILES)
def test_a_host_that_does_not_send_a_file_is_left(world: World, path: str) -> None:
    refusal(world.show(world.host.address + path), world, 413, 422)
    world.check_nothing_is_stored()


@pytest.mark.parametrize("path", ["/good.mp4", "/moved", "/signed.mp4?key=a%20b&x=1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "inner.test"])
def test_what_is_listed_is_fetched(world: World, host: str, path: str) -> None:
    answer = world.show(f"http://{host}:{world.host.port}{path}")
    assert answer.status_code == 200, answer.text
    world.check_nothing_is_stored()


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that gives another address each time (rebinding) gains nothing."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]])
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    monkeypatch.setattr(world.guard, "resolve", rebinding)
    assert world.show(f"http://inner.test:{world.host.port}/good.mp4").status_code == 200
    assert asked == ["inner.test"]
    # With a redirect there are two look-ups: the second answer's host does not listen.
    refusal(world.show(f"http://inner.test:{world.host.port}/moved"), world, 403, 422)
