"""``llava-video presets``: the video representations that have a name."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List named representations: exact counts beside the paper's formula and printed figures."""
    import json

    from llava_video.representation import PRESETS

    if as_json:
        rows = [
            {
                "name": preset.name,
                "origin": preset.origin,
                **preset.representation.to_dict(),
                "tokens_per_frame": preset.representation.tokens_per_frame,
                "num_tokens": preset.num_tokens,
                "paper_formula": preset.formula_num_tokens,
                "paper_even_grid": preset.even_grid_num_tokens,
                "paper_printed": preset.printed_num_tokens,
                "note": preset.note,
            }
            for preset in PRESETS.values()
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return

    heading = f"{'preset':<25}{'V = (T,M,s,p)':<15}"
    columns = ("tokens", "formula", "even grid", "printed")
    typer.secho(heading + "".join(f"{name:>10}" for name in columns), bold=True)
    for preset in PRESETS.values():
        numbers = (
            preset.num_tokens,
            preset.formula_num_tokens,
            preset.even_grid_num_tokens,
            preset.printed_num_tokens,
        )
        four, *details = str(preset.representation).split(" ", maxsplit=1)
        cells = "".join(f"{'' if number is None else f'{number:,}':>10}" for number in numbers)
        typer.echo(f"{preset.name:<25}{four:<15}{cells}")
        typer.secho(f"  {preset.origin} ({', '.join(details)})", dim=True)
        if preset.note:
            typer.secho(f"  {preset.note}", dim=True)
    typer.echo(
        "\ntokens     exact, read off the layout\n"
        "formula    section 1.2 of the paper, taken literally\n"
        "even grid  that formula with 27 x 27 counted as 26 x 26\n"
        "printed    what the paper prints"
    )
