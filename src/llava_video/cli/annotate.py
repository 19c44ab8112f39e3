"""`llava-video annotate`: from a folder of videos to a filtered instruction dataset."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from llava_video.cli.startup import keys_option
from llava_video.pages.terminal import show

if TYPE_CHECKING:
    from llava_video.annotate.recipe import Recipe
else:
    Recipe = Any  # recipes are heavy to import, and Typer reads annotations

app = typer.Typer(
    help="Make a video instruction dataset: describe, ask, filter, review, export.",
    no_args_is_help=True,
)

Videos = Annotated[
    list[str],
    typer.Argument(
        metavar="VIDEOS... [KEY=VALUE]...",
        help="Files, folders, globs, manifests (JSONL, CSV: id, path, source, category, views); "
        "then values of the recipe to change, with dots for what lies inside.",
        show_default=False,
    ),
]
Folder = Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _recipe_options(
    *,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A YAML file, or paper, open or toyworld. "
            "[default: paper; toyworld with --model toy]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model name, or toy: the offline annotator for toyworld videos."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1."),
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option(min=0, help="Stop before spending more than this.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Calls at a time.")] = None,
    _keys: Annotated[bool, keys_option("annotate.recipe", "Recipe")] = False,
) -> list[str]:
    """What the options that a command shares say: the recipe, then changes of its values."""
    changes = {
        "endpoint.model": model,
        "endpoint.base_url": base_url,
        "endpoint.concurrency": concurrency,
        "max_usd": max_usd,
    }
    typed = [f"{key}={value}" for key, value in changes.items() if value is not None]
    return [recipe or ("toyworld" if model == "toy" else "paper"), *typed]


def _with_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_recipe_options` in place of its parameter ``recipe``.

    Words among its videos that are ``key=value`` change the recipe.
    """
    options = inspect.signature(_recipe_options, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    needs_videos = own["videos"].default is inspect.Parameter.empty

    @functools.wraps(command)
    def run_with_options(**values: Any) -> None:
        from llava_video.annotate.recipe import load_recipe
        from llava_video.errors import InputError
        from llava_video.recipes import is_override

        name, *changes = _recipe_options(**{name: values.pop(name) for name in options})
        words = values.pop("videos") or []
        changes += [word for word in words if is_override(word)]
        videos = [word for word in words if not is_override(word)]
        chosen = load_recipe(name, changes)
        if not needs_videos and videos:
            raise InputError(f"{videos[0]}: no video is read; write key=value to change the recipe")
        if needs_videos and not videos:
            raise InputError("no video is named; give files or folders before key=value")
        named = {"videos": videos} if needs_videos else {"videos": None}
        command(**values, **named, recipe=chosen)

    # Typer reads both.
    shown = [*(own[name] for name in own if name != "recipe"), *options.values()]
    run_with_options.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run_with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run_with_options


@app.command()
@_with_recipe
def plan(
    videos: Videos,
    *,
    recipe: Recipe,
    out: Annotated[
        Path | None, typer.Option("--out", help="An earlier run, to calibrate the forecast by.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do and cost. Nothing is sent or spent."""
    import dataclasses

    from llava_video.annotate.forecast.calibration import measure_picture_seconds
    from llava_video.annotate.forecast.forecast import make_forecast
    from llava_video.annotate.forecast.simulation import Rates
    from llava_video.annotate.preflight import check_run
    from llava_video.annotate.videos.select import select_videos
    from llava_video.calls.ledger import open_ledger
    from llava_video.calls.pricing import load_prices

    found_videos = check_run(videos, recipe, is_sent=False)
    ledger = open_ledger(out) if out is not None else None
    records = select_videos(found_videos, recipe, ledger)
    prices = load_prices(recipe.endpoint.prices_file)
    picture_seconds = measure_picture_seconds(records, recipe.describe, os.cpu_count() or 1)
    rates = Rates() if picture_seconds is None else Rates(picture_seconds)
    found = make_forecast(records, recipe, prices, ledger, rates=rates)
    if as_json:
        values = dataclasses.asdict(dataclasses.replace(found, planned=[]))
        del values["planned"]  # a line for every call
        print(json.dumps(values, indent=2))
        return
    from llava_video.annotate.views.console import forecast_screen

    show(*forecast_screen(found, recipe))


@app.command()
@_with_recipe
def run(
    videos: Videos,
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The run's folder; an unfinished run in it is resumed.",
            show_default=False,
        ),
    ],
    recipe: Recipe,
    engine: Annotated[str, typer.Option("--engine", help="local or ray.")] = "local",
    as_json: AsJson = False,
) -> None:
    """Annotate videos: select, describe, ask, filter, export. Resumable at any point."""
    from llava_video.annotate import run as engines
    from llava_video.errors import InputError

    if engine not in ("local", "ray"):
        raise InputError(f"--engine {engine}: no such engine; use local or ray")
    result = engines.run(videos, recipe, out, engine="ray" if engine == "ray" else "local")
    _print_result(result, out, as_json)
    if result.stopped_by is not None:
        raise result.stopped_by
    if all(record.is_rejected for record in result.records):
        raise InputError(f"no video was annotated; `llava-video annotate status {out}` says why")


@app.command()
@_with_recipe
def probe(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Values of the recipe to change.", show_default=False
        ),
    ] = None,
    *,
    recipe: Recipe,
    as_json: AsJson = False,
) -> None:
    """Make one small call of each kind that a run makes, and say which of them work."""
    import dataclasses
    import tempfile

    from llava_video.annotate.preflight import check_recipe
    from llava_video.annotate.probe import probe as make_probes
    from llava_video.annotate.views.console import probe_table
    from llava_video.errors import EndpointError

    check_recipe(recipe)
    with tempfile.TemporaryDirectory() as folder:
        found = make_probes(recipe, Path(folder))
    if as_json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
    else:
        show(probe_table(found))
    problems = [one.problem for one in found if one.problem]
    if problems:
        raise EndpointError(problems[0])


@app.command()
def redo(
    folder: Folder,
    videos: Annotated[
        list[str],
        typer.Argument(help="Ids of videos, as `explain` takes them.", show_default=False),
    ],
) -> None:
    """Have the next run ask everything about some videos anew; what was paid stays counted."""
    from llava_video.annotate.run_folder import redo as forget

    number = forget(folder, videos)
    noun = "video" if number == 1 else "videos"
    print(f"{number} {noun} will be asked about anew; run the same command again")


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Show how far a run is, what it cost, and what failed; also while it runs."""
    from llava_video.annotate.views.console import status_of, status_screen

    found = status_of(folder)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show(*status_screen(found))


@app.command()
def explain(
    folder: Folder,
    qa_id: Annotated[
        str, typer.Argument(help="Id of a question, caption or video.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Show where a question or caption comes from: calls, prompts, frames, parents, cost."""
    from llava_video.annotate.views.console import chain_screen
    from llava_video.annotate.views.explain import explain as find_chain

    chain = find_chain(folder, qa_id)
    if as_json:
        print(json.dumps(chain, indent=2))
    else:
        show(chain_screen(chain))


@app.command()
def review(
    folder: Folder,
    reviewer: Annotated[str, typer.Option("--reviewer", help="Whose decisions these are.")] = "me",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8765,
) -> None:
    """Serve the review page on this machine; decisions are kept and honoured by export."""
    from llava_video.annotate.review.server import make_server

    server = make_server(folder, reviewer, port)
    Console(stderr=True).print(f"review page: {server.url}/  (Ctrl-C ends it)")
    with contextlib.suppress(KeyboardInterrupt):  # it comes once the server has ended
        server.serve_until_stopped()


@app.command()
def report(
    folder: Folder,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The HTML file. [default: report.html in the folder]"),
    ] = None,
) -> None:
    """Write one offline HTML page about a run."""
    from llava_video.annotate.views.report import write_report

    print(write_report(folder, output or folder / "report.html"))


@app.command()
def export(
    folder: Folder,
    format_name: Annotated[
        str, typer.Option("--format", help="llava, jsonl, parquet, webdataset or hf.")
    ] = "llava",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Where to. [default: dataset, or dataset-FORMAT, in the folder]"
        ),
    ] = None,
    video_root: Annotated[
        Path | None, typer.Option("--video-root", help="What video paths are relative to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the dataset, with the reviewers' decisions applied."""
    from llava_video.annotate.run import export_run
    from llava_video.annotate.run_folder import load_run
    from llava_video.calls.ledger import open_ledger

    paths = export_run(load_run(folder), format_name, output, open_ledger(folder), video_root)
    _print_paths(paths, as_json)


@app.command("compare-history")
@_with_recipe
def compare_history(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO [KEY=VALUE]...",
            help="A video, then values of the recipe to change.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="A run's folder, for the calls and the page.", show_default=False
        ),
    ],
    recipe: Recipe,
    as_json: AsJson = False,
) -> None:
    """Describe a video with and without history, side by side (the paper's Figure 2)."""
    from llava_video.annotate.views.compare_history import compare, history_table

    found = compare(videos, recipe, out)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show(history_table(found), found["page"])


@app.command("batch-write")
@_with_recipe
def batch_write(
    videos: Videos,
    *,
    out: Annotated[Path, typer.Option("--out", help="The run's folder.", show_default=False)],
    recipe: Recipe,
    as_json: AsJson = False,
) -> None:
    """Write the next wave of calls as OpenAI Batch files. Nothing is sent."""
    from llava_video.annotate.batch import write_wave

    _print_paths(write_wave(videos, recipe, out), as_json)


@app.command("batch-read")
def batch_read(
    folder: Folder,
    files: Annotated[
        list[Path], typer.Argument(help="Output and error files of batches.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Take the answers of finished batches into the ledger."""
    from llava_video.annotate.batch import read_results

    found = read_results(folder, files)
    print(json.dumps(found) if as_json else ", ".join(f"{name} {n}" for name, n in found.items()))


def _print_result(result: Any, out: Path, as_json: bool) -> None:
    from llava_video.annotate.views.console import result_of, result_screen

    found = result_of(result, out)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show(result_screen(found))


def _print_paths(paths: list[Path], as_json: bool) -> None:
    names = [str(path) for path in paths]
    print(json.dumps(names, indent=2) if as_json else "\n".join(names))
