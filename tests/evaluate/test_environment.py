"""What a run was computed with, over several sittings."""

import json
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.environment import environment
from llava_video.evaluate.run import Settings, evaluate
from tests.evaluate.runs import write_questions


class Computed:
    precision = "int8"
    device = "cpu"


def test_an_environment_says_how_and_on_what_answers_are_computed() -> None:
    found = environment(Computed())
    assert found["computed"] == {
        "device": "cpu", "precision": "int8", "quantization": "int8 weights"
    }  # fmt: skip
    assert {"system", "cpu", "cores"} <= set(found["hardware"])
    assert {"python", "llava-video", "torch"} <= set(found["versions"])
    assert environment(None)["computed"] == {}


def test_a_run_keeps_the_dtype_that_it_began_with(tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=2, per_video=1)
    out = tmp_path / "out"
    results = evaluate(["own"], out, Settings(device="cpu", limit=2), annotations=file)["own"]
    [first] = results["environments"]
    assert first["computed"]["precision"] == "float32"
    noted = json.loads((out / "run.json").read_text())
    noted["environments"][0]["computed"]["precision"] = "bfloat16"
    noted["environments"][0]["hardware"]["cpu"] = "another"
    (out / "run.json").write_text(json.dumps(noted))
    results = evaluate(["own"], out, Settings(device="cpu", limit=2), annotations=file)["own"]
    assert [each["computed"]["precision"] for each in results["environments"]] == ["bfloat16"] * 2
    assert results["environments"][0]["hardware"]["cpu"] == "another"


def test_another_dtype_is_another_run(tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=1, per_video=1)
    evaluate(["own"], tmp_path / "out", Settings(device="cpu"), annotations=file)
    with pytest.raises(InputError, match="a run with another dtype"):
        settings = Settings(device="cpu", dtype="bfloat16")
        evaluate(["own"], tmp_path / "out", settings, annotations=file)
