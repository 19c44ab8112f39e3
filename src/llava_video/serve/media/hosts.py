"""Which hosts and addresses media are fetched from."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from llava_video.errors import InputError, MediaRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host, as text."""

PORTS = {"http": 80, "https": 443}
MAX_URL_CHARACTERS = 8192

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(#.*)?",
    re.IGNORECASE | re.ASCII,
)
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_TRANSITION = tuple(ipaddress.IPv6Network(text) for text in ("2001::/32", "2002::/16"))


@dataclass(frozen=True)
class Host:
    """An entry of the list.

    Attributes:
        name: a host or an address, in lower case; of a wildcard what follows the ``*``.
        is_wildcard: whether it stands for the hosts below a domain.
        port: the only one; None for the scheme's own.
        networks: addresses that it may have besides those of the internet.
    """

    name: str
    is_wildcard: bool = False
    port: int | None = None
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True)
class Url:
    """A checked address.

    Attributes:
        scheme: ``http`` or ``https``.
        host: a name or an address, in lower case, without brackets.
        port: of the server.
        target: path and query, in ASCII.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def name(self) -> str:
        """For messages: the host and the last part of the path; a query may hold secrets."""
        last = self.target.partition("?")[0].rpartition("/")[2]
        return f"{self.host}/.../{last}"[:120] if last else self.host


def parse_host(entry: str) -> Host:
    """Read an entry of ``--allow-hosts``.

    ``media.example.org``, ``*.example.org`` (its subdomains, not itself), ``[2001:db8::1]``, each
    with ``:port`` or, without, at the port of the scheme. A name may have addresses of the internet
    only, unless the entry names a network, as in ``minio:9000=10.0.0.0/8``. An entry that is an
    address names that address, private or not: ``127.0.0.1:9000``.

    Raises:
        InputError: it is none of these.
    """
    wrong = f"--allow-hosts {entry}: no host; write it like media.example.org or 127.0.0.1:9000"
    where, equals, network = entry.strip().partition("=")
    found = re.fullmatch(r"(\*\.)?(\[[^\]]+\]|[^:\[\]/@]+)(?::([0-9]{1,5}))?", where)
    if found is None:
        raise InputError(wrong)
    name = found[2].strip("[]").lower().rstrip(".")
    try:
        name = name if name.isascii() else name.encode("idna").decode()
        networks = (ipaddress.ip_network(network),) if equals else ()
    except ValueError as error:
        raise InputError(f"--allow-hosts {entry}: {error}") from error
    address = _address_of(name)
    if address is None and (not _NAME.fullmatch(name) or _is_number(name)):
        raise InputError(wrong)
    if address is not None:
        if found[1] or equals:
            raise InputError(wrong)
        name = str(address)
        networks = (ipaddress.ip_network(address),)
    return Host(name, bool(found[1]), int(found[3]) if found[3] else None, networks)


def parse_url(address: str) -> Url:
    """Read an address strictly: what is not plain is refused, so that no two readers differ.

    Raises:
        MediaRefused: it is no http or https address, holds a user or a password, or characters that
            programs read in different ways.
    """
    if len(address) > MAX_URL_CHARACTERS or _UNSAFE.search(address):
        raise MediaRefused("an address holds no spaces, backslashes or control characters", 400)
    found = _URL.fullmatch(address)
    if found is None or not found["host"].isascii():
        raise MediaRefused(
            "this is no address http(s)://host/file; it has no user, and its host is in ASCII", 400
        )
    scheme, host = found["scheme"].lower(), found["host"].lower()
    port = int(found["port"]) if found["port"] else PORTS[scheme]
    if host.startswith("["):
        literal = _address_of(host.strip("[]"))
        if not isinstance(literal, ipaddress.IPv6Address):
            raise MediaRefused("this address has no valid host", 400)
        host = str(literal)
    elif not _NAME.fullmatch(host) or len(host) > 253:
        raise MediaRefused("this address has no valid host", 400)
    if not 0 < port < 1 << 16:
        raise MediaRefused("this address has no valid port", 400)
    target = quote((found["path"] or "/") + (found["query"] or ""), safe="/?&=%:@!$'()*+,;~._-")
    return Url(scheme, host.rstrip("."), port, target)


def find_entry(url: Url, hosts: Sequence[Host]) -> Host:
    """The entry of the list that an address is allowed by.

    Raises:
        MediaRefused: there is none.
    """
    if not hosts:
        raise MediaRefused("addresses are not fetched here; upload the file", 403)
    for host in sorted(hosts, key=lambda host: host.is_wildcard):  # one by name says more
        is_named = url.host.endswith(f".{host.name}") if host.is_wildcard else url.host == host.name
        if is_named and url.port == (host.port or PORTS[url.scheme]):
            return host
    raise MediaRefused("this host is not among those that media are fetched from", 403)


def resolve_host(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver gives.

    Raises:
        OSError: it gives none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_addresses(texts: Sequence[str], host: Host) -> list[Address]:
    """Addresses of a host, all of which it may have.

    Raises:
        MediaRefused: one of them is not of the internet and not in the entry's networks.
    """
    addresses = []
    for text in texts:
        address = _address_of(text)
        is_named = address is not None and any(address in network for network in host.networks)
        if address is None or not (is_named or is_global(address)):
            raise MediaRefused("this host leads to an address that is not fetched from", 403)
        addresses.append(address)
    if not addresses:
        raise MediaRefused("this host has no address", 422)
    return addresses


def is_global(address: Address) -> bool:
    """Whether an address is one host's on the internet, and not another one's in disguise.

    Of the forms that hold an IPv4 address only NAT64's (RFC 6052) counts, if that one does;
    IPv4-mapped and -translated ones, 6to4 and Teredo never.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_global(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        is_plain = not any(address in network for network in _TRANSITION)
        is_isatap = (int(address) >> 32) & 0xFDFF_FFFF == 0x0000_5EFE  # RFC 5214
        if not is_plain or is_isatap or address not in _GLOBAL_UNICAST:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_private
    )


def _address_of(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_number(name: str) -> bool:
    """Whether a resolver takes a name for an IPv4 address: its last label is a number."""
    last = name.rpartition(".")[2]
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None
