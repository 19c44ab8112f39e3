"""Prompts: Markdown files with a system and a user part, identified by their hash."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from llava_video.annotate.records import Kind
from llava_video.records.question_types import QUESTION_TYPES, QuestionType

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
def load_prompt(name: str) -> Prompt:
    """The prompt ``prompts/{name}.md``."""
    text = _read(f"{name}.md")
    system, user = re.split(r"^## User\n", text.split("## System\n", 1)[1], flags=re.MULTILINE)
    return Prompt(name, f"{name}@{_digest(text)}", system.strip(), user.strip() + "\n")


@cache
def load_examples(slug: str) -> tuple[str, tuple[Example, ...]]:
    """Definition and examples of one question type, from ``prompts/types/{slug}.md``."""
    definition, *blocks = re.split(r"^## Example\n", _read(f"types/{slug}.md"), flags=re.MULTILINE)
    definition = " ".join(definition.split("\n", 1)[1].split())
    return definition, tuple(_example(block) for block in blocks)


def dimensions(types: tuple[str, ...], kind: Kind) -> str:
    """Definitions and examples of several types, as they stand in a prompt."""
    chosen = [t for t in QUESTION_TYPES if t.slug in types]
    return "\n\n".join(_dimension(question_type, kind) for question_type in chosen)


def version_with(prompt: Prompt, system: str) -> str:
    """Version of a prompt whose system message was filled, say with the examples of some types."""
    return f"{prompt.name}@{_digest(system + prompt.user)}"


def _dimension(question_type: QuestionType, kind: Kind) -> str:
    definition, examples = load_examples(question_type.slug)
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


def _read(name: str) -> str:
    return (resources.files("llava_video.annotate.steps") / "prompts" / name).read_text(
        encoding="utf-8"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
