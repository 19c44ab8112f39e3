"""``llava-video eval doctor``: what is wrong with annotations and videos."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.eval.common import Annotations, AsJson, Level, NumVideos, Videos

_MOST_LINES = 10


def command(
    tasks: Annotated[list[str] | None, typer.Argument(metavar="TASK...")] = None,
    *,
    annotations: Annotations = None,
    videos: Videos = None,
    list_tasks: Annotated[bool, typer.Option("--list", help="List the tasks.")] = False,
    made_in: Annotated[Path, typer.Option(help="toyworld: where it is made.")] = Path("toyworld"),
    num_videos: NumVideos = 100,
    level: Level = "standard",
    as_json: AsJson = False,
) -> None:
    """Missing, unreadable and unused videos, broken rows, questions lost; no model is loaded."""
    from rich.console import Console
    from rich.progress import Progress

    from llava_video.evaluate.doctor import examine
    from llava_video.evaluate.source import load_questions
    from llava_video.evaluate.tasks import find_benchmark
    from llava_video.pages.terminal import show

    if list_tasks or not tasks:
        _list()
        return
    found = []
    for name in tasks:
        benchmark = find_benchmark(name)
        source = load_questions(
            benchmark,
            annotations=annotations,
            videos=videos,
            made_in=made_in,
            num_videos=num_videos,
            level=level,
        )
        names = {question.video for question in source.questions}
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("Reading videos", total=len(names))
            found.append(
                examine(benchmark, source, look=_look, notice=lambda t=task: progress.advance(t))  # type: ignore[misc]
            )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False))
    else:
        for each in found:
            expected = f" of {each.num_expected:,}" if each.num_expected else ""
            show(
                f"{each.task}: {each.num_questions:,}{expected} questions about "
                f"{each.num_videos:,} videos; {each.num_lost:,} questions lost"
            )
            for what, lines in (
                ("broken rows", each.broken_rows),
                ("missing videos", each.missing),
                ("unreadable videos", each.unreadable),
                ("unused videos", each.unused),
            ):
                if lines:
                    show(
                        f"  {len(lines):,} {what}", *(f"    {line}" for line in lines[:_MOST_LINES])
                    )
    if not all(each.is_well for each in found):
        raise typer.Exit(1)


def _look(path: Path) -> None:
    """Decode one frame of a video."""
    from llava_video.video import read_video

    read_video(path, num_frames=1)


def _list() -> None:
    from llava_video.evaluate.extraction import OWN
    from llava_video.evaluate.tasks import BENCHMARKS
    from llava_video.pages.blocks import Table
    from llava_video.pages.terminal import show

    rows = [
        (
            name,
            each.title,
            " ".join(each.prompts),
            " ".join(name for name in each.compatible if name != OWN),
        )
        for name, each in BENCHMARKS.items()
    ]
    show(Table(("task", "", "prompts", "extraction of others"), rows))
