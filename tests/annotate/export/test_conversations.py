"""The released format, read back the way LLaVA's own trainer reads it."""

import dataclasses
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from llava_video.annotate.run import export_run
from llava_video.annotate.run_folder import load_run
from llava_video.calls.ledger import open_ledger
from llava_video.errors import InputError
from llava_video.records.options import LETTER_ENDING, OPTION_ENDING


def load_like_the_trainer(json_path: Path, video_folder: Path):
    """What the official lazy dataset does with a record before it decodes the video."""
    for source in json.loads(json_path.read_text()):
        video = video_folder / source["video"]
        assert video.is_file(), video
        turns = source["conversations"]
        assert "<image>" in turns[0]["value"]
        assert sum("<image>" in turn["value"] for turn in turns) == 1
        roles = {"human": "user", "gpt": "assistant"}
        conversation = [(roles[turn["from"]], turn["value"]) for turn in turns]
        if conversation[0][0] != "user":
            conversation = conversation[1:]
        assert [role for role, _ in conversation] == ["user", "assistant"] * (len(turns) // 2)
        yield source["id"], conversation


def test_files_are_named_by_duration_kind_and_version(finished):
    names = sorted(p.relative_to(finished).as_posix() for p in finished.rglob("*_processed.json"))
    assert names == [
        f"dataset/{bucket}_files_v0_1/{bucket}_files_{kind}_processed.json"
        for bucket in ("0_30_s", "30_60_s")
        for kind in ("mc_v0_1_qa", "oe_v0_1_qa", "v0_1_cap")  # as in the release
    ]


def test_the_trainer_reads_every_record(finished, videos):
    read = Counter()
    for path in finished.rglob("*_processed.json"):
        for video_id, conversation in load_like_the_trainer(path, videos):
            read[video_id] += len(conversation) // 2
            assert conversation[0][1].startswith("<image>\n")
    assert read == {"v0": 33, "v1": 33, "v2": 33}  # one description and 16 + 16 questions


def test_records_have_exactly_the_released_keys(finished):
    [path] = (finished / "dataset" / "30_60_s_files_v0_1").glob("*_mc_*")
    [record] = json.loads(path.read_text())
    assert list(record) == ["id", "conversations", "data_source", "video"]
    assert record["data_source"] == "30_60_s_files_v0_1"
    assert record["video"] == "v2.mp4"
    assert list(record["conversations"][0]) == ["from", "value"]


def test_multiple_choice_turns_end_in_one_of_two_ways_with_the_fitting_answer(finished):
    endings = Counter()
    letters = Counter()
    for path in finished.rglob("*_mc_*_processed.json"):
        for record in json.loads(path.read_text()):
            turns = record["conversations"]
            for question, answer in zip(turns[::2], turns[1::2], strict=True):
                lines = question["value"].removeprefix("<image>\n").split("\n")
                options = dict(line.split(". ", 1) for line in lines[1:5])
                letter = answer["value"][0]
                letters[letter] += 1
                endings[lines[5]] += 1
                if lines[5] == LETTER_ENDING:
                    assert answer["value"] == f"{letter}."
                else:
                    assert options[letter].endswith(".")
                    assert answer["value"] == f"{letter}. {options[letter]}"
    assert set(endings) == {LETTER_ENDING, OPTION_ENDING}
    assert letters == {"A": 12, "B": 12, "C": 12, "D": 12}


def exported(finished, format_name, folder):
    return export_run(load_run(finished), format_name, folder, open_ledger(finished))


def test_all_formats_hold_the_same_conversations(finished, tmp_path):
    from pyarrow import parquet

    exported(finished, "jsonl", tmp_path / "jsonl")
    exported(finished, "parquet", tmp_path / "parquet")
    for split in ("caption", "open_ended", "multi_choice"):
        lines = (tmp_path / "jsonl" / f"{split}.jsonl").read_text().splitlines()
        rows = parquet.read_table(tmp_path / "parquet" / f"{split}.parquet").to_pylist()
        assert rows == [json.loads(line) for line in lines]
        assert len(rows) == 3


def test_an_export_clears_the_runs_own_folder_and_no_other(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    other = tmp_path / "other"
    olds = [root / "0_30_s_x" / "0_30_s_x_oe_processed.json" for root in (run / "dataset", other)]
    for old in olds:
        old.parent.mkdir(parents=True)
        old.write_text("[]")
    before = {path for path in (run / "dataset").rglob("*") if path.is_file()} - {olds[0]}
    exported(run, "llava", None)
    exported(run, "llava", other)
    assert {path for path in (run / "dataset").rglob("*") if path.is_file()} == before
    assert olds[1].is_file()


def test_webdataset_shards_hold_video_and_texts_and_are_reproducible(finished, videos, tmp_path):
    [path, _] = exported(finished, "webdataset", tmp_path / "one")
    again, _ = exported(finished, "webdataset", tmp_path / "two")
    assert path.read_bytes() == again.read_bytes()
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert names[:2] == ["000000000.mp4", "000000000.json"]
        assert tar.extractfile(names[0]).read() == (videos / "v0.mp4").read_bytes()
        record = json.load(tar.extractfile(names[1]))
    assert set(record) == {"id", "data_source", "video", "caption", "open_ended", "multi_choice"}


def test_webdataset_reads_its_shards(finished, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    [path, _] = exported(finished, "webdataset", tmp_path)
    rows = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [json.loads(row["json"])["id"] for row in rows] == ["v0", "v1", "v2"]


def test_hugging_face_loads_its_folder(finished, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    exported(finished, "hf", tmp_path / "hf")
    loaded = datasets.load_dataset(
        str(tmp_path / "hf"), "open_ended", split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["id"] == ["v0", "v1", "v2"]
    assert loaded[0]["conversations"][0]["value"].startswith("<image>\n")


def test_the_card_counts_what_is_there(finished):
    card = (finished / "dataset" / "README.md").read_text()
    assert "| videos | 3 of 3 |" in card
    assert "| right letters | A: 12, B: 12, C: 12, D: 12 |" in card
    assert "| Speed | 6 | 6.2 % | 3.6 % |" in card
    assert "| LLaVA-Video-178K | GPT-4o | 178K | 2Khr | 1 | 178K | 960K | 196K |" in card
    assert "| **this dataset** | gpt-4o | 3 | 0.9min | 1.00 | 3 | 48 | 48 |" in card
    assert (finished / "dataset" / "example" / "frame_0.jpg").is_file()


def test_formats_and_roots_that_do_not_fit_are_errors(finished, tmp_path):
    with pytest.raises(InputError, match="llava, jsonl, parquet, webdataset, hf"):
        exported(finished, "csv", tmp_path)
    with pytest.raises(InputError, match="give --video-root a folder"):
        export_run(load_run(finished), "llava", tmp_path, open_ledger(finished), root=tmp_path)


def test_a_dataset_outlives_its_videos_but_for_formats_that_hold_them(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    run = load_run(tmp_path / "run")
    gone = [dataclasses.replace(r, path=str(run.root / "gone" / f"{r.video_id}.mp4"))
            for r in run.records]  # fmt: skip
    run = dataclasses.replace(run, records=tuple(gone))
    ledger = open_ledger(tmp_path / "run")
    *_, card = export_run(run, "jsonl", tmp_path / "out", ledger)
    assert "Its frames cannot be shown: v0.mp4: no such file" in card.read_text()
    with pytest.raises(InputError, match=r"gone/v0.mp4: cannot be read .*choose another --format"):
        export_run(run, "webdataset", tmp_path / "tar", ledger)
