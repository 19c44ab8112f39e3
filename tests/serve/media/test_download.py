"""Fetching over TLS: the name is verified, though the address was chosen before."""

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest

from llava_video.errors import MediaRefused
from llava_video.serve.media import MediaLimits
from llava_video.serve.media.download import download
from llava_video.serve.media.hosts import parse_host

LIMITS = MediaLimits(connect_seconds=5.0, read_seconds=5.0, fetch_seconds=10.0)

pytestmark = pytest.mark.skipif(which("openssl") is None, reason="makes certificates")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/down":
            self.send_response(302)
            self.send_header("Location", f"http://media.test:{self.server.server_port}/")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"video")

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Host:
    port: int
    certificate: Path


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host on loopback that has a certificate for the name media.test."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=media.test", "-addext", "subjectAltName=DNS:media.test",
            "-keyout", "key.pem", "-out", "cert.pem",
        ],
        cwd=folder, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Host(server.server_port, folder / "cert.pem")
    server.shutdown()


def fetch(host: Host, name: str, path: str = "/") -> bytes:
    received = bytearray()
    download(
        f"https://{name}:{host.port}{path}",
        [parse_host(f"{name}:{host.port}=127.0.0.0/8")],
        LIMITS,
        received.extend,
        lambda *_: ["127.0.0.1"],
    )
    return bytes(received)


def test_the_certificate_is_that_of_the_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(host.certificate))
    assert fetch(host, "media.test") == b"video"
    with pytest.raises(MediaRefused, match="cannot be fetched"):
        fetch(host, "other.test")


def test_a_certificate_that_nobody_vouches_for_is_refused(host: Host) -> None:
    with pytest.raises(MediaRefused, match="cannot be fetched"):
        fetch(host, "media.test")


def test_https_does_not_lead_to_http(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(host.certificate))
    with pytest.raises(MediaRefused, match="from https to http"):
        fetch(host, "media.test", "/down")
