"""Tables: rows on the same questions, paired differences, seeds, files that agree."""

import csv
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.table_recipe import TableRecipe
from llava_video.evaluate.tables import as_table, make_tables, power_in_words
from llava_video.recipes import bundled_recipes, load_recipe
from llava_video.representation import VideoRepresentation, make_layout, parse_representation
from tests.evaluate.runs import scripted, write_questions

SVG = "{http://www.w3.org/2000/svg}"


def recipe_of(folder: Path, rows: list[dict], **changes: object) -> TableRecipe:
    file = folder / "questions.json"
    if not file.exists():
        write_questions(folder, num_videos=6, per_video=4)
    return TableRecipe(
        title="t", rows=rows, out=folder / "out", task="own", annotations=file, **changes
    )


def open_model(name: str, representation: str | None) -> object:
    """Right about ever more questions: ``m0`` about one of four a video, ``m3`` about all."""
    number = int(name[-1])

    def answer(prompt: str) -> str:
        asked = int(prompt.split(" q")[1][0])
        return "ABC"[asked % 3] if asked <= number else "none of them"

    return scripted(answer)[0]


def test_differences_are_paired_to_the_first_row(tmp_path: Path) -> None:
    rows = [{"name": "one", "model": "m0"}, {"name": "three", "model": "m2"}]
    first, second = make_tables(recipe_of(tmp_path, rows), open_model=open_model)
    assert (first.overall.mean, second.overall.mean) == (0.25, 0.75)
    assert first.more is None
    assert second.more is not None
    assert second.more.mean == pytest.approx(0.5)
    assert second.more.low == second.more.high, "the same difference about every video"


def test_intervals_are_over_seeds_where_there_are_several(tmp_path: Path) -> None:
    rows = [{"name": "one", "model": "m0"}, {"name": "two", "model": "m{seed}"}]
    recipe = recipe_of(tmp_path, rows, seeds=(1, 2))
    first, second = make_tables(recipe, open_model=open_model)
    assert len(first.outcomes) == 1, "a model without a seed is evaluated once"
    assert second.overall.mean == pytest.approx((0.5 + 0.75) / 2)
    assert second.overall.num_clusters == 2
    assert second.more is not None
    assert second.more.mean == pytest.approx((0.25 + 0.5) / 2)
    assert "seeds between two recipes" in power_in_words([first, second])[0]


def test_the_files_say_the_same(tmp_path: Path) -> None:
    rows = [{"name": "one", "model": "m0"}, {"name": "two", "model": "m1"}]
    recipe = recipe_of(tmp_path, rows)
    lines = make_tables(recipe, open_model=open_model)
    table = as_table(recipe, lines)
    with (tmp_path / "out/table.csv").open(newline="") as file:
        written = list(csv.reader(file))
    assert written[0] == list(table.head)
    assert written[1:3] == [list(map(str, row)) for row in table.rows]
    markdown = (tmp_path / "out/table.md").read_text()
    assert "| one |" in markdown
    assert "https://" not in (tmp_path / "out/table.html").read_text()
    texts = [t.text for t in ElementTree.parse(tmp_path / "out/table.svg").iter(f"{SVG}text")]
    assert texts == ["t", "one", lines[0].overall.text, "two", lines[1].overall.text]


def test_a_benchmark_that_is_a_mean_over_types_has_a_column_for_it(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, [{"name": "one", "model": "m0"}])
    [line] = make_tables(recipe, open_model=open_model)
    line = replace(line, by_type={"a": 0.5, "b": 1.0})
    table = as_table(recipe.model_copy(update={"task": "mlvu"}), [line])
    [row] = table.rows
    assert dict(zip(table.head, row, strict=True))["over types"] == "0.750"
    assert "over types" not in as_table(recipe, [line]).head
    untyped = as_table(recipe.model_copy(update={"task": "mlvu"}), [replace(line, by_type={})])
    assert untyped.rows[0][5] == ""


def test_rows_of_a_curve_are_joined_in_a_plot(tmp_path: Path) -> None:
    rows = [{"name": "all", "model": "m3"}]
    rows += [{"name": f"{n}", "model": f"m{n}", "curve": "evs"} for n in (0, 1)]
    make_tables(recipe_of(tmp_path, rows), open_model=open_model)
    drawn = ElementTree.parse(tmp_path / "out/curves.svg").getroot()
    [line] = drawn.findall(f"{SVG}polyline")
    assert len(line.get("points").split()) == 3, "the two rows, up to the first of the table"
    assert len(drawn.findall(f"{SVG}circle")) == 2


def test_fewer_tokens_are_compared_at_equal_counts(tmp_path: Path) -> None:
    recipe = load_recipe(TableRecipe, "tiny-fewer-tokens", [f"out={tmp_path}"])
    base = VideoRepresentation(grid_side=8)
    counts: dict[str, list[int]] = {}
    for row in recipe.rows[1:]:
        wanted = parse_representation(str(row.representation), base)
        counts.setdefault(str(row.curve), []).append(
            make_layout(wanted, wanted.max_frames).num_tokens
        )
    assert set(counts) == {"fewer frames", "random", "evs", "tstm"}
    assert all(each == [72, 48, 24] for each in counts.values())


def test_a_folder_of_another_table_is_refused(tmp_path: Path) -> None:
    rows = [{"name": "one", "model": "m0"}]
    make_tables(recipe_of(tmp_path, rows), open_model=open_model)
    with pytest.raises(InputError, match="another recipe"):
        make_tables(recipe_of(tmp_path, rows, limit=3), open_model=open_model)


@pytest.mark.parametrize("name", bundled_recipes(TableRecipe))
def test_the_representations_of_bundled_recipes_exist(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(TableRecipe, name, [f"out={tmp_path}"])
    for row in recipe.rows:
        if isinstance(row.representation, dict):
            VideoRepresentation.from_dict(row.representation)
        elif row.representation is not None:
            parse_representation(row.representation)
