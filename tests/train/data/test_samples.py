"""The LLaVA format is read as the official code reads it, but nothing is dropped in silence."""

import json
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.train.data.samples import Folders, as_sample, read_mixture
from llava_video.train.plan import count_reasons, describe_left_out


def record(question: str = "<image>\nWhat?", answer: str = "A cat.", **more) -> dict:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "one", "conversations": turns, **more}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "a.png", "b.png"):
        (tmp_path / name).touch()
    return tmp_path


def in_folder(path: Path) -> Folders:
    return Folders(video=path, image=path)


def shown(sample) -> list[tuple[str, str]]:
    """Each part of the first turn: its type, and its text or the name of its file."""
    return [
        (part["type"], part.get("text") or Path(part["path"]).name)
        for part in sample.messages[0]["content"]
    ]


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
    (part,) = read_mixture(mixture, in_folder(tmp_path))
    assert [int(sample.name.split()[0]) for sample in part.samples] == expected
    assert part.num_records == 7


def test_random_records_depend_on_the_seed_alone(tmp_path: Path) -> None:
    write_records(tmp_path / "data.json", 50)
    mixture = tmp_path / "mix.yaml"
    mixture.write_text("datasets: [{json_path: data.json, sampling_strategy: 'random:10%'}]")
    draws = [
        tuple(sample.name for sample in read_mixture(mixture, in_folder(tmp_path), seed)[0].samples)
        for seed in (0, 0, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
    assert all(len(set(draw)) == 5 for draw in draws)


def test_files_of_one_length_are_drawn_from_apart(tmp_path: Path) -> None:
    """Captions and questions of a data set are about the same videos, in the same order."""
    write_records(tmp_path / "a.json", 50)
    write_records(tmp_path / "b.json", 50)
    entries = [
        {"json_path": name, "sampling_strategy": "random:10"} for name in ("a.json", "b.json")
    ]
    (tmp_path / "mix.yaml").write_text(json.dumps({"datasets": entries}))
    drawn = [
        [sample.name.split()[0] for sample in part.samples]
        for part in read_mixture(tmp_path / "mix.yaml", in_folder(tmp_path))
    ]
    assert len(drawn[0]) == len(drawn[1]) == 10
    assert drawn[0] != drawn[1]


def test_json_lines_and_parquet_hold_the_same_samples(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = write_records(tmp_path / "data.json", 3)
    write_records(tmp_path / "data.jsonl", 3)
    table = pa.Table.from_pylist(json.loads(path.read_text()))
    parquet.write_table(table, tmp_path / "data.parquet")
    found = [
        [
            s.messages
            for s in read_mixture(tmp_path / f"data{suffix}", in_folder(tmp_path))[0].samples
        ]
        for suffix in (".json", ".jsonl", ".parquet")
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 3


@pytest.mark.parametrize("question", ["<image>\nWhat?", "What?\n<image>", "What?"])
@pytest.mark.parametrize(("kind", "file"), [("video", "a.mp4"), ("image", "a.png")])
def test_what_is_alone_stands_in_front(files: Path, question: str, kind: str, file: str) -> None:
    for named in (file, [file]):
        sample = as_sample(record(question, **{kind: named}), "one", in_folder(files))
        assert shown(sample) == [(kind, file), ("text", "What?")]


def test_several_stand_where_their_markers_are(files: Path) -> None:
    text = "First <image> then <image>, which is longer?"
    for kind, names in (("video", ["a.mp4", "b.mp4"]), ("image", ["b.png", "a.png"])):
        sample = as_sample(record(text, **{kind: names}), "one", in_folder(files))
        assert shown(sample) == [
            ("text", "First "), (kind, names[0]), ("text", " then "), (kind, names[1]),
            ("text", ", which is longer?"),
        ]  # fmt: skip


def test_images_beside_videos_have_markers_of_their_own(files: Path) -> None:
    text = "Is <image> in <video> or in <video>?"
    both = record(text, video=["a.mp4", "b.mp4"], image="a.png")
    sample = as_sample(both, "one", in_folder(files))
    assert shown(sample)[1::2] == [("image", "a.png"), ("video", "a.mp4"), ("video", "b.mp4")]


def test_markers_may_stand_in_later_turns(files: Path) -> None:
    turns = record("Hello?")["conversations"]
    turns += record("<image>\nAnd here?")["conversations"]
    talk = {"conversations": turns, "image": ["a.png"]}
    sample = as_sample(talk, "one", in_folder(files))
    assert sample.messages[0]["content"] == "Hello?"
    assert [part["type"] for part in sample.messages[2]["content"]] == ["image", "text"]
    assert [medium.kind for medium in sample.media] == ["image"]


def test_videos_and_images_have_folders_of_their_own(files: Path) -> None:
    folders = Folders(video=files / "nowhere", image=files)
    assert as_sample(record(image="a.png"), "one", folders).media[0].source == str(files / "a.png")
    with pytest.raises(InputError, match=r"nowhere/a\.mp4 does not exist; check video_folder"):
        as_sample(record(video="a.mp4"), "one", folders)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (record(video="none.mp4"), "none.mp4 does not exist"),
        (record("<image><image>", video="a.mp4"), "2 <image> markers for 1 videos"),
        (record("<image>", answer=" "), "empty"),
        (record(image="none.png"), "none.png does not exist; check image_folder"),
        (record("<image>", image=["a.png", "b.png"]), "1 <image> markers for 2 images"),
        (record("<image>", image="a.png", video="a.mp4"), "0 <video> markers for 1 videos"),
        (record("<image>"), "1 <image> markers for 0 images"),
        (record(video={"path": "a.mp4"}), "'video' is neither"),
        (record(video="https://host/a.mp4"), "a.mp4 is an address; download it"),
        (record(video="."), "'.' is no name of a file"),
        (record(image="/9j/" + "A" * 9000), "is no name of a file"),
        (record(image="x" * 300), "is no name of a file"),
        (record(video="a\0.mp4"), "is no name of a file"),
        (record(video="a/" * 3000 + "a.mp4"), "does not exist"),
        ({"id": "x"}, "conversations"),
        ({"conversations": [{"from": "robot", "value": "Hi"}]}, "'robot'"),
        ({"conversations": [{"from": "gpt", "value": "Hi"}]}, "alternate"),
        ("text", "conversations"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_reason(files: Path, bad, said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_sample(bad, "one", in_folder(files))
    path = files / "data.json"
    path.write_text(json.dumps([record("Hello?"), bad]))
    (part,) = read_mixture(path, in_folder(files))
    assert len(part.samples) == 1
    (problem,) = part.problems
    assert "data.json[1]" in problem.name
    assert said in problem.reason


@pytest.mark.parametrize(
    "bad", [record("What? \ud83d"), record("Hi", "It \ud83d."), record("<image>", image="\ud83d")]
)
def test_half_a_character_costs_one_sample(files: Path, bad: dict) -> None:
    with pytest.raises(InputError, match="lone surrogate"):
        as_sample(bad, "name", in_folder(files))


def test_a_key_that_is_there_twice_is_a_problem(tmp_path: Path) -> None:
    lines = [
        '{"id": "a", "id": "b", "conversations": []}',
        '{"conversations": [{"from": "human", "value": "What?", "value": "Who?"}]}',
        json.dumps(record("Hello?")),
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (part,) = read_mixture(tmp_path / "data.jsonl", in_folder(tmp_path))
    assert len(part.samples) == 1
    assert ["'id' twice" in p.reason or "'value' twice" in p.reason for p in part.problems] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mix.yaml", "datasets: [{path: x}]", "not a mixture"),
        ("mix.yaml", "datasets: [{json_path: x.json}]", "x.json does not exist"),
        ("mix.yaml", "datasets: [{json_path: 3}]", "entry 1 has no 'json_path'"),
        ("mix.yaml", f"datasets: [{{json_path: {'x' * 300}.json}}]", "does not exist"),
        ("mix.yaml", "datasets: []", "not a mixture"),
        ("mix.yaml", "[]", "not a mixture"),
        ("mix.yaml", "datasets: [{json_path: x, sampling_stategy: all}]", "'sampling_strategy'"),
        ("mix.yaml", "datasets: [{json_path: x, weight: 2}]", "entry 1: the key 'weight' is unkno"),
        ("mix.yaml", "datasets: [{json_path: x, sampling_strategy: }]", "is no text"),
        ("mix.yaml", "datasets: [{json_path: x, sampling_strategy: {first: 1}}]", "is no text"),
        ("mix.yaml", "datasets: [{json_path: x, json_path: y}]", "a key is there twice"),
        ("mix.yaml", "datasets: [{json_path: x}]\nfolder: y", "the key 'folder' is unknown"),
        ("mix.yaml", "datasets: [", "not valid YAML"),
        ("data.json", "{", "not valid JSON"),
        ("data.json", "{}", "no list"),
        ("data.txt", "[]", "ends in"),
        ("mix.yaml", "datasets: [{json_path: 'x-*.json'}]", "no file is called"),
        ("data.tar", "no tar", "cannot be read as a tar"),
        ("data.parquet", "no parquet", "not valid Parquet"),
    ],
)
def test_a_broken_file_is_one_error(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        read_mixture(tmp_path / name, in_folder(tmp_path))


def test_an_unknown_strategy_says_what_there_is(tmp_path: Path) -> None:
    write_records(tmp_path / "data.json", 2)
    (tmp_path / "mix.yaml").write_text(
        "datasets: [{json_path: data.json, sampling_strategy: some}]"
    )
    with pytest.raises(InputError, match="first:N, end:N or random:N"):
        read_mixture(tmp_path / "mix.yaml", in_folder(tmp_path))


def test_what_is_worth_a_word_is_counted(tmp_path: Path) -> None:
    records = [record("Hello?"), record("Hello?", duration=3.0), record("Hi?", duration=4.0)]
    (tmp_path / "data.json").write_text(json.dumps(records))
    (part,) = read_mixture(tmp_path / "data.json", in_folder(tmp_path))
    assert len(part.samples) == 3
    assert part.notes == (
        "data.json: the key 'duration' of 2 samples is not read",
        "data.json: 1 samples repeat earlier ones word for word",
    )
    for empty in ("[]", ""):
        (tmp_path / "data.json").write_text(empty)
        (part,) = read_mixture(tmp_path / "data.json", in_folder(tmp_path))
        assert part.notes == ("data.json holds no samples",)


def test_reasons_are_counted_once_whatever_the_files_are(tmp_path: Path) -> None:
    records = [record(video=f"my clip {number}.mp4") for number in range(3)]
    records += [record("<video>?"), record("<video><video>?"), record(video="")]
    (tmp_path / "data.json").write_text(json.dumps(records))
    (part,) = read_mixture(tmp_path / "data.json", in_folder(tmp_path))
    counted = count_reasons(part.problems)
    assert [num for _, num in counted] == [3, 2, 1]
    assert counted[0][0] is part.problems[0]
    lines = describe_left_out(part.problems, 4)
    assert lines[0].startswith("left out: 3 of 10 samples, the first: one (data.json[0]): its vid")
