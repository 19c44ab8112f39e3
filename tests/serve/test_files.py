"""Uploaded files: bounded, removed in time, and of one owner."""

import contextlib
import io
import time
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import pytest

from llava_video.serve.files import UploadedFile, UploadedFiles, harmless_name
from llava_video.serve.settings import FileLimits
from llava_video.web.errors import HttpError
from tests.serve.server import FOUR_SHAPES, Served, eventually, serving


def store(files: UploadedFiles, num_bytes: int = 100, owner: str = "one") -> UploadedFile:
    content = io.BytesIO(b"x" * num_bytes)
    return files.add(content, num_bytes, owner=owner, name="a.mp4", purpose="user_data")


def test_files_are_of_their_owner(tmp_path: Path) -> None:
    files = UploadedFiles(tmp_path / "files", FileLimits())
    own, other = store(files), store(files, owner="two")
    assert files.of("one") == [own]
    assert files.get(own.file_id, "one").path.read_bytes() == b"x" * 100
    with pytest.raises(HttpError) as refused:
        files.get(other.file_id, "one")
    assert refused.value.status == 404
    with pytest.raises(HttpError):
        files.delete(other.file_id, "one")
    files.delete(own.file_id, "one")
    assert not own.path.exists()
    assert other.path.exists()


def test_bytes_and_number_are_bounded(tmp_path: Path) -> None:
    files = UploadedFiles(tmp_path / "files", FileLimits(total_bytes=250, num_files=3))
    first = store(files)
    store(files)
    with pytest.raises(HttpError) as refused:
        store(files)
    assert refused.value.status == 507
    files.delete(first.file_id, "one")
    store(files, 10)
    store(files, 10)
    with pytest.raises(HttpError):
        store(files, 10)
    assert len(list((tmp_path / "files").iterdir())) == 3


def test_old_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = UploadedFiles(tmp_path / "files", FileLimits(age_seconds=60))
    file = store(files)
    later = time.monotonic() + 61
    # The clock on the wall is set back; that of the files is another.
    clock = SimpleNamespace(time=lambda: 0.0, monotonic=time.monotonic)
    monkeypatch.setattr("llava_video.serve.files.time", clock)
    assert files.of("one") == [file]
    clock.monotonic = lambda: later
    assert files.of("one") == []
    assert not file.path.exists()


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    files = UploadedFiles(tmp_path / "files", FileLimits())

    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(28, "No space left on device")

    with pytest.raises(HttpError) as refused:
        files.add(Full(b"x"), 1, owner="one", name="a", purpose="b")
    assert refused.value.status == 507
    assert list((tmp_path / "files").iterdir()) == []
    store(files)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\a.mp4", "a.mp4"),
        ("a\r\nset-cookie: b.mp4", "a__set-cookie_ b.mp4"),
        ("x" * 500, "x" * 120),
        ("", "file"),
        ("ﬁlm ö.mp4", "ﬁlm ö.mp4"),
    ],
)
def test_names_are_harmless(given: str, kept: str) -> None:
    assert harmless_name(given) == kept


def test_the_official_client_manages_files(server: Served) -> None:
    content = FOUR_SHAPES.read_bytes()
    file = server.client.files.create(file=("x/../four.mp4", content), purpose="user_data")
    assert (file.filename, file.bytes, file.status) == ("four.mp4", len(content), "processed")
    assert file.id in [one.id for one in server.client.files.list().data]
    assert server.client.files.retrieve(file.id).bytes == len(content)
    assert server.client.files.content(file.id).read() == content
    part = server.http.get(f"/v1/files/{file.id}/content", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-type"] == "application/octet-stream"
    assert part.headers["content-disposition"].startswith("attachment")
    assert server.client.files.delete(file.id).deleted
    assert server.http.get(f"/v1/files/{file.id}").status_code == 404


def test_uploads_that_are_none_are_refused(server: Served) -> None:
    post = server.http.post
    assert post("/v1/files", json={"file": "a"}).status_code == 415
    assert post("/v1/files", data={"purpose": "a"}, files={"other": b"a"}).status_code == 400
    assert post("/v1/files", files={"file": ("a.mp4", b"")}).status_code == 400
    assert post("/v1/files", files=[("file", b"a"), ("file", b"b")]).status_code == 400
    broken = {"content-type": "multipart/form-data"}
    assert post("/v1/files", content=b"abc", headers=broken).status_code == 400


def test_a_large_upload_is_refused(server: Served, tiny: object) -> None:
    from llava_video.serve.settings import RequestLimits

    limits = RequestLimits(upload_bytes=100_000, body_bytes=1000)
    with serving(tiny, requests=limits) as small:  # type: ignore[arg-type]
        refused = small.http.post("/v1/files", files={"file": ("a", b"x" * 200_000)})
        assert (refused.status_code, refused.json()["error"]["type"]) == (
            413,
            "invalid_request_error",
        )
        assert small.http.post("/v1/files", files={"file": ("a", b"x" * 50_000)}).status_code == 200
        assert small.post("x" * 1200).status_code == 413

        def endless():  # chunked: no length is said beforehand
            while True:
                yield b"\r\n--a\r\n" + b"x" * 1000

        form = {"content-type": "multipart/form-data; boundary=a"}
        with contextlib.suppress(httpx.TransportError):  # it is closed while it is written to
            small.http.post("/v1/files", content=endless(), headers=form)
        assert eventually(
            lambda: (
                [record["status"] for record in small.log if record["route"] == "/v1/files"][-1]
                in (400, 413)
            )
        )
        assert small.post("Hello").status_code == 200
