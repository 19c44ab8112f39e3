"""``llava-video eval TASK...``: a model's scores on benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.answering.options import Dtype, Quantize
from llava_video.cli.eval.common import (
    AllowMissing,
    Annotations,
    AsJson,
    Extraction,
    Failures,
    FramesAsPictures,
    Judge,
    JudgeUrl,
    Level,
    MaxUsd,
    NumVideos,
    Prompts,
    Tasks,
    Videos,
    VideosAs,
    Wordnet,
    check_failures,
    show_results,
)
from llava_video.cli.serving.engines import (
    Engine,
    EngineArguments,
    EngineOption,
    engine_opener,
)
from llava_video.cli.startup import keep_libraries_quiet, many_imports


def command(
    tasks: Tasks,
    out: Annotated[Path, typer.Option(help="Folder of the run; a started one is resumed.")],
    model: Annotated[
        str,
        typer.Option(
            help="'tiny', a checkpoint's directory, its name on the hub, http://HOST/v1#MODEL, or "
            "inspect:PROVIDER/MODEL."
        ),
    ] = "tiny",
    *,
    annotations: Annotations = None,
    videos: Videos = None,
    representation: Annotated[
        str | None,
        typer.Option(help="T,M,s,p, a name from `presets`, evs=0.5; default: the model's own."),
    ] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, help="Frames of each video.")] = None,
    prompts: Prompts = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions of each task.")] = None,
    baseline: Annotated[
        str,
        typer.Option(help="none, no-video, first-frame, shuffled, other-video or always-a."),
    ] = "none",
    extraction: Extraction = None,
    failures: Failures = None,
    allow_missing: AllowMissing = False,
    judge: Judge = None,
    judge_url: JudgeUrl = None,
    max_usd: MaxUsd = None,
    videos_as: VideosAs = "data_url",
    frames_as_pictures: FramesAsPictures = None,
    num_videos: NumVideos = 100,
    level: Level = "standard",
    wordnet: Wordnet = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    engine: EngineOption = Engine.OWN,
    engine_option: EngineArguments = None,
    dtype: Dtype = None,
    quantize: Quantize = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on tasks; a stopped run resumes where it was."""
    with many_imports():
        from llava_video.evaluate import run
        from llava_video.evaluate.extraction import OWN
        from llava_video.evaluate.report import write_report
    _check(tasks, annotations, baseline, videos_as)
    settings = run.Settings(
        model=model,
        device=device,
        dtype=dtype,
        quantize=quantize,
        representation=representation,
        num_frames=num_frames,
        prompts=prompts,
        extraction=extraction or OWN,
        limit=limit,
        baseline=baseline,  # type: ignore[arg-type]  # checked above
        failures=check_failures(failures) or "excluded",
        allow_missing=allow_missing,
        videos_as=videos_as,
        frames_as_pictures=frames_as_pictures,
        num_videos=num_videos,
        level=level,
        engine=str(engine),
        wordnet=str(wordnet) if wordnet else None,
    )
    keep_libraries_quiet()
    results = run.evaluate(
        tasks,
        out,
        settings,
        annotations=annotations,
        videos=videos,
        judge=run.Judge(judge, judge_url, max_usd) if judge else None,
        open_engine=engine_opener(
            engine, engine_option, model, device, quantize, dtype, representation
        ),
        display="rich" if sys.stderr.isatty() and not as_json else "none",
    )
    page = write_report(out)
    show_results(results, as_json=as_json)
    typer.echo(f"report: {page}", err=True)


def _check(tasks: list[str], annotations: Path | None, baseline: str, videos_as: str) -> None:
    from llava_video.errors import InputError
    from llava_video.evaluate.asked import BASELINES
    from llava_video.recipes import nearest

    if baseline not in BASELINES:
        raise InputError(f"there is no baseline {baseline!r}{nearest(baseline, BASELINES)}")
    if videos_as not in ("data_url", "file_url", "frames"):
        raise InputError(f"--videos-as {videos_as}: use data_url, file_url or frames")
    if len(tasks) > 1 and annotations is not None:
        raise InputError("--annotations is of one task; evaluate the others in runs of their own")
