"""Prompts: Markdown files with a system and a user part, identified by their hash."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from llava_video.annotate.records import Kind
from llava_video.errors import InputError
from llava_video.records.question_types import QUESTION_TYPES, QuestionType, find_type

PROMPTS = ("level1", "level2", "level3", "open_ended", "multi_choice", "free_open_ended",
           "free_multi_choice", "faithfulness", "blind")  # fmt: skip
"""Names of all prompts."""
FREE_FORM = "free_form"
"""Type of questions that were asked for without types."""
_HOLE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt file.

    Attributes:
        name: its file name without the suffix.
        version: the name and a hash of the content: as in the provenance of captions.
        system: the system message, with placeholders ``{{name}}``.
        user: the user message, with placeholders.
    """

    name: str
    version: str
    system: str
    user: str


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example of a question type."""

    description: str
    question: str
    answer: str
    distractors: tuple[str, ...]


def fill(text: str, **values: object) -> str:
    """The text with every placeholder filled; one without a value, or the reverse, is an error.

    Values are inserted once; placeholders in them stay.
    """
    holes = set(_HOLE.findall(text))
    if holes != set(values):
        raise KeyError(f"prompt wants {sorted(holes)}, got {sorted(values)}")
    return _HOLE.sub(lambda hole: str(values[hole[1]]), text)


@cache
def load_prompt(name: str, folder: str | None = None) -> Prompt:
    """The prompt ``{name}.md`` of a folder, or of the package where that has none.

    Raises:
        InputError: the file is not a prompt with the placeholders of the package's.
    """
    text = _read(f"{name}.md", folder)
    prompt = _parse_prompt(name, text)
    wanted = _parse_prompt(name, _read(f"{name}.md", None))
    if prompt is None or wanted is None:
        raise InputError(f"{folder}/{name}.md: has no lines '## System' and '## User'; add them")
    for part in ("system", "user"):
        own, holes = (set(_HOLE.findall(getattr(p, part))) for p in (prompt, wanted))
        if own != holes:
            named = ", ".join(f"{{{{{hole}}}}}" for hole in sorted(holes)) or "none"
            raise InputError(f"{folder}/{name}.md: placeholders of its {part} part must be {named}")
    return prompt


def _parse_prompt(name: str, text: str) -> Prompt | None:
    found = re.fullmatch(r".*?^## System\n(.*?)^## User\n(.*)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        return None
    return Prompt(name, f"{name}@{_digest(text)}", found[1].strip(), found[2].strip() + "\n")


@cache
def load_examples(slug: str, folder: str | None = None) -> tuple[str, tuple[Example, ...]]:
    """Definition and examples of one question type, from ``types/{slug}.md``.

    Raises:
        InputError: an example lacks its description, question, answer or wrong answers.
    """
    text = _read(f"types/{slug}.md", folder)
    definition, *blocks = re.split(r"^## Example\n", text, flags=re.MULTILINE)
    definition = " ".join(definition.partition("\n")[2].split())
    try:
        return definition, tuple(_example(block) for block in blocks)
    except KeyError as error:
        raise InputError(
            f"{folder}/types/{slug}.md: an example without {error}; it needs Description:, "
            "Question:, Answer: and Wrong: (separated by |)"
        ) from error


@cache
def question_types(folder: str | None = None) -> tuple[QuestionType, ...]:
    """The paper's question types, and further ones of a folder: ``types/*.md``.

    Raises:
        InputError: there is no such folder, or a file of it has no title.
    """
    if folder is None:
        return QUESTION_TYPES
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder; give prompts a folder of prompts")
    known = {own.slug for own in QUESTION_TYPES}
    more = []
    for path in sorted((Path(folder) / "types").glob("*.md")):
        title = re.match(r"#\s+(\S.*)\n", _read(f"types/{path.name}", folder))
        if title is None:
            raise InputError(f"{path}: its first line must be '# ' and the name of the type")
        if path.stem not in known:
            more.append(QuestionType(path.stem, title[1].strip(), 0.0))
    return (*QUESTION_TYPES, *more)


def type_named(name: str, folder: str | None = None) -> str | None:
    """Slug of the type that a model's wording names, or None."""
    own = {re.sub(r"\W|_", "", x.lower()): t.slug for t in question_types(folder)
           for x in (t.slug, t.title)}  # fmt: skip
    return find_type(name) or own.get(re.sub(r"\W|_", "", name.lower()))


def titles(folder: str | None = None) -> dict[str, str]:
    """Titles of question types by slug; of the package's alone where the folder is gone."""
    is_there = folder is not None and Path(folder).is_dir()
    found = {own.slug: own.title for own in question_types(folder if is_there else None)}
    return {**found, FREE_FORM: "Free-form"}


def prompts_digest(folder: str | None) -> str:
    """Hash of all files of a folder of prompts; empty for the package's own."""
    if folder is None:
        return ""
    paths = sorted(path for path in Path(folder).rglob("*.md") if path.is_file())
    texts = [f"{path.relative_to(folder).as_posix()}\n{path.read_text()}" for path in paths]
    return _digest("\0".join(texts))


def dimensions(types: tuple[str, ...], kind: Kind, folder: str | None = None) -> str:
    """Definitions and examples of several types, as they stand in a prompt."""
    chosen = [t for t in question_types(folder) if t.slug in types]
    return "\n\n".join(_dimension(question_type, kind, folder) for question_type in chosen)


def version_with(prompt: Prompt, system: str) -> str:
    """Version of a prompt whose system message was filled, say with the examples of some types."""
    return f"{prompt.name}@{_digest(system + prompt.user)}"


def _dimension(question_type: QuestionType, kind: Kind, folder: str | None) -> str:
    definition, examples = load_examples(question_type.slug, folder)
    lines = [f"#### {question_type.title}", definition]
    for number, example in enumerate(examples, 1):
        lines += [f"Description {number}: {example.description}"]
        lines += [f"Question {number}: {example.question}"]
        lines += [f"Answer {number}: {example.answer}"]
        if kind == "multi_choice":
            lines += [f"Wrong answers {number}: {' | '.join(example.distractors)}"]
    return "\n".join(lines)


def _example(block: str) -> Example:
    fields = dict(re.findall(r"^(\w+): (.+?)(?=\n\w+: |\s*\Z)", block, re.MULTILINE | re.DOTALL))
    flat = {name: " ".join(text.split()) for name, text in fields.items()}
    return Example(
        flat["Description"],
        flat["Question"],
        flat["Answer"],
        tuple(part.strip() for part in flat["Wrong"].split("|")),
    )


def _read(name: str, folder: str | None) -> str:
    """A file of a folder of prompts, or of the package's where it is not there."""
    path = Path(folder) / name if folder is not None else None
    if path is not None and path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    package = resources.files("llava_video.annotate.steps") / "prompts"
    return (package / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
