"""A whole evaluation: scores, failures, baselines, resuming, and what is refused beforehand."""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from llava_video.errors import InputError, VideoError
from llava_video.evaluate.compare import compare
from llava_video.evaluate.report import write_report
from llava_video.evaluate.rescore import rescore
from llava_video.evaluate.run import Settings, evaluate
from llava_video.evaluate.scoring.outcomes import read_outcomes
from llava_video.records.json_lines import append_line, read_lines
from tests.evaluate.runs import scripted, text_of, video_of, write_questions
from tests.forked import fork


def right_about_q0(prompt: str) -> str:
    return "A" if " q0?" in prompt else "I would say cat."


def test_scores_and_what_they_depend_on(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    model, script = scripted(right_about_q0)
    results = evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)["own"]
    assert results["headline"] == pytest.approx(1 / 3)
    assert results["scores"]["num_questions"] == 12
    assert results["scores"]["overall"]["num_clusters"] == 4
    assert results["prompts"] == "official"
    [environment] = results["environments"]
    assert environment["versions"]["inspect-ai"]
    assert environment["hardware"]["cpu"]
    assert results["settings"]["extraction"] == "llava-video"
    assert json.loads((tmp_path / "out/own/results.json").read_text()) == results
    outcomes = read_outcomes(tmp_path / "out/own")
    assert {o.text for o in outcomes if o.value} == {"A"}
    assert len(script.asked) == 12


def test_questions_of_a_video_are_answered_in_one_call(tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=5, per_video=3)
    model, script = scripted(right_about_q0)
    calls = []
    answer = script.answer
    script.answer = lambda rows, options: calls.append(rows) or answer(rows, options)
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    videos = [[Path(str(video_of(row))).name for row in rows] for rows in calls]
    assert videos == [[f"v{n}.mp4"] * 3 for n in range(5)]


def test_our_scores_are_those_of_inspect(tmp_path: Path) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log

    file = write_questions(tmp_path)
    model, _ = scripted(lambda prompt: "ABC"[len(prompt) % 2] if "v1" in prompt else "B")
    results = evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)["own"]
    [log] = list_eval_logs(str(tmp_path / "out/logs"))
    [score] = read_eval_log(log).results.scores
    theirs = {name: metric.value for name, metric in score.metrics.items()}
    assert theirs["mean"] == results["scores"]["overall"]["mean"]
    assert theirs["stderr"] == pytest.approx(results["scores"]["overall"]["stderr"], rel=1e-12)


def test_the_log_holds_no_video(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    model, _ = scripted(right_about_q0)
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    [log] = (tmp_path / "out/logs").glob("*.eval")
    assert log.stat().st_size < 12 * 4000


def test_a_failure_is_a_value_and_never_an_answer(tmp_path: Path) -> None:
    file = write_questions(tmp_path)

    def answer(prompt: str) -> str:
        if "v1" in prompt:
            raise VideoError("A.mp4: C cannot be decoded")
        return "A"

    model, _ = scripted(answer)
    settings = Settings(failures="excluded")
    results = evaluate(["own"], tmp_path / "out", settings, annotations=file, model=model)["own"]
    assert results["scores"]["num_failed"] == {"video": 3}
    assert results["scores"]["overall"]["num_values"] == 9
    assert results["headline"] == pytest.approx(3 / 9)
    failed = [o for o in read_outcomes(tmp_path / "out/own") if o.failure]
    assert {(o.text, o.said, o.value) for o in failed} == {("", None, None)}
    settings = Settings(failures="wrong")
    results = evaluate(["own"], tmp_path / "out", settings, annotations=file, model=model)["own"]
    assert results["headline"] == pytest.approx(3 / 12)


def test_only_what_cannot_be_answered_fails(tmp_path: Path) -> None:
    file = write_questions(tmp_path)

    def answer(prompt: str) -> str:
        if "v1 q1" in prompt:
            raise InputError("too long")
        return "A"

    model, _ = scripted(answer)
    results = evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)["own"]
    assert results["scores"]["num_failed"] == {"model": 1}
    assert results["scores"]["overall"]["num_values"] == 11


def test_an_error_of_the_program_is_a_failure_that_is_reported(tmp_path: Path) -> None:
    file = write_questions(tmp_path)

    def answer(prompt: str) -> str:
        if "v1" in prompt:
            raise RuntimeError("out of memory")
        return "A"

    model, _ = scripted(answer)
    results = evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)["own"]
    assert results["scores"]["num_failed"] == {"model": 3}
    failed = [o for o in read_outcomes(tmp_path / "out/own") if o.failure]
    assert "out of memory" in failed[0].failure


def test_missing_videos_stop_a_run_or_are_counted(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    (tmp_path / "v2.mp4").unlink()
    model, script = scripted(right_about_q0)
    with pytest.raises(InputError, match=r"1 videos of own cannot be shown, the first: v2\.mp4"):
        evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    assert script.asked == []
    settings = Settings(allow_missing=True)
    results = evaluate(["own"], tmp_path / "out", settings, annotations=file, model=model)["own"]
    assert results["scores"]["num_failed"] == {"video": 3}
    assert len(script.asked) == 9


@pytest.mark.parametrize(
    ("baseline", "seen"),
    [("none", "v0.mp4"), ("other-video", "v1.mp4"), ("no-video", None)],
)
def test_baselines_change_what_is_shown(tmp_path: Path, baseline: str, seen: str | None) -> None:
    file = write_questions(tmp_path)
    model, script = scripted(right_about_q0)
    settings = Settings(baseline=baseline)
    evaluate(["own"], tmp_path / "out", settings, annotations=file, model=model)
    videos = {
        video and Path(str(video)).name
        for video in (video_of(c) for c, _ in script.asked if "v0" in text_of(c))
    }
    assert videos == {seen}


def test_first_frame_asks_for_one_frame(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    model, script = scripted(right_about_q0, shown="first-frame")
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    assert {options.sampling.num_frames for _, options in script.asked} == {1}


def test_always_a_needs_no_model(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    settings = Settings(baseline="always-a")
    results = evaluate(["own"], tmp_path / "out", settings, annotations=file)["own"]
    assert results["headline"] == pytest.approx(1 / 3)


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    model, _ = scripted(right_about_q0)
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    with pytest.raises(InputError, match="a run with another limit"):
        evaluate(["own"], tmp_path / "out", Settings(limit=2), annotations=file, model=model)
    (tmp_path / "out/run.json").write_text("{")
    with pytest.raises(InputError, match="cut off"):
        evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    model, _ = scripted(right_about_q0)
    first = evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    model, script = scripted(right_about_q0)
    second = evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    assert script.asked == []
    assert second["own"]["scores"] == first["own"]["scores"]


def test_outcomes_that_are_cut_off_are_not_scored_as_if_they_were_all(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    model, _ = scripted(right_about_q0)
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    path = tmp_path / "out/own/outcomes.jsonl"
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    for reads in (rescore, write_report, lambda run: compare(run, run)):
        with pytest.raises(InputError, match=r"\d outcomes of 12 questions; run .* again"):
            reads(tmp_path / "out")


def test_a_changed_video_is_asked_about_again(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    model, _ = scripted(right_about_q0)
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    with (tmp_path / "v1.mp4").open("ab") as video:
        video.write(b"\0" * 8)
    model, script = scripted(right_about_q0)
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    assert {Path(str(video_of(c))).name for c, _ in script.asked} == {"v1.mp4"}


def test_what_failed_is_asked_again(tmp_path: Path) -> None:
    file = write_questions(tmp_path)
    is_broken = True

    def answer(prompt: str) -> str:
        if is_broken and "v1" in prompt:
            raise VideoError("disk gone")
        return "A"

    model, script = scripted(answer)
    evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)
    is_broken, num_asked = False, len(script.asked)
    results = evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)["own"]
    assert results["scores"]["num_failed"] == {}
    assert {text_of(c).split()[0] for c, _ in script.asked[num_asked:]} == {"v1"}


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_questions(tmp_path)
    (tmp_path / "out/answers").mkdir(parents=True)
    (tmp_path / "out/answers/own.jsonl").symlink_to("/dev/full")
    model, _ = scripted(right_about_q0)
    with pytest.raises(InputError, match="No space left on device"):
        evaluate(["own"], tmp_path / "out", Settings(), annotations=file, model=model)


def _run_until_killed(folder: Path, seconds_per_batch: float) -> None:
    def answer(prompt: str) -> str:
        append_line(folder / "asked.jsonl", {"prompt": prompt})
        time.sleep(seconds_per_batch)
        return "ABC"[sum(map(ord, prompt)) % 3]

    model, _ = scripted(answer)
    evaluate(
        ["own"], folder / "out", Settings(), annotations=folder / "questions.json", model=model
    )


def test_killed_at_random_moments_and_run_again_it_is_the_same(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        write_questions(folder, num_videos=8)
    _run_until_killed(whole, 0.0)
    rng = random.Random(os.urandom(8))
    num_kills = 0
    while num_kills < 3:
        process = fork(_run_until_killed, killed, 0.05)
        before = len(read_lines(killed / "asked.jsonl"))
        while process.is_alive() and len(read_lines(killed / "asked.jsonl")) <= before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        if process.is_alive():
            process.kill()
            num_kills += 1
        process.join()
        if process.exitcode == 0:
            break
    _run_until_killed(killed, 0.0)
    results = [json.loads((f / "out/own/results.json").read_text()) for f in (whole, killed)]
    assert results[0]["scores"] == results[1]["scores"]
    said = [[(o.id, o.text) for o in read_outcomes(f / "out/own")] for f in (whole, killed)]
    assert said[0] == said[1]
    kept = Counter(
        key for line in read_lines(killed / "out/answers/own.jsonl") for key in line["answers"]
    )
    assert len(kept) == 24
    assert set(kept.values()) == {1}
    asked = Counter(line["prompt"] for line in read_lines(killed / "asked.jsonl"))
    # Only the batch that was being answered when the process was killed is asked again.
    assert sum(asked.values()) - 24 <= 3 * num_kills
