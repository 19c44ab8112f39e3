"""What the data engine exports is what training reads, whatever the format."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from llava_video.errors import InputError, VideoError
from llava_video.train.data.encode import Encoder
from llava_video.train.data.samples import Folders, Sample, read_mixture
from llava_video.train.data.webdataset import on_disk
from llava_video.train.recipe import load_recipe
from tests.cli.run import Shell
from tests.model.small import small_processor

FORMATS = ("llava", "jsonl", "parquet", "hf", "webdataset")
FILES = {"llava": "*/*.json", "jsonl": "*.jsonl", "webdataset": "*.tar"}


@pytest.fixture
def exports(shell: Shell, toy_data: Path, tmp_path: Path) -> Path:
    """A run of the data engine over toyworld videos, exported in every format."""
    run = tmp_path / "run"
    assert shell("annotate", "run", toy_data / "videos", "--out", run, "--model", "toy").code == 0
    for name in FORMATS[1:]:
        assert shell("annotate", "export", run, "--format", name).code == 0
    return run


def read(file: Path, videos: Path) -> list[Sample]:
    return [s for p in read_mixture(file, Folders(videos, videos)) for s in p.samples]


def conversations(samples: list[Sample]) -> list[str]:
    """Texts and kinds of parts, in an order that does not depend on the file's."""
    plain = [json.dumps(sample.messages).replace(m.source, "") for sample in samples
             for m in sample.media]  # fmt: skip
    return sorted(plain)


def test_every_export_gives_the_same_samples(exports: Path, toy_data: Path) -> None:
    found = {}
    for name in FORMATS:
        folder = exports / ("dataset" if name == "llava" else f"dataset-{name}")
        files = sorted(folder.glob(FILES.get(name, "*.parquet")))
        entries = [{"json_path": str(file)} for file in files]
        mixture = exports / f"{name}.yaml"
        mixture.write_text(yaml.safe_dump({"datasets": entries}))
        found[name] = conversations(read(mixture, toy_data / "videos"))
    assert len(found["llava"]) == 3 * 4  # a caption and two kinds of questions for each video
    assert all(found[name] == found["llava"] for name in FORMATS)


def test_a_video_in_a_shard_is_seen_as_the_file_is(exports: Path, toy_data: Path) -> None:
    recipe = load_recipe("projector", ["model=m", "mixture=x", "out=o", "num_frames=3"])
    encoder = Encoder(small_processor(), recipe)
    (shard,) = (exports / "dataset-webdataset").glob("*.tar")
    inside = {str(s.messages[0]["content"][1:]): s for s in read(shard, Path("nowhere"))}
    files = (exports / "dataset-jsonl").glob("*.jsonl")
    outside = [sample for file in files for sample in read(file, toy_data / "videos")]
    assert len(inside) == len(outside)
    for sample in outside:
        theirs, ours = encoder.encode(sample), inside[str(sample.messages[0]["content"][1:])]
        assert encoder.measure(ours) == len(theirs.input_ids)
        mine = encoder.encode(ours)
        assert (mine.input_ids, mine.labels) == (theirs.input_ids, theirs.labels)
        assert np.array_equal(mine.seen.frames[0].pixels, theirs.seen.frames[0].pixels)


def write_shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def talk(question: str) -> bytes:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "Red."}]
    return json.dumps({"conversations": turns}).encode()


def test_shards_of_others_hold_images_and_text(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (30, 20), (255, 0, 0)).save(picture, "PNG")
    shard = write_shard(
        tmp_path / "a-0.tar",
        {
            "in/one.0.png": picture.getvalue(),
            "in/one.1.png": picture.getvalue(),
            "in/one.json": talk("<image>\n<image>\nWhat colours?"),
            "two.json": talk("What colour is blood?"),
            "three.json": b"[]",
        },
    )
    (part,) = read_mixture(shard, Folders(tmp_path, tmp_path))
    assert [[m.kind for m in sample.media] for sample in part.samples] == [["image", "image"], []]
    assert "conversations" in part.problems[0].reason
    with on_disk(Path(part.samples[0].media[1].source)) as file:
        assert Image.open(file).size == (30, 20)


def test_shards_of_other_formats_are_read_too(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "<video>?"}, {"role": "assistant", "content": "Red."}]
    record = {"messages": turns, "videos": ["x.mp4"]}
    members = {"x.mp4": b"..", "x.json": json.dumps(record).encode(), "y.json": b'{"text": "a"}'}
    (part,) = read_mixture(write_shard(tmp_path / "a.tar", members), Folders(tmp_path, tmp_path))
    assert [m.source for m in part.samples[0].media] == [str(tmp_path / "a.tar" / "x.mp4")]
    assert "conversations" in part.problems[0].reason


def test_a_star_stands_for_all_shards(tmp_path: Path) -> None:
    for number in range(3):
        members = {f"{i}.json": talk(f"{number} {i}") for i in range(4)}
        write_shard(tmp_path / f"a-{number}.tar", members)
    mixture = tmp_path / "mix.yaml"
    mixture.write_text("datasets: [{json_path: 'a-*.tar', sampling_strategy: 'end:25%'}]")
    parts = read_mixture(mixture, Folders(tmp_path, tmp_path))
    assert [part.path.name for part in parts] == ["a-0.tar", "a-1.tar", "a-2.tar"]
    asked = [sample.messages[0]["content"] for part in parts for sample in part.samples]
    assert asked == ["0 3", "1 3", "2 3"]


def test_what_is_broken_in_a_shard_is_named(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", {"x.mp4": b"no video", "x.json": talk("<image>What?")})
    (sample,) = read(shard, tmp_path)
    encoder = Encoder(
        small_processor(), load_recipe("projector", ["model=m", "mixture=x", "out=o"])
    )
    with pytest.raises(VideoError, match=r"a\.tar/x\.mp4"):
        encoder.measure(sample)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(InputError, match=r"cut\.tar cannot be read as a tar"):
        read(cut, tmp_path)
