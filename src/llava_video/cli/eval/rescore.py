"""``llava-video eval rescore``: other verdicts on the answers of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llava_video.cli.eval.common import AsJson, Extraction, Failures, check_failures, show_results


def command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    *,
    extraction: Extraction = None,
    failures: Failures = None,
    as_json: AsJson = False,
) -> None:
    """Score the answers of a run again, without the model."""
    from llava_video.evaluate.report import write_report
    from llava_video.evaluate.rescore import rescore

    results = rescore(run, extraction=extraction, failures=check_failures(failures))
    page = write_report(run)
    show_results(results, as_json=as_json)
    typer.echo(f"report: {page}", err=True)
