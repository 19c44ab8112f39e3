"""The page about a run is made of its folder, needs no network, and hides nothing."""

import json
from pathlib import Path

import pytest

from llava_video import load, read_video
from llava_video.train.recipe import load_recipe
from llava_video.train.report import write_report
from llava_video.train.run import train
from tests.train.test_run import recipe_for


@pytest.fixture(scope="module")
def run(toy_data: Path, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "<run>"
    mixture = toy_data / "with_a_gap.json"
    records = [
        {**record, "conversations": record["conversations"][:2]}
        for record in json.loads((toy_data / "toyworld_oe.json").read_text())[:3]
    ]
    mixture.write_text(json.dumps([*records, {**records[0], "id": "<gap>", "video": "none.mp4"}]))
    train(
        recipe_for(
            "projector", toy_data, small_checkpoint, out, f"mixture={mixture}", "epochs=3",
            "report_samples=2", "max_tokens=1000",
        ),
        bar=False,
    )  # fmt: skip
    return out


def test_the_page_needs_no_network_and_shows_what_there_is(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "http" not in page
    assert "<script" not in page
    assert "Training run &lt;run&gt;" in page
    assert page.count("<polyline") == 5, "loss, rate, gradient, tokens, waiting"
    assert "&lt;gap&gt; (with_a_gap.json[3])" in page
    assert "none.mp4 does not exist" in page
    described = json.loads((run / "run.json").read_text())
    for part in described["mixture"]:
        assert part["sha256"] in page
    assert described["versions"]["torch"] in page
    assert page.count("data:image/jpeg") == 2 * 3, "two samples of three frames"


def test_it_is_made_of_the_folder_alone(run: Path) -> None:
    before = (run / "report.html").read_text()
    assert write_report(run).read_text() == before
    log = run / "log.jsonl"
    log.write_text(log.read_text() + log.read_text().splitlines()[0] + "\n")  # a step again
    assert write_report(run).read_text().count("<circle") == before.count("<circle")


def test_it_can_be_made_again_when_it_failed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write_report(run).read_text()
    (run / "report.html").unlink()
    (run / "predictions.jsonl").unlink()
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 9, "lo')
    train(load_recipe(str(run / "recipe.yaml")), bar=False)
    assert (run / "report.html").read_text() == before
    said = capsys.readouterr().err
    assert "left out: 1 of 4 samples, the first: <gap> (with_a_gap.json[3]): " in said


def test_predictions_are_what_the_model_answers(run: Path, toy_data: Path) -> None:
    model, processor = load(run / "model")
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    records = json.loads((toy_data / "toyworld_oe.json").read_text())
    assert len(lines) == 2
    for line, record in zip(lines, records, strict=False):
        assert line["expected"] == record["conversations"][1]["value"]
        frames = read_video(toy_data / record["video"], num_frames=3, size=processor.image_size)
        inputs = processor(line["question"], frames)
        output = model.generate(**inputs, max_new_tokens=128, do_sample=False)
        answer = processor.decode_answer(output[0], inputs["input_ids"].shape[1])
        assert line["predicted"] == answer


def test_what_failed_is_listed_once_also_behind_half_a_line(run: Path) -> None:
    before = (run / "report.html").read_text()
    line = '{"sample": "<late>", "reason": "it broke"}\n'
    (run / "skipped.jsonl").write_text(f'{line}{{"sample": "<la\n{line}')
    page = write_report(run).read_text()
    (run / "skipped.jsonl").unlink()
    assert page.count("&lt;late&gt;") == 1
    assert "it broke" in page
    assert write_report(run).read_text() == before
