import json
from pathlib import Path

import pytest
import yaml

from llava_video.toyworld.dataset import DatasetSettings, make_dataset
from llava_video.train.data.preferences import PairDataset, PairEncoder, as_preference
from llava_video.train.data.samples import Folders
from llava_video.train.recipe import load_recipe
from tests.cli.run import Shell
from tests.model.small import small_processor


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four toyworld videos with their questions, and a mixture of them."""
    folder = tmp_path_factory.mktemp("toyworld")
    settings = DatasetSettings(seed=40, level="simple", width=64, height=64)
    list(make_dataset(folder, 4, settings))
    entries = [
        {"json_path": "toyworld_oe.json"},
        {"json_path": "toyworld_cap.json", "sampling_strategy": "first:50%"},
    ]
    (folder / "mixture.yaml").write_text(yaml.safe_dump({"datasets": entries}))
    return folder


@pytest.fixture(scope="session")
def preferences(toy_data: Path) -> Path:
    """Open questions of the toy data, each with its answer and that of another question."""
    records = json.loads((toy_data / "toyworld_oe.json").read_text())[:8]
    pairs = [
        {
            "video": record["video"],
            "prompt": record["conversations"][0]["value"],
            "chosen": record["conversations"][1]["value"],
            "rejected": f"Not {record['conversations'][1]['value']} but nothing.",
        }
        for record in records
    ]
    path = toy_data / "preferences.json"
    path.write_text(json.dumps(pairs))
    return path


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture(scope="session")
def pairs(preferences: Path) -> PairDataset:
    """The preferences as rows of one pair, for the small model."""
    folders = Folders(preferences.parent, preferences.parent)
    records = json.loads(preferences.read_text())
    samples = [as_preference(record, f"{n}", folders) for n, record in enumerate(records)]
    recipe = load_recipe("dpo", ["model=m", "mixture=x", "out=o", "num_frames=3"])
    rows = [(n,) for n in range(len(samples))]
    return PairDataset(samples, rows, PairEncoder(small_processor(), recipe))
