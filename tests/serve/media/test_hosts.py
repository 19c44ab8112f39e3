"""Entries of --allow-hosts, and the addresses that hosts may have."""

import ipaddress

import pytest

from llava_video.errors import InputError, MediaRefused
from llava_video.serve.media.hosts import (
    check_addresses,
    find_entry,
    is_global,
    parse_host,
    parse_url,
)


def is_allowed(entry: str, url: str) -> bool:
    try:
        find_entry(parse_url(url), [parse_host(entry)])
    except MediaRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"), [
        (
            "media.example.org",
            ["http://media.example.org/a", "https://MEDIA.example.org/a", "https://media.example.org./"],
            ["https://example.org/", "https://a.media.example.org/", "http://media.example.org:81/",
             "https://media.example.org:80/", "https://media.example.org.evil.example/"],
        ),
        (
            "*.example.org",
            ["https://a.example.org/", "https://a.b.example.org/"],
            ["https://example.org/", "https://aexample.org/", "https://a.example.org:8443/"],
        ),
        ("example.org:8443", ["https://example.org:8443/"], ["https://example.org/"]),
        ("127.0.0.1:9000", ["http://127.0.0.1:9000/a"], ["http://127.0.0.1/", "http://127.1:9000/"]),
        ("[::1]:9000", ["http://[::1]:9000/", "http://[0:0:0:0:0:0:0:1]:9000/"], ["http://[::1]/"]),
        ("bücher.example", ["https://xn--bcher-kva.example/"], ["https://bcher.example/"]),
    ],
)  # fmt: skip
def test_an_entry_allows_what_it_names(entry: str, allowed: list[str], refused: list[str]) -> None:
    assert [url for url in allowed if not is_allowed(entry, url)] == []
    assert [url for url in refused if is_allowed(entry, url)] == []


@pytest.mark.parametrize(
    "entry", [
        "", "*", "*.", "http://example.org", "example.org/", "user@example.org", "a b",
        "-a.example", "example.org:port", "example.org=10.0.0.0/99", "127.0.0.1=10.0.0.0/8",
        "*.127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1", "example.org:80:80",
    ],
)  # fmt: skip
def test_what_is_no_entry_is_said_to_be_none(entry: str) -> None:
    with pytest.raises(InputError, match="--allow-hosts"):
        parse_host(entry)


@pytest.mark.parametrize(
    ("entry", "addresses"), [
        ("example.org", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]),
        ("example.org", ["64:ff9b::5db8:d70e"]),  # NAT64 of a public address
        ("127.0.0.1:9000", ["127.0.0.1"]),
        ("minio:9000=10.0.0.0/8", ["10.1.2.3"]),
        ("minio=fd00::/8", ["fd00::7"]),
    ],
)  # fmt: skip
def test_addresses_of_the_internet_and_opted_in_networks_are_connected_to(
    entry: str, addresses: list[str]
) -> None:
    assert [str(a) for a in check_addresses(addresses, parse_host(entry))] == addresses


@pytest.mark.parametrize(
    ("entry", "addresses"), [
        ("example.org", ["10.0.0.1"]),
        ("example.org", ["93.184.215.14", "10.0.0.1"]),
        ("127.0.0.1:9000", ["127.0.0.2"]),
        ("minio:9000=10.0.0.0/8", ["127.0.0.1"]),
        ("minio:9000=10.0.0.0/8", ["::ffff:10.0.0.1"]),
        ("example.org", ["no address"]),
        ("example.org", []),
    ],
)  # fmt: skip
def test_one_address_elsewhere_is_enough_to_refuse(entry: str, addresses: list[str]) -> None:
    with pytest.raises(MediaRefused):
        check_addresses(addresses, parse_host(entry))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001:80b::200e"]
)
def test_global_addresses_are_global(address: str) -> None:
    assert is_global(ipaddress.ip_address(address))


def test_the_target_is_sent_escaped_once() -> None:
    url = parse_url("https://example.org/a%20b/ü?x=%2f&y=ä#part")
    assert url.target == "/a%20b/%C3%BC?x=%2f&y=%C3%A4"
    assert url.name == "example.org/.../%C3%BC"  # no query, which may hold a secret
    assert parse_url("https://example.org").target == "/"
