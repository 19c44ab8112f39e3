"""Recipes: overrides typed by the field, near keys at any depth, help that names every key."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from llava_video.annotate.recipe import Recipe as AnnotateRecipe
from llava_video.errors import InputError
from llava_video.recipes import (
    BaseRecipe,
    Section,
    bundled_recipes,
    is_override,
    list_keys,
    load_recipe,
)
from llava_video.tiny.recipe import TinyRecipe
from llava_video.train.recipe import Recipe as TrainRecipe

KINDS = [AnnotateRecipe, TinyRecipe, TrainRecipe]


class Rate(Section):
    """A section."""

    peak: float = 1e-3
    """Highest rate."""
    shape: Literal["flat", "off"] = "flat"


class Small(BaseRecipe):
    """One field of every type."""

    bundled: ClassVar[Path] = Path("none")

    name: str = "a"
    """What it is
    called."""
    folder: Path = Path()
    parent: Path | None = None
    count: int = Field(1, gt=0)
    share: float | None = 0.5
    is_on: bool = False
    sizes: tuple[int, ...] = (1, 2)
    groups: dict[str, str] = Field(default_factory=dict)
    extra: dict[str, Any] = Field(default_factory=dict)
    rate: Rate = Rate()
    late: Rate | None = None


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text("count: 3\n")
    return path


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("name=1.0", "1.0"),
        ("name=1e5", "1e5"),
        ("name=[x", "[x"),
        ("name=a=b", "a=b"),
        ("folder=2024", Path("2024")),
        ("folder=off", Path("off")),
        ("parent=null", None),
        ("parent=", None),
        ("count=1e3", 1000),
        ("share=1e-5", 1e-5),
        ("share=.5", 0.5),
        ("share=", None),
        ("is_on=true", True),
        ("is_on=on", True),
        ("sizes=[4, 5]", (4, 5)),
        ("groups={a: b}", {"a": "b"}),
        ("groups.a=1.0", {"a": "1.0"}),
        ("extra.top.k=3", {"top": {"k": 3}}),
        ("rate.shape=off", Rate(shape="off")),
        ("rate={peak: 1e-4}", Rate(peak=1e-4)),
        ("late={}", Rate()),
        ("late.peak=1", Rate(peak=1)),
    ],
)
def test_the_field_says_how_a_value_is_read(small: Path, override: str, expected: object) -> None:
    name = override.partition("=")[0].split(".")[0]
    assert getattr(load_recipe(Small, small, [override]), name) == expected


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_text_is_taken_as_it_stands_and_comes_back_from_a_run_folder(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("r")
    (folder / "r.yaml").write_text("")
    recipe = load_recipe(Small, folder / "r.yaml", [f"name={text}", "folder=1.50"])
    assert (recipe.name, recipe.folder) == (text, Path("1.50"))
    recipe.keep_in(folder)
    recipe.keep_in(folder)
    assert load_recipe(Small, folder / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("nam=x", "^nam=x: there is no key 'nam'; did you mean 'name'"),
        ("rate.shap=x", "there is no key 'rate.shap'; did you mean 'rate.shape'"),
        ("late.pek=1", "there is no key 'late.pek'; did you mean 'late.peak'"),
        ("peak=1", "there is no key 'peak'; did you mean 'rate.peak'"),
        ("rate.xyz=1", "there is no key 'rate.xyz'; known are rate.peak, rate.shape"),
        ("count.x=1", "^count is a value and has no keys inside; give it as count=VALUE"),
        ("count=many", "^count=many: count: .*not 'many'"),
        ("count=1.5", "count: .*integer"),
        ("share=nan", "share: .*finite"),
        ("sizes=1", r"sizes: .*not 1; write it as \[one, two\]"),
        ("sizes=[", "is not a YAML value; quote it"),
        ("rate.shape=round", "rate.shape: .*'flat' or 'off', not 'round'"),
        ("nonsense", "write key=value"),
        ("=1", "write key=value"),
    ],
)
def test_what_does_not_fit_is_one_line_that_says_what_was_typed(
    small: Path, override: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_recipe(Small, small, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: 1.0", "small.yaml: name: .*not 1.0; write it in quotes"),
        ("rate: {pek: 1}", "small.yaml: there is no key 'rate.pek'; did you mean 'rate.peak'"),
        ("- 1", "small.yaml holds no 'key: value' lines"),
        ("a: [", "small.yaml is not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_file_names_the_file(small: Path, text: str, said: str) -> None:
    small.write_text(text)
    with pytest.raises(InputError, match=said):
        load_recipe(Small, small)


def test_a_run_folder_keeps_its_recipe_whatever_its_layout(small: Path, tmp_path: Path) -> None:
    recipe = load_recipe(Small, small)
    recipe.keep_in(tmp_path)
    kept = tmp_path / "recipe.yaml"
    kept.write_text(yaml.safe_dump(yaml.safe_load(kept.read_text()), sort_keys=True))
    recipe.keep_in(tmp_path)
    with pytest.raises(InputError, match=r"is another recipe .*; give another folder"):
        load_recipe(Small, small, ["count=4"]).keep_in(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        recipe.keep_in(tmp_path / "file")


def test_an_override_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.mp4").touch()
    words = ["lora.rank=8", "out=", "a=b.mp4", "x=y.mp4", "./x=y.mp4", "v/x=y.mp4", "v.mp4"]
    assert [word for word in words if is_override(word)] == ["lora.rank=8", "out=", "x=y.mp4"]


def test_help_names_every_key_with_type_default_and_explanation() -> None:
    keys = {key.name: key for key in list_keys(Small)}
    assert keys["name"].explanation == "What it is called."
    shown = {name: (key.type, key.default) for name, key in keys.items()}
    assert shown == {
        "name": ("text", "a"),
        "folder": ("path", "."),
        "parent": ("path", "empty"),
        "count": ("integer", "1"),
        "share": ("number", "0.5"),
        "is_on": ("true or false", "false"),
        "sizes": ("list of integer", "[1, 2]"),
        "groups": ("mapping", "{}"),
        "extra": ("mapping", "{}"),
        "rate.peak": ("number", "0.001"),
        "rate.shape": ("flat | off", "flat"),
        "late": ("section", "empty"),
        "late.peak": ("number", "0.001"),
        "late.shape": ("flat | off", "flat"),
    }


def test_a_misspelt_key_is_named_before_the_key_that_is_missing_for_it() -> None:
    with pytest.raises(InputError, match="no key 'mixtur'; did you mean 'mixture'"):
        load_recipe(TrainRecipe, "lora", ["model=m", "out=o", "mixtur=x"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_every_kind_is_explained_in_one_line(kind: type[BaseRecipe]) -> None:
    for key in list_keys(kind):
        assert key.explanation.endswith("."), key.name
        assert len(key.explanation) < 120, key.name


@pytest.mark.parametrize("kind", KINDS)
def test_listed_defaults_are_overrides_that_change_nothing(
    kind: type[BaseRecipe], tmp_path: Path
) -> None:
    """What help shows as a default can be typed as it stands."""
    keys = [key for key in list_keys(kind) if key.type != "section"]
    needed = {"text": "x", "path": "x", "integer": "1"}
    values = {k.name: needed[k.type] for k in keys if k.default == "required"}
    if kind is TrainRecipe:
        values["learning_rates.projector"] = "1e-3"
    given = [f"{name}={value}" for name, value in values.items()]
    inside = [key for key in keys if not key.name.startswith(("lora.", "dpo."))]
    typed = [
        f"{key.name}={'' if key.default == 'empty' else key.default}"
        for key in inside
        if key.name not in values
    ]
    path = tmp_path / "r.yaml"
    path.write_text("")
    assert load_recipe(kind, path, [*typed, *given]) == load_recipe(kind, path, given)


@pytest.mark.parametrize("kind", KINDS)
def test_recipes_in_the_package_have_known_keys(kind: type[BaseRecipe]) -> None:
    assert bundled_recipes(kind)
    for name in bundled_recipes(kind):
        try:
            load_recipe(kind, name)
        except InputError as error:
            assert str(error).endswith("=VALUE")  # only what the user has to give is missing


def test_values_cannot_be_changed_later(small: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_recipe(Small, small).count = 2  # type: ignore[misc]
