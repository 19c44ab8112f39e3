"""The example that puts the questions of a run to a model by lmms-eval."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from llava_video.evaluate.run import Settings, evaluate
from tests.evaluate.runs import scripted, write_questions

EXAMPLE = Path(__file__).parents[2] / "examples" / "lmms_eval"


@pytest.fixture
def rows() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rows", EXAMPLE / "rows.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_prompts_about_the_same_files_and_what_differs(
    tmp_path: Path,
    rows: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write_questions(tmp_path, num_videos=2, per_video=2)
    monkeypatch.chdir(tmp_path)
    model, script = scripted(lambda prompt: "A." if "v0" in prompt else "B.")
    evaluate(["own"], Path("out"), Settings(), annotations=Path(file.name), model=model)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rows.prepare(tmp_path / "out/own")
    assert capsys.readouterr().out == "rows.json: 4 questions about 2 videos\n"
    found = json.loads(Path("rows.json").read_text())
    sent = [conversation[0]["content"][1]["text"] for conversation, _ in script.asked]
    assert sorted(rows.text(row) for row in found) == sorted(sent)
    assert all(Path(path).is_file() for row in found for path in rows.visual(row))
    assert [rows.results(row, [f"{row['target']}."]) for row in found] == [{"accuracy": 1.0}] * 4
    # As lmms-eval writes them: without the id.
    answers = ["A." if "v0" in row["id"] else "C." for row in found]
    samples = [{"doc_id": n, "filtered_resps": [said]} for n, said in enumerate(answers)]
    path = Path("lm/tiny/20260101_000000_samples_llava_video_rows.jsonl")
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    rows.compare(tmp_path / "out/own", Path("lm"))
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "2 of 4 answers are the same"
    assert sorted(others) == [f"v1-{n}: 'B.', in lmms-eval 'C.'" for n in range(2)]


def test_the_task_names_functions_that_are_there(rows: ModuleType) -> None:
    class Functions(yaml.SafeLoader):
        pass

    Functions.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    task = yaml.load((EXAMPLE / "llava_video_rows.yaml").read_text(), Functions)
    assert task["task"] == "llava_video_rows"
    for name in ("doc_to_visual", "doc_to_text", "process_results"):
        module, _, function = task[name].partition(".")
        assert module == "rows"
        assert callable(getattr(rows, function))
