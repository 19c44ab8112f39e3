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

    from llava_video.pages.blocks import Table
    from llava_video.pages.terminal import show

    counts, origins = [], []
    for preset in PRESETS.values():
        numbers = (
            preset.num_tokens,
            preset.formula_num_tokens,
            preset.even_grid_num_tokens,
            preset.printed_num_tokens,
        )
        four, *details = str(preset.representation).split(" ", maxsplit=1)
        counts.append((preset.name, four, *("" if n is None else n for n in numbers)))
        origin = f"{preset.origin} ({', '.join(details)})"
        origins.append((preset.name, f"{origin}\n{preset.note}" if preset.note else origin))
    show(
        Table(
            ("preset", "V = (T,M,s,p)", "tokens", "formula", "even grid", "printed"),
            counts,
            "llrrrr",
        ),
        Table(("preset", "where it comes from"), origins),
        "tokens     exact, read off the layout\n"
        "formula    section 1.2 of the paper, taken literally\n"
        "even grid  that formula with 27 x 27 counted as 26 x 26\n"
        "printed    what the paper prints",
    )
