"""Writes the reference pages of the site: the command line, the Python interface, the rooms."""

import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import llava_video

_NO_INTERFACE = {"__main__", "cli", "plugins"}
"""What is said by the page of the command line, and what only vLLM can import."""


def write(folder: Path) -> None:
    """Write ``cli.md``, ``python.rst`` and ``rooms/*.rst``, and remove what is none of them."""
    pages = {"cli.md": command_line(), "python.rst": python_interface()}
    for room in pkgutil.iter_modules(llava_video.__path__):
        if room.name not in _NO_INTERFACE:
            pages[f"rooms/{room.name}.rst"] = room_page(room)
    for name, text in pages.items():
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        if not page.exists() or page.read_text(encoding="utf-8") != text:  # else it is built anew
            page.write_text(text, encoding="utf-8")
    for page in {*folder.rglob("*.*")} - {folder / name for name in pages}:
        page.unlink()


def command_line() -> str:
    """Every verb with its options, by Typer's own generator."""
    typer = [sys.executable, "-m", "typer", "llava_video.cli.app", "utils", "docs"]
    title = ["--name", "llava-video", "--title", "Command line"]
    return subprocess.run([*typer, *title], check=True, stdout=subprocess.PIPE, text=True).stdout


def python_interface() -> str:
    """Every name of ``llava_video.__all__``."""
    parts = [_title("Python interface"), ".. automodule:: llava_video\n"]
    for name in public_names():
        value = getattr(llava_video, name)
        parts.append(_title(name, "-"))
        if isinstance(value, type):
            kind = "exception" if issubclass(value, Exception) else "class"
            parts.append(f".. auto{kind}:: llava_video.{name}\n   :members:\n")
        else:
            twice = "   :no-index:\n" if isinstance(value, ModuleType) else ""  # a room, too
            parts.append(f".. autofunction:: llava_video.{name}\n{twice}")
    return "\n".join(parts)


def public_names() -> list[str]:
    """The names of ``llava_video.__all__``, without those of Python's own protocols."""
    return [name for name in llava_video.__all__ if not name.startswith("__")]


def room_page(room: pkgutil.ModuleInfo) -> str:
    """A room's docstring and those of its modules, in alphabetical order."""
    name = f"llava_video.{room.name}"
    parts = [_title(room.name), _automodule(name, has_members=not room.ispkg)]
    folders = [str(Path(folder) / room.name) for folder in llava_video.__path__]
    for module in pkgutil.walk_packages(folders, f"{name}."):
        title = module.name.removeprefix("llava_video.")
        parts += [_title(title, "-"), _automodule(module.name, has_members=not module.ispkg)]
    return "\n".join(parts)


def _automodule(name: str, has_members: bool) -> str:
    return f".. automodule:: {name}\n" + "   :members:\n" * has_members


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"
