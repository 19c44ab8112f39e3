"""The LLaVA format is read as the official code reads it, but nothing is dropped in silence."""

import json
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.train.samples import as_sample, read_mixture


def record(question: str = "<image>\nWhat?", answer: str = "A cat.", **more) -> dict:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "one", "conversations": turns, **more}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def write_records(path: Path, count: int) -> Path:
    records = [{**record("Hello?"), "id": str(number)} for number in range(count)]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, records)) + "\n")
    else:
        path.write_text(json.dumps(records))
    return path


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("all", list(range(7))),
        ("first:2", [0, 1]),
        ("first:20%", [0, 1]),  # rounded up, as in train.py
        ("end:3", [4, 5, 6]),
        ("end:0", []),
        ("first:100", list(range(7))),
    ],
)
def test_a_strategy_takes_its_records(tmp_path: Path, strategy: str, expected: list[int]) -> None:
    write_records(tmp_path / "data.jsonl", 7)
    mixture = tmp_path / "mix.yaml"
    mixture.write_text(f"datasets: [{{json_path: data.jsonl, sampling_strategy: '{strategy}'}}]")
    (part,) = read_mixture(mixture, tmp_path)
    assert [int(sample.name.split()[0]) for sample in part.samples] == expected
    assert part.num_records == 7


def test_random_records_depend_on_the_seed_alone(tmp_path: Path) -> None:
    write_records(tmp_path / "data.json", 50)
    mixture = tmp_path / "mix.yaml"
    mixture.write_text("datasets: [{json_path: data.json, sampling_strategy: 'random:10%'}]")
    draws = [
        tuple(sample.name for sample in read_mixture(mixture, tmp_path, seed)[0].samples)
        for seed in (0, 0, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
    assert all(len(set(draw)) == 5 for draw in draws)


def test_json_lines_and_parquet_hold_the_same_samples(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = write_records(tmp_path / "data.json", 3)
    write_records(tmp_path / "data.jsonl", 3)
    table = pa.Table.from_pylist(json.loads(path.read_text()))
    parquet.write_table(table, tmp_path / "data.parquet")
    found = [
        [s.messages for s in read_mixture(tmp_path / f"data{suffix}", tmp_path)[0].samples]
        for suffix in (".json", ".jsonl", ".parquet")
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 3


@pytest.mark.parametrize("question", ["<image>\nWhat?", "What?\n<image>", "What?"])
def test_a_lone_video_stands_in_front(videos: Path, question: str) -> None:
    sample = as_sample(record(question, video="a.mp4"), "one", videos)
    assert sample.messages[0]["content"] == [
        {"type": "video", "path": str(videos / "a.mp4")},
        {"type": "text", "text": "What?"},
    ]


def test_several_videos_stand_where_their_markers_are(videos: Path) -> None:
    text = "First <image> then <image>, which is longer?"
    sample = as_sample(record(text, video=["a.mp4", "b.mp4"]), "one", videos)
    kinds = [part.get("text", part.get("path")) for part in sample.messages[0]["content"]]
    assert kinds == [
        "First ", str(videos / "a.mp4"), " then ", str(videos / "b.mp4"), ", which is longer?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (record(video="none.mp4"), "none.mp4 does not exist"),
        (record("<image><image>", video="a.mp4"), "2 <image> markers for 1 videos"),
        (record("<image>", answer=" "), "empty"),
        (record(image="a.png"), "images"),
        ({"id": "x"}, "conversations"),
        ({"conversations": [{"from": "robot", "value": "Hi"}]}, "'robot'"),
        ({"conversations": [{"from": "gpt", "value": "Hi"}]}, "alternate"),
        ("text", "conversations"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_reason(videos: Path, bad, said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_sample(bad, "one", videos)
    path = videos / "data.json"
    path.write_text(json.dumps([record("Hello?"), bad]))
    (part,) = read_mixture(path, videos)
    assert len(part.samples) == 1
    (problem,) = part.problems
    assert "data.json[1]" in problem.name
    assert said in problem.reason


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mix.yaml", "datasets: [{path: x}]", "not a mixture"),
        ("mix.yaml", "datasets: [{json_path: x.json}]", "x.json does not exist"),
        ("data.json", "{", "not valid JSON"),
        ("data.json", "{}", "no list"),
    ],
)
def test_a_broken_file_is_one_error(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        read_mixture(tmp_path / name, tmp_path)


def test_an_unknown_strategy_says_what_there_is(tmp_path: Path) -> None:
    write_records(tmp_path / "data.json", 2)
    (tmp_path / "mix.yaml").write_text(
        "datasets: [{json_path: data.json, sampling_strategy: some}]"
    )
    with pytest.raises(InputError, match="first:N, end:N or random:N"):
        read_mixture(tmp_path / "mix.yaml", tmp_path)
