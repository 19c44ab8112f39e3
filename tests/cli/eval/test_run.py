"""``eval`` and its verbs from the command line, with tiny on toyworld."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.run import Shell

VERBS = ([], ["run"], ["doctor"], ["rescore"], ["compare"], ["tables"])


@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(words) or "eval")
def test_help_imports_neither_torch_nor_inspect(words: list[str]) -> None:
    code = (
        "import sys\nfrom llava_video.cli.app import app\n"
        f"sys.argv = ['llava-video', 'eval', *{words}, '--help']\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(sorted({'torch', 'inspect_ai', 'transformers'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of tiny on six videos, and one without them."""
    from llava_video.evaluate.report import write_report
    from llava_video.evaluate.run import Settings, evaluate

    folder = tmp_path_factory.mktemp("eval")
    for name, baseline in (("video", "none"), ("blind", "no-video")):
        settings = Settings(num_videos=6, level="simple", device="cpu", baseline=baseline)
        made = folder / "video/toyworld-made/questions.jsonl"
        evaluate(["toyworld"], folder / name, settings, annotations=made if made.exists() else None)
        write_report(folder / name)
    return folder


def results_of(folder: Path) -> dict:
    return json.loads((folder / "toyworld/results.json").read_text())


def test_tiny_is_right_about_simple_videos_and_not_without_them(run: Path) -> None:
    with_video, without = results_of(run / "video"), results_of(run / "blind")
    assert with_video["headline"] > 0.8
    assert without["headline"] < 0.5
    assert with_video["representations"] == ["12,64,3,2 average"]
    assert with_video["video_tokens"] == [96, 96]


def test_the_report_needs_no_other_file(run: Path) -> None:
    page = (run / "video/report.html").read_text()
    assert "by type of question" in page
    assert "right and chosen letters" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_compare_prints_the_paired_difference_and_writes_a_page(shell: Shell, run: Path) -> None:
    out = shell("eval", "compare", run / "blind", run / "video", "--json").out
    [found] = json.loads(out)
    paired = found["paired"]
    first, second = (results_of(run / name)["headline"] for name in ("blind", "video"))
    assert paired["difference"]["mean"] == pytest.approx(second - first)
    assert paired["num_better"] > paired["num_worse"]
    page = (run / "video/compare.html").read_text()
    assert "data:image/jpeg;base64," in page


def test_rescore_uses_another_rule_without_the_model(shell: Shell, run: Path) -> None:
    before = results_of(run / "video")
    message = shell("eval", "rescore", run / "video", "--extraction", "lmms-eval").err
    assert "lmms-eval has no toyworld" in message
    out = shell("eval", "rescore", run / "video", "--failures", "wrong", "--json").out
    assert json.loads(out)["toyworld"]["scores"]["failures"] == "wrong"
    assert json.loads(out)["toyworld"]["headline"] == before["headline"]


def test_a_run_is_a_table_row(shell: Shell, run: Path, tmp_path: Path) -> None:
    made = run / "video/toyworld-made/questions.jsonl"
    changes = [f"annotations={made}", "limit=6", "device=cpu", f"out={tmp_path}/t"]
    shell("eval", "tables", "tiny-table5", *changes)
    rows = (tmp_path / "t/table.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:5]] == [
        "simple", "LLaVA-Video SlowFast", "LITA", "SlowFast-LLaVA",
    ]  # fmt: skip
    assert "Power" in (tmp_path / "t/table.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nextqa", "--out", "o"], "nextqa: give --annotations FILE"),
        (["netqa", "--out", "o"], "there is no task 'netqa'; did you mean 'nextqa'?"),
        (["toyworld", "--out", "o", "--baseline", "blind"], "there is no baseline 'blind'"),
        (["toyworld", "--out", "o", "--prompts", "vlmevalkit"], "toyworld has no prompts"),
        (["toyworld", "--out", "o", "--failures", "zero"], "use excluded or wrong"),
        (["toyworld", "mlvu", "--out", "o", "--annotations", "f"], "--annotations is of one task"),
        (["rescore", "nowhere"], "no finished task in it"),
        (["compare", "nowhere", "nowhere"], "no finished task in it"),
        (["tables", "table6", "out=o"], "table6"),
    ],
)
def test_bad_input_is_one_line(
    shell: Shell, words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = shell("eval", *words)
    assert found.code == 2
    assert message in found.err
    assert len(found.err.strip().splitlines()) == 1


def test_a_model_without_video_is_one_line(shell: Shell, run: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    (tmp_path / "model/config.json").write_text('{"model_type": "qwen2"}')
    made = run / "video/toyworld-made/questions.jsonl"
    found = shell(
        "eval", "toyworld", "--annotations", made, "--model", tmp_path / "model", "--limit", "2",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert found.code == 2
    assert "qwen2" in found.err
    assert len(found.err.strip().splitlines()) == 1
