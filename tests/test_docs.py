"""What README.md and docs/ say is there: files, headings, verbs, options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from llava_video.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [page for folder in ("", "docs", "examples") for page in (ROOT / folder).glob("*.md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\S*).*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
PROGRAM = re.compile(r"(?:llava-video|python -m llava_video|-m llava_video)\s+(.*)", re.DOTALL)
FILE = re.compile(r"\b(?:benchmarks|docs|examples|tests)/[\w/.-]*\w")
MODULE = re.compile(r"`([\w/]+\.py)\b")
HISTORY = {"CHANGELOG.md", "decisions.md"}
SITE_ONLY = "docs/reference/"

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if target.relative_to(ROOT).as_posix().startswith(SITE_ONLY):
            continue  # `make docs` writes and checks it
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in headings(target), f"{link}: no such heading"


@pages
def test_files_that_are_named_exist(page):
    if page.name in HISTORY:
        pytest.skip("says what was")
    text = page.read_text(encoding="utf-8")
    for name in FILE.findall(text):
        assert (ROOT / name).exists() or name.startswith(SITE_ONLY), f"{name}: no such file"
    modules = [f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob("*/**/*.py")]
    for name in MODULE.findall(text):
        assert any(module.endswith(f"/{name}") for module in modules), f"{name}: no such module"


def commands(text: str) -> Iterator[str]:
    """What stands behind the program's name: in fences, with lines that go on, and in text."""
    for language, block in FENCE.findall(text):
        if language not in {"python", "json", "yaml"}:
            for line in re.sub(r"\n[ ]+", " ", block).splitlines():
                yield from (part for step in line.split("&&") for part in PROGRAM.findall(step))
    for span in SPAN.findall(FENCE.sub("", text)):
        yield from PROGRAM.findall(span)


@pages
def test_verbs_and_options_of_commands_exist(page):
    for command in commands(page.read_text(encoding="utf-8")):
        check(command)


def check(command: str) -> None:
    words = shlex.split(re.sub(r"[\[\]|]", " ", command).replace("'", ""), comments=True)
    verb = typer.main.get_command(app)
    while hasattr(verb, "commands") and words and not words[0].startswith("-"):
        assert words[0] in verb.commands, f"{command}: no verb {words[0]}"
        verb = verb.commands[words.pop(0)]
    options = {name for parameter in verb.params for name in parameter.opts} | {"--help"}
    unknown = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
    unknown -= options
    assert not unknown, f"{command}: no option {', '.join(sorted(unknown))}"


def test_the_checks_of_commands_can_fail():
    assert list(
        commands("`llava-video ask a b`\n\n```\nx && llava-video plan\n   --json\n```\n")
    ) == [
        "plan --json",
        "ask a b",
    ]
    with pytest.raises(AssertionError, match="no verb answer"):
        check("annotate answer VIDEO")
    with pytest.raises(AssertionError, match="no option --modell"):
        check("ask VIDEO 'What happens?' --modell tiny [--json]")
