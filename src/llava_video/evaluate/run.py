"""An evaluation: tasks by a model into a folder, resumed where it was stopped.

OUT/run.json              settings, and the versions and machines that it ran with
OUT/answers/TASK.jsonl    answers, as they come; a run that resumes asks none of these again
OUT/logs/                 inspect_ai's logs, for ``inspect view``
OUT/TASK/outcomes.jsonl   every question with its answer and verdict
OUT/TASK/results.json     scores and what they depend on
OUT/report.html           all of it
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llava_video.errors import InputError
from llava_video.evaluate.asked import Asked, Baseline, ask_all
from llava_video.evaluate.environment import environment, noted
from llava_video.evaluate.extraction import OWN, find_extractor
from llava_video.evaluate.scoring.outcomes import Outcome, write_outcomes
from llava_video.evaluate.scoring.results import write_results
from llava_video.evaluate.scoring.scores import Failures
from llava_video.evaluate.scoring.submission import known_ids, write_submission
from llava_video.evaluate.scoring.wordnet import WordNet
from llava_video.evaluate.source import load_questions
from llava_video.evaluate.tasks import find_benchmark
from llava_video.evaluate.tasks.benchmark import JUDGED, Benchmark
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_json

if TYPE_CHECKING:
    from inspect_ai.model import Model

    from llava_video.chat.protocol import ChatModel

RUN_FILE = "run.json"
_FREE = ("failures", "extraction", "allow_missing", "wordnet")
"""Settings that may change between two sittings: scores are made anew from the answers."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge.

    Attributes:
        model: as the endpoint knows it, or ``inspect:`` and a model of inspect_ai.
        base_url: of the endpoint; OpenAI's by default.
        max_usd: what all calls together may cost.
    """

    model: str
    base_url: str | None = None
    max_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the answers and scores of a run depend on.

    Attributes:
        model: ``tiny``, a directory, a hub name, ``http://HOST/v1#MODEL``, or ``inspect:`` and a
            model of inspect_ai.
        device: where a checkpoint runs.
        engine: what runs it: ``own`` or ``vllm``.
        dtype: that a checkpoint is computed in; None for its own, or the faster one on a CPU.
        quantize: ``int8``, or None.
        representation: V, or the name of one; None for the model's own.
        num_frames: of each video; None for T.
        prompts: preset; None for each benchmark's default.
        extraction: extractor.
        limit: questions of each task.
        baseline: what is changed to see whether the model looks.
        failures: what failed questions count.
        allow_missing: whether to run without the videos that are missing.
        videos_as: how an endpoint gets videos: ``data_url``, ``file_url`` or ``frames``.
        frames_as_pictures: frames of each video for models that take no video.
        num_videos: of toyworld.
        level: of toyworld.
        wordnet: folder of WordNet's files, for tasks that are scored with it; None looks where
            distributions put them.
    """

    model: str = "tiny"
    device: str = "auto"
    dtype: str | None = None
    quantize: str | None = None
    representation: str | None = None
    num_frames: int | None = None
    prompts: str | None = None
    extraction: str = OWN
    limit: int | None = None
    baseline: Baseline = "none"
    failures: Failures = "excluded"
    allow_missing: bool = False
    videos_as: str = "data_url"
    frames_as_pictures: int | None = None
    num_videos: int = 100
    level: str = "standard"
    engine: str = "own"
    wordnet: str | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    benchmark: Benchmark
    asked: Sequence[Asked]
    annotations: Path
    videos: Path
    preset: str


def evaluate(
    tasks: Sequence[str],
    out: Path,
    settings: Settings,
    *,
    annotations: Path | None = None,
    videos: Path | None = None,
    judge: Judge | None = None,
    model: Model | None = None,
    open_engine: Callable[[], ChatModel] | None = None,
    display: str = "none",
) -> dict[str, dict[str, Any]]:
    """Evaluate a model on tasks, or resume an evaluation.

    Args:
        tasks: names of benchmarks.
        out: folder of the run.
        settings: of a new run, or those of the run that is there.
        annotations: file of the one task that is not made.
        videos: their folder.
        judge: for tasks that need one.
        model: of inspect_ai, in place of the one that the settings name.
        open_engine: gives what answers where the settings name another engine than ours.
        display: of inspect_ai's progress.

    Returns:
        The results of each task.

    Raises:
        LlavaVideoError: something is missing, or does not fit; before the model is loaded, if it
            can be known then.
    """
    prepared = [_prepare(name, out, settings, annotations, videos, judge) for name in tasks]
    before = _claim(out, settings)
    model = model or _open_model(settings, _precision_of(before), open_engine)
    environments = noted(before, environment(_chat_model_of(model)))
    _note(out, settings, environments)
    start = time.perf_counter()
    logs = _run(prepared, out, settings, model, judge, display)
    seconds = time.perf_counter() - start
    results: dict[str, dict[str, Any]] = {}
    for each in prepared:
        outcomes = _outcomes(logs[each.benchmark.name], each)
        folder = out / each.benchmark.name
        _check_some_answered(each.benchmark.name, outcomes)
        write_outcomes(folder, outcomes)
        about = _about(each, settings, judge, seconds, environments)
        results[each.benchmark.name] = write_results(folder, each.benchmark, outcomes, about)
        if not each.benchmark.is_answer_public and settings.limit is None:
            write_submission(folder, outcomes, known_ids(each.annotations))
    return results


def _prepare(
    name: str,
    out: Path,
    settings: Settings,
    annotations: Path | None,
    videos: Path | None,
    judge: Judge | None,
) -> _Prepared:
    benchmark = find_benchmark(name)
    preset, _ = benchmark.prompt(settings.prompts)
    find_extractor(settings.extraction, dict(benchmark.compatible), name)
    if benchmark.open_metric == "wups":
        WordNet(Path(settings.wordnet) if settings.wordnet else None)
    if benchmark.open_metric in JUDGED and judge is None:
        raise InputError(f"{name} is scored by a judge; give --judge MODEL")
    source = load_questions(
        benchmark,
        annotations=annotations,
        videos=videos,
        limit=settings.limit,
        made_in=out / f"{name}-made",
        num_videos=settings.num_videos,
        level=settings.level,
    )
    if source.problems and not settings.allow_missing:
        raise InputError(
            f"{len(source.problems)} rows cannot be used, the first: {source.problems[0]}; mend "
            "them, or give --allow-missing to go on without them"
        )
    asked = ask_all(
        benchmark,
        source.questions,
        source.folder,
        prompts=settings.prompts,
        baseline=settings.baseline,
    )
    missing = list(dict.fromkeys(each.missing for each in asked if each.missing))
    if missing and not settings.allow_missing:
        raise InputError(
            f"{len(missing)} videos of {name} cannot be shown, the first: {missing[0]}; see "
            "`llava-video eval doctor`, or give --allow-missing to count their questions as "
            "failures"
        )
    if len(missing) == len({each.question.video for each in asked}):
        raise InputError(f"{source.folder.root}: none of the videos of {name}; give --videos DIR")
    return _Prepared(benchmark, asked, source.annotations, source.folder.root, preset)


def _claim(out: Path, settings: Settings) -> list[dict[str, Any]]:
    """Compare the settings with those noted in the folder; the environments noted there."""
    path = out / RUN_FILE
    if not path.is_file():
        return []
    try:
        noted_before = json.loads(path.read_text(encoding="utf-8"))
        before, environments = noted_before["settings"], noted_before["environments"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: cut off or not of a run; give another --out DIR") from error
    changed = [k for k, v in asdict(settings).items() if k not in _FREE and before.get(k) != v]
    if changed:
        raise InputError(
            f"{out} is a run with another {changed[0]} ({before.get(changed[0])}); give "
            "another --out DIR"
        )
    return list(environments)


def _note(out: Path, settings: Settings, environments: Sequence[dict[str, Any]]) -> None:
    run = {"settings": asdict(settings), "environments": environments}
    write_whole(out / RUN_FILE, dump_json(run, indent=2) + "\n")


def _precision_of(environments: Sequence[dict[str, Any]]) -> str | None:
    """The dtype of the first sitting, which the next ones keep: a CPU's choice may vary."""
    found = environments[0]["computed"].get("precision") if environments else None
    return None if found == "int8" else found


def _chat_model_of(model: Model) -> object:
    from llava_video.evaluate.harness.provider import LlavaVideoAPI

    return model.api.open() if isinstance(model.api, LlavaVideoAPI) else None


def _open_model(
    settings: Settings, dtype: str | None, open_engine: Callable[[], ChatModel] | None
) -> Model:
    from inspect_ai.model import get_model

    from llava_video.evaluate.harness import registry  # noqa: F401  registers the providers
    from llava_video.evaluate.harness.models import INSPECT

    if settings.baseline == "always-a":
        return get_model("mockllm/always-a")
    is_address = settings.model.startswith(("http://", "https://"))
    if is_address or settings.model.startswith(INSPECT):
        _check_remote(settings, is_address=is_address)
    if settings.model.startswith(INSPECT):
        if settings.baseline in ("first-frame", "shuffled"):
            raise InputError(f"{settings.baseline} is not offered for {INSPECT} models")
        return get_model(settings.model.removeprefix(INSPECT))
    if settings.frames_as_pictures is not None:
        raise InputError(f"--frames-as-pictures is for {INSPECT} models; others take videos")
    model = get_model(
        f"llava_video/{settings.model}",
        device=settings.device,
        dtype=settings.dtype or dtype,
        int8=settings.quantize == "int8",
        representation=settings.representation,
        num_frames=settings.num_frames,
        shown=settings.baseline if settings.baseline in ("first-frame", "shuffled") else "all",
        videos_as=settings.videos_as,
        chat_model=open_engine() if open_engine is not None else None,
        memoize=False,
    )
    cast(Any, model.api).open()  # what is wrong with it fails now, not once per question
    return model


def _check_remote(settings: Settings, *, is_address: bool) -> None:
    """Refuse what a model that runs elsewhere would not do, and a report would say that it did."""
    given = {
        "--representation": settings.representation,
        "--dtype": settings.dtype,
        "--quantize": settings.quantize,
        "--num-frames": None if is_address else settings.num_frames,
    }
    for option, value in given.items():
        if value is not None:
            raise InputError(f"{option} is of checkpoints; {settings.model} runs elsewhere")


def _run(
    prepared: Sequence[_Prepared],
    out: Path,
    settings: Settings,
    model: Model,
    judge: Judge | None,
    display: Any,
) -> dict[str, Any]:
    """The logs of the tasks, by name."""
    from inspect_ai import eval

    from llava_video.evaluate.harness.build import build_task
    from llava_video.evaluate.harness.kept_answers import KeptAnswers

    kept = [KeptAnswers(out / "answers" / f"{each.benchmark.name}.jsonl") for each in prepared]
    tasks = [
        build_task(
            each.benchmark,
            each.asked,
            extraction=settings.extraction,
            kept=answers,
            always_answer="A" if settings.baseline == "always-a" else None,
            num_pictures=settings.frames_as_pictures,
            settings=settings.baseline,
            wordnet=settings.wordnet,
        )
        for each, answers in zip(prepared, kept, strict=True)
    ]
    judging = _open_judge(judge, out) if judge is not None else None
    try:
        logs = eval(
            tasks,
            log_dir=str(out / "logs"),
            model=model,
            model_roles={"judge": judging} if judging is not None else None,
            fail_on_error=False,
            log_images=False,
            log_realtime=False,
            max_tasks=1,
            ctl_server=False,
            display=display,
            score_display=False,
            log_level="error",
        )
    finally:
        if judging is not None:
            judging.api.close()
    for source in (*kept, *([judging.api] if judging is not None else [])):
        error = getattr(source, "error", None)
        if error is not None:
            raise error
    for log in logs:
        if log.status != "success":
            reason = log.error.message if log.error else log.status
            raise InputError(f"{log.location}: ended as {reason}; run again to resume")
    return {log.eval.task.rpartition("/")[2]: log for log in logs}


def _open_judge(judge: Judge, out: Path) -> Model:
    from inspect_ai.model import get_model

    from llava_video.evaluate.harness.models import INSPECT

    if judge.model.startswith(INSPECT):
        if judge.base_url is not None or judge.max_usd is not None:
            raise InputError(
                f"--judge-url and --max-usd are for endpoints; {judge.model} is called by "
                "inspect_ai, which keeps no budget"
            )
        return get_model(judge.model.removeprefix(INSPECT))
    return get_model(
        f"llava_video_judge/{judge.model}",
        base_url=judge.base_url,
        ledger=str(out / "judge.sqlite"),
        max_usd=judge.max_usd,
        memoize=False,
    )


def _outcomes(log: Any, prepared: _Prepared) -> list[Outcome]:
    """The outcomes of a log, in the order in which questions were asked."""
    from llava_video.evaluate.harness.read_log import read_sample

    samples = {sample.id: sample for sample in log.samples or []}
    return [read_sample(samples.get(each.question.id), each) for each in prepared.asked]


def _check_some_answered(task: str, outcomes: Sequence[Outcome]) -> None:
    if all(outcome.failure for outcome in outcomes):
        raise InputError(
            f"all {len(outcomes)} questions of {task} failed, the first: {outcomes[0].failure}"
        )


def _about(
    prepared: _Prepared,
    settings: Settings,
    judge: Judge | None,
    seconds: float,
    environments: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What the results of a task depend on."""
    return {
        "settings": asdict(settings),
        "prompts": prepared.preset,
        "judge": asdict(judge) if judge is not None else None,
        "annotations": str(prepared.annotations),
        "videos": str(prepared.videos),
        "seeds": {"temperature": 0, "shuffled": "number of frames", "toyworld": 0},
        "environments": environments,
        "seconds_of_last_run": round(seconds, 3),
    }
