"""Files of records are read by what they hold, whatever they are called."""

import gzip
import json
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.train.data.record_files import read_records

RECORDS = [
    {"id": str(n), "conversations": [{"from": "human", "value": "é\u2028?"}]} for n in (1, 2)
]
LIST = json.dumps(RECORDS, ensure_ascii=False)
LINES = "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS)
INDENTED = "\n".join(json.dumps(record, indent=1) for record in RECORDS)
TEXTS = {
    "list": LIST,
    "lines": LINES,
    "blank lines": f"\n{LINES}\n\n",
    "CRLF": f"{LINES}\n".replace("\n", "\r\n"),
    "indented objects": INDENTED,
}


@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.json.gz", "data.jsonl.gz"])
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_names_and_encodings_do_not_matter(
    tmp_path: Path, name: str, text: str, encoding: str, pack: object
) -> None:
    content = TEXTS[text].encode(encoding)
    (tmp_path / name).write_bytes(pack(content))  # type: ignore[operator]
    assert list(read_records(tmp_path / name)) == RECORDS


def test_one_line_is_one_record(tmp_path: Path) -> None:
    for name in ("data.json", "data.jsonl"):
        (tmp_path / name).write_text(json.dumps(RECORDS[0]))
        assert list(read_records(tmp_path / name)) == RECORDS[:1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"PAR1....", "is Parquet"),
        (b"PK\x03\x04....", "zip archive"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"\x1f\x8bbroken", "cannot be read"),
        (b"\xff\xfa\xfb", "UTF-8"),
        (f'{{"data": {LIST}}}'.encode(), "under 'data'"),
        (b"{}", "no list of samples"),
        (b'{"mine": {"file_name": "a.json"}}', "name their files"),
        (f"{LINES}\n{{".encode(), "line 3"),
        (LIST[:-5].encode(), "not valid JSON"),
    ],
)
def test_what_a_file_is_instead_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    for name in ("data.json", "data.jsonl"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said) as caught:
            list(read_records(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(InputError, match=r"is a folder; name a file in it"):
        list(read_records(tmp_path / "a.json"))
