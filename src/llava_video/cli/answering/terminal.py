"""A session on a terminal: questions, and commands that begin with a slash."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console

from llava_video.chat.protocol import CheckpointModel
from llava_video.chat.session import Session
from llava_video.chat.session_page import layout_text, read_seen
from llava_video.chat.transcript import Turn, describe_usage
from llava_video.cli.answering.influence_text import (
    describe_influence,
    frame_values,
    layout_of,
    span_frames_for,
)
from llava_video.cli.answering.options import TINY_NOTICE
from llava_video.errors import InputError, LlavaVideoError
from llava_video.pages.terminal import harmless
from llava_video.records.files import write_whole
from llava_video.representation import tape
from llava_video.video.contact_sheet import draw_contact_sheet

PROMPT = "> "


COMMANDS = {
    "/frames": ("[FILE.png]", "frames that the model saw, or a sheet of them"),
    "/tokens": ("[FILE.svg]", "tokens that they became, or a picture of them"),
    "/why": ("[FILE.svg]", "how much each frame mattered for the last answer"),
    "/representation": ("[T,M,s,p]", "show or change how frames become tokens"),
    "/show": ("FILE", "show a video or an image with the next question"),
    "/save": ("FILE", "write the session: .json to continue, .html to read"),
    "/undo": ("", "take back the last question and its answer"),
    "/help": ("", "list the commands"),
    "/quit": ("", "leave; so does Ctrl-D"),
}
"""Lines that begin with a slash: what follows, and what they do."""


class Terminal:
    """Reads questions and commands, and prints answers, until the end of the input.

    Args:
        session: the conversation.
        model: that of the session.
    """

    def __init__(self, session: Session, model: CheckpointModel) -> None:
        self.session = session
        self._model = model
        self._is_over = False
        self._commands: dict[str, Callable[[str], None]] = {
            "/frames": self._frames,
            "/tokens": self._tokens,
            "/why": self._why,
            "/representation": self._represent,
            "/show": self._show,
            "/save": self._save,
            "/undo": self._undo,
            "/help": self._help,
            "/quit": self._quit,
        }

    def run(self) -> bool:
        """Read until the end; whether every line could be done."""
        went_well = True
        is_terminal = sys.stdin.isatty()
        if is_terminal:
            self._greet()
        for line in self._lines_of_terminal() if is_terminal else self._lines_of_pipe():
            try:
                self.handle(line)
            except KeyboardInterrupt:
                if not is_terminal:
                    raise
                typer.echo("\nstopped; the conversation continues")
            except LlavaVideoError as error:
                went_well = False
                typer.echo(harmless(str(error)), err=True)
            if self._is_over:
                break
        return went_well or is_terminal

    def handle(self, line: str) -> None:
        """Do a command, or ask a question; an empty line is nothing.

        Raises:
            LlavaVideoError: it cannot be done; the session stays as it was.
        """
        line = line.strip()
        name, _, rest = line.partition(" ")
        if name in self._commands:
            self._commands[name](rest.strip())
        elif name.startswith("/"):
            raise InputError(f"{name}: no such command; /help lists them")
        elif line:
            self._ask(line)

    def _greet(self) -> None:
        model = self._model
        typer.echo(f"{model.name} on {model.device}, {model.precision}; /help lists commands")
        for file in self.session.files:
            typer.echo(f"{file.kind} {file.name}")
        if self._model.name == "tiny":
            typer.echo(TINY_NOTICE)

    def _lines_of_terminal(self) -> Iterator[str]:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter

        words = WordCompleter(list(COMMANDS), sentence=True)
        reader: PromptSession[str] = PromptSession(completer=words, complete_while_typing=False)
        while True:
            try:
                yield reader.prompt(PROMPT)
            except KeyboardInterrupt:
                typer.echo("Ctrl-D or /quit leaves")
            except EOFError:
                return

    def _lines_of_pipe(self) -> Iterator[str]:
        for line in sys.stdin:
            if line.strip():
                typer.echo(harmless(f"{PROMPT}{line.rstrip()}"))
            yield line

    def _ask(self, question: str) -> None:
        pieces, num_turns = self.session.stream(question), len(self.session.turns)
        try:
            for piece in pieces:
                typer.echo(harmless(piece.text), nl=False)
        except KeyboardInterrupt:
            pieces.close()
            has_turn = len(self.session.turns) > num_turns
            more = ", /undo takes this answer back" if has_turn else ""
            typer.echo(f"\nstopped; the conversation continues{more}")
            return
        turn = self.session.turns[-1]
        typer.echo()
        for warning in _warnings_of(turn):
            typer.echo(f"warning: {warning}", err=True)
        took = turn.answer.seconds
        first = took.get("first_token", 0.0)
        typer.echo(f"({describe_usage(turn.answer.usage)}; first token after {first:.2f} s)")

    def _frames(self, file: str) -> None:
        turn = self._last_turn()
        for number, video in enumerate(turn.answer.videos):
            typer.echo(f"{video.source}: {layout_text(video)}")
            times = ", ".join(f"{seconds:.2f}" for seconds in video.timestamps_seconds)
            typer.echo(f"  at {times} s")
            if file:
                picture = io.BytesIO()
                sheet = draw_contact_sheet(read_seen(video, turn.options.sampling))
                sheet.save(picture, "PNG")
                _write(_numbered(Path(file), number), picture.getvalue())

    def _tokens(self, file: str) -> None:
        turn = self._last_turn()
        for number, video in enumerate(turn.answer.videos):
            layout = layout_of(video)
            if file:
                picture = tape.to_svg(layout, read_seen(video, turn.options.sampling))
                _write(_numbered(Path(file), number), picture)
            else:
                typer.echo(video.source)
                typer.echo(tape.to_text(layout, width=Console().width))

    def _why(self, file: str) -> None:
        turn = self._last_turn()
        videos = turn.answer.videos
        influence = self._model.influence(
            self.session.conversation_of(turn),
            turn.answer.text,
            turn.options,
            span_frames=span_frames_for(videos),
        )
        for line in describe_influence(influence, videos, Console().width):
            typer.echo(line)
        for number, video in enumerate(videos) if file else ():
            frames = read_seen(video, turn.options.sampling)
            values = frame_values(influence, number, len(frames))
            picture = tape.to_svg(layout_of(video), frames, values)
            _write(_numbered(Path(file), number), picture)

    def _represent(self, text: str) -> None:
        if text:
            chosen = self._model.fit_representation(text)
            self.session.options = replace(self.session.options, representation=chosen)
        used = self.session.options.representation or self._model.representation
        typer.echo(f"V = {used}")

    def _show(self, file: str) -> None:
        if not file:
            raise InputError("/show needs a file: /show clip.mp4")
        self.session.show(file)
        typer.echo(f"{file} is shown with the next question")

    def _save(self, file: str) -> None:
        path = Path(file)
        if path.suffix == ".html":
            self.session.export(path)
        elif path.suffix == ".json":
            self.session.save(path)
        else:
            raise InputError("/save needs a file that ends in .json, or in .html for a page")
        typer.echo(f"wrote {path}")

    def _undo(self, _: str) -> None:
        turn = self.session.undo()
        typer.echo(f"took back {turn.question!r}")

    def _help(self, _: str) -> None:
        for name, (arguments, explanation) in COMMANDS.items():
            usage = f"{name} {arguments}"
            typer.echo(f"{usage:<28}{explanation}")

    def _quit(self, _: str) -> None:
        self._is_over = True

    def _last_turn(self) -> Turn:
        """The last turn, whose answer tells what the model saw."""
        if not self.session.turns:
            raise InputError("the model saw nothing yet; ask something first")
        turn = self.session.turns[-1]
        if not turn.answer.videos:
            raise InputError("the last answer was about no video, or was stopped; ask again")
        return turn


def _warnings_of(turn: Turn) -> Iterator[str]:
    yield from turn.answer.warnings
    for video in turn.answer.videos:
        yield from video.warnings


def _numbered(path: Path, number: int) -> Path:
    """The name for one of several videos: the first has the plain one."""
    return path.with_stem(f"{path.stem}-{number + 1}") if number else path


def _write(path: Path, content: str | bytes) -> None:
    write_whole(path, content)
    typer.echo(f"wrote {path}")
