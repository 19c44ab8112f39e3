"""The other formats of the dataset: JSONL, Parquet, WebDataset, and a folder for Hugging Face."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path
from typing import Any

from llava_video.annotate.export.conversations import Sample, Writer, write_llava
from llava_video.annotate.recipe import Recipe
from llava_video.errors import InputError
from llava_video.records.files import write_whole, writing
from llava_video.records.json_lines import dump_json, dump_lines
from llava_video.records.llava_format import SPLITS

_SHARD_VIDEOS = 1000


def write_jsonl(found: list[Sample], recipe: Recipe, folder: Path) -> list[Path]:
    """One JSON lines file per split."""
    paths = []
    for split, chosen in _by_split(found):
        path = folder / f"{split}.jsonl"
        write_whole(path, dump_lines(s.record for s in chosen))
        paths.append(path)
    return paths


def write_parquet(found: list[Sample], recipe: Recipe, folder: Path) -> list[Path]:
    """One Parquet file per split, with nested conversations."""
    import pyarrow as pa
    from pyarrow import parquet

    turn = pa.struct([("from", pa.string()), ("value", pa.string())])
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("conversations", pa.list_(turn)),
            ("data_source", pa.string()),
            ("video", pa.string()),
        ]
    )
    paths = []
    for split, chosen in _by_split(found):
        buffer = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist([s.record for s in chosen], schema), buffer)
        path = folder / f"{split}.parquet"
        write_whole(path, buffer.getvalue())
        paths.append(path)
    return paths


def write_hf(found: list[Sample], recipe: Recipe, folder: Path) -> list[Path]:
    """A folder that ``datasets.load_dataset(folder, split)`` reads and the Hub shows."""
    paths = write_parquet(found, recipe, folder)
    license_id = recipe.export.license or ""
    # The Hub knows licences by short names such as apache-2.0; others are named in the card.
    is_id = re.fullmatch(r"[a-z0-9.-]+", license_id) is not None
    lines = ["---", f"license: {license_id if is_id else 'other'}"]
    lines += ["task_categories:", "- video-text-to-text", "configs:"]
    for path in paths:
        lines += [f"- config_name: {path.stem}", "  data_files:"]
        lines += ["  - split: train", f"    path: {path.name}"]
    card = folder / "README.md"
    old = card.read_text(encoding="utf-8") if card.is_file() else ""
    body = re.sub(r"\A---\n.*?\n---\n", "", old, flags=re.DOTALL)
    write_whole(card, "\n".join([*lines, "---", ""]) + body)
    return [*paths, card]


def write_webdataset(found: list[Sample], recipe: Recipe, folder: Path) -> list[Path]:
    """Tar shards: per video its file and one JSON member with the records of all splits.

    The same records give the same bytes: member times and owners are fixed.
    """
    by_video: dict[str, list[Sample]] = {}
    for sample in found:
        by_video.setdefault(sample.record["id"], []).append(sample)
    paths = []
    groups = list(by_video.values())
    for number, start in enumerate(range(0, len(groups), _SHARD_VIDEOS)):
        path = folder / f"videos-{number:06d}.tar"
        with writing(path) as unfinished, tarfile.open(unfinished, "w") as tar:
            for position, group in enumerate(groups[start : start + _SHARD_VIDEOS], start):
                _add_video(tar, f"{position:09d}", group)
        paths.append(path)
    return paths


def _add_video(tar: tarfile.TarFile, key: str, group: list[Sample]) -> None:
    record: dict[str, Any] = {
        name: group[0].record[name] for name in ("id", "data_source", "video")
    }
    for sample in group:
        record[sample.split] = sample.record["conversations"]
    text = dump_json(record).encode()
    path = Path(group[0].path)
    try:
        video = path.open("rb")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); webdataset holds the videos themselves, "
            "so put it back or choose another --format"
        ) from error
    with video:
        _add(tar, f"{key}{path.suffix.lower()}", video, path.stat().st_size)
        _add(tar, f"{key}.json", io.BytesIO(text), len(text))


def _add(tar: tarfile.TarFile, name: str, content: Any, num_bytes: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = num_bytes
    tar.addfile(member, content)


def _by_split(found: list[Sample]) -> list[tuple[str, list[Sample]]]:
    groups = [(split, [s for s in found if s.split == split]) for split in SPLITS]
    return [(split, chosen) for split, chosen in groups if chosen]


FORMATS: dict[str, Writer] = {
    "llava": write_llava,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "webdataset": write_webdataset,
    "hf": write_hf,
}


def writer_of(name: str) -> Writer:
    """The writer of a format.

    Raises:
        InputError: the format is unknown.
    """
    if name not in FORMATS:
        raise InputError(f"--format {name}: no such format; use one of {', '.join(FORMATS)}")
    return FORMATS[name]
