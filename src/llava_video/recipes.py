"""Recipes: every choice of a run in a YAML file, changed by ``key=value``, checked beforehand.

A recipe is a pydantic model made of sections. A field's docstring is the line that `list_keys`
shows for it, so that help, checks and the code cannot disagree.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticUndefined

from llava_video.errors import InputError
from llava_video.records.files import write_whole

RECIPE_FILE = "recipe.yaml"
"""In a run folder: the recipe with every value."""

_OVERRIDE = re.compile(r"[A-Za-z_][\w.-]*=")
_TYPES = {str: "text", Path: "path", int: "integer", float: "number", bool: "true or false"}


class Section(BaseModel):
    """Values of a recipe that belong together: immutable, without unknown keys, NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class BaseRecipe(Section):
    """A whole recipe.

    Attributes:
        bundled: the folder of the recipes of this kind that come with the package.
    """

    bundled: ClassVar[Path]

    def to_yaml(self) -> str:
        """The recipe with every value, as it can be run again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def check_folder(self, folder: Path) -> None:
        """Check that a run folder has this recipe, or none.

        Raises:
            InputError: the folder holds another one.
        """
        path = folder / RECIPE_FILE
        if not path.is_file():
            return
        difference = self._difference(_read_yaml(path))
        if difference is not None:
            raise InputError(
                f"{path} is another recipe ({difference}); give another folder as out=DIR"
            )

    def _difference(self, values: dict[str, Any]) -> str | None:
        """The first key with another value; ``out`` may be spelt in several ways."""
        try:
            before = type(self).model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        old, new = (dict(_flat(recipe.model_dump(exclude={"out"}))) for recipe in (before, self))
        changed = [key for key in {**new, **old} if old.get(key) != new.get(key)]
        return f"{changed[0]}={old.get(changed[0])}" if changed else None

    def keep_in(self, folder: Path) -> None:
        """Write the recipe into a run folder that has this recipe, or none.

        Raises:
            InputError: as `check_folder` and `write_to`.
        """
        self.check_folder(folder)
        self.write_to(folder)

    def write_to(self, folder: Path) -> None:
        """Write the recipe into a run folder, in place of one that is there.

        Raises:
            InputError: the folder cannot be written.
        """
        write_whole(folder / RECIPE_FILE, self.to_yaml())


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


Kind = TypeVar("Kind", bound=BaseRecipe)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a recipe.

    Attributes:
        name: with dots for keys inside a section.
        type: in words.
        default: as YAML; ``required`` where there is none, ``empty`` for no value.
        explanation: one line.
    """

    name: str
    type: str
    default: str
    explanation: str


def bundled_recipes(kind: type[BaseRecipe]) -> list[str]:
    """Names of the recipes of a kind inside the package."""
    paths = kind.bundled.rglob("*.yaml")
    return sorted(path.relative_to(kind.bundled).with_suffix("").as_posix() for path in paths)


def load_recipe(kind: type[Kind], name_or_path: str | Path, overrides: Sequence[str] = ()) -> Kind:
    """Read a recipe and change values of it.

    Args:
        kind: what a recipe of this kind holds.
        name_or_path: the name of a recipe inside the package, or a YAML file.
        overrides: ``key=value``, with dots for keys inside a section: ``lora.rank=8``. The type of
            the field says how the value is parsed: text and paths verbatim, lists and mappings as
            YAML. No value (``lora=``) is None.

    Raises:
        InputError: no such recipe, or a key or value that a recipe does not have.
    """
    path = Path(name_or_path)
    if str(name_or_path) in bundled_recipes(kind):
        path = kind.bundled / f"{name_or_path}.yaml"
    elif not path.is_file():
        raise InputError(
            f"{name_or_path} is not a recipe; give a YAML file or one of: "
            + ", ".join(bundled_recipes(kind))
        )
    values = _read_yaml(path)
    changed: dict[str, str] = {}
    for override in overrides:
        changed[_set(values, kind, override)] = override
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        place = ".".join(str(part) for part in _first(error)["loc"])
        typed = [changed[key] for key in changed if place == key or place.startswith(f"{key}.")]
        raise InputError(f"{[path.name, *typed][-1]}: {explain(error, kind)}") from error


def is_override(word: str) -> bool:
    """Whether a word of a command line is ``key=value``, and not the name of a file."""
    return _OVERRIDE.match(word) is not None and not Path(word).exists()


def list_keys(kind: type[Section], inside: str = "") -> Iterator[Key]:
    """Every key of a recipe, sections opened, in the order of the fields."""
    for name, field in kind.model_fields.items():
        members = _members(field.annotation)
        default = field.get_default(call_default_factory=True)
        if not isinstance(default, Section):
            described = " ".join((field.description or "").split())
            yield Key(f"{inside}{name}", _type_text(field.annotation), _yaml(default), described)
        for member in members:
            if isinstance(member, type) and issubclass(member, Section):
                yield from list_keys(member, f"{inside}{name}.")


def explain(error: ValidationError, kind: type[Section]) -> str:
    """The first error of a validation, in one line."""
    first = _first(error)
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{place} is missing; give it as {place}=VALUE"
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"there is no key {place!r}{_near_keys(place, kind)}"
    remedy = {"string_type": "; write it in quotes", "tuple_type": "; write it as [one, two]"}
    return (
        f"{place}: {str(first['msg']).lower()}, not {first['input']!r}"
        f"{remedy.get(first['type'], '')}"
    )


def _first(error: ValidationError) -> Any:
    """The error to report: an unknown key first, since it may be a missing one misspelt."""
    return min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known word, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


def _near_keys(place: str, kind: type[Section]) -> str:
    """The nearest key of the section, else a key of this name in another section, else all keys."""
    outer, dot, word = place.rpartition(".")
    beside = _find_section(kind, outer).model_fields
    if not difflib.get_close_matches(word, beside, n=1, cutoff=0.6):
        for key in list_keys(kind):
            if key.name.rpartition(".")[2] == word:
                return f"; did you mean {key.name!r}?"
    return nearest(place, sorted(f"{outer}{dot}{name}" for name in beside))


def _find_section(kind: type[Section], path: str) -> type[Section]:
    for name in path.split(".") if path else ():
        for member in _members(kind.model_fields[name].annotation):
            if isinstance(member, type) and issubclass(member, Section):
                kind = member
    return kind


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not valid YAML ({reason}); fix it") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no 'key: value' lines; see the recipes in the package")
    return values


def _set(values: dict[str, Any], kind: type[Section], override: str) -> str:
    """Change a value inside the plain values of a recipe; returns its key."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"{override!r} does not change a recipe; write key=value")
    *outer, last = key.split(".")
    annotation: Any = kind
    for depth, name in enumerate(outer):
        annotation = _inside(annotation, name, ".".join(outer[:depth]))
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[last] = _parse(_inside(annotation, last, ".".join(outer)), text, override)
    return key


def _inside(annotation: Any, name: str, outer: str) -> Any:
    """The type of a key inside a section or a mapping; Any for one that validation will refuse."""
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, Section):
            field = member.model_fields.get(name)
            return Any if field is None else field.annotation
        if get_origin(member) is dict:
            return get_args(member)[1]
        if member is Any:
            return Any
    raise InputError(f"{outer} is a value and has no keys inside; give it as {outer}=VALUE")


def _parse(annotation: Any, text: str, override: str) -> Any:
    """The value of a text for a field of this type."""
    members = _members(annotation)
    if not text or (text in ("null", "~") and _is_optional(annotation)):
        return None
    if any(member in (str, Path, bool) or get_origin(member) is Literal for member in members):
        return text
    if any(member in (int, float) for member in members):
        return _number(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{override}: {text!r} is not a YAML value; quote it") from error


def _number(text: str) -> float | str:
    """A number, however it is written (``16``, ``1e5``); other text is refused by the field."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that a field allows, None aside."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for member in get_args(annotation) if member is not types.NoneType)
    return (annotation,)


def _is_optional(annotation: Any) -> bool:
    return types.NoneType in get_args(annotation)


def _type_text(annotation: Any) -> str:
    """A type in words: ``number``, ``adaptive | content``, ``list of text``."""
    return " or ".join(_member_text(member) for member in _members(annotation))


def _member_text(member: Any) -> str:
    origin, arguments = get_origin(member), get_args(member)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is tuple:
        return f"list of {_type_text(arguments[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(member, type) and issubclass(member, Section):
        return "section"
    return _TYPES.get(member, "any value")


def _yaml(default: Any) -> str:
    """A default on one line."""
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "empty"
    plain = list(default) if isinstance(default, tuple) else default
    plain = str(plain) if isinstance(plain, Path) else plain
    text = yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()
