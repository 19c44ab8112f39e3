"""What the verbs of ``eval`` share: options, and results on a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Tasks = Annotated[
    list[str],
    typer.Argument(metavar="TASK...", help="Names of benchmarks; `eval doctor --list` has them."),
]
Annotations = Annotated[
    Path | None,
    typer.Option(help="File of the questions, or a folder of them. Not needed for toyworld."),
]
Videos = Annotated[
    Path | None,
    typer.Option(help="Folder of the videos. [default: that of the annotations]"),
]
NumVideos = Annotated[int, typer.Option(min=1, help="toyworld: how many videos to make.")]
Level = Annotated[str, typer.Option(help="toyworld: simple, standard, crowded or long.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Extraction = Annotated[
    str | None,
    typer.Option(help="llava-video, or the rules of lmms-eval or vlmevalkit."),
]
Failures = Annotated[
    str | None,
    typer.Option(help="What failed questions count: excluded (reported) or wrong."),
]

AllowMissing = Annotated[bool, typer.Option(help="Run without missing videos and broken rows.")]
Prompts = Annotated[
    str | None, typer.Option(help="A preset that `eval doctor --list` names; default: the task's.")
]

Judge = Annotated[
    str | None, typer.Option(help="Model that judges free answers, or inspect:PROVIDER/MODEL.")
]
JudgeUrl = Annotated[
    str | None, typer.Option(help="Its OpenAI-compatible endpoint. [default: OpenAI's]")
]
MaxUsd = Annotated[float | None, typer.Option(help="What all judgements may cost.")]
Wordnet = Annotated[
    Path | None,
    typer.Option(
        help="nextqa-oe: folder of WordNet 3.0's files. [default: that of Debian's wordnet-base]"
    ),
]
VideosAs = Annotated[
    str, typer.Option(help="For endpoints: data_url, file_url (same files there) or frames.")
]
FramesAsPictures = Annotated[
    int | None, typer.Option(min=1, help="For inspect: models that take no video.")
]


def check_failures(failures: str | None) -> Any:
    """A policy by name.

    Raises:
        InputError: there is none of this name.
    """
    from llava_video.errors import InputError

    if failures not in (None, "excluded", "wrong"):
        raise InputError(f"--failures {failures}: use excluded or wrong")
    return failures


def show_results(results: dict[str, dict[str, Any]], *, as_json: bool) -> None:
    """Print the results of each task."""
    if as_json:
        typer.echo(json.dumps(results, ensure_ascii=False))
        return
    from llava_video.pages.blocks import Table
    from llava_video.pages.terminal import show

    rows = []
    for name, found in results.items():
        scores = found["scores"]
        overall = scores["overall"] or {}
        low, high = overall.get("low"), overall.get("high")
        score = found["headline"]
        interval = "too few videos" if low is None else f"{low:.3f} to {high:.3f}"
        if found["headline_is"] != "mean over questions":  # whose interval it is
            interval = ""
        rows.append(
            (
                name,
                "not public" if score is None else f"{score:.3f}",
                interval,
                scores["num_questions"],
                overall.get("num_clusters", 0),
                f"{scores['unparsed_share']:.1%}",
                f"{scores['num_letters'] / max(scores['num_with_options'], 1):.1%}",
                sum(scores["num_failed"].values()),
                "; ".join(f"{r['model']} {r['score']:g}" for r in found["references"][:1]),
            )
        )
    head = (
        "task",
        "score",
        "95 %",
        "questions",
        "videos",
        "unparsed",
        "letters",
        "failed",
        "published",
    )
    show(Table(head, rows, "lrrrrrrrl"))
