"""What ``ask`` is asked: which videos, which questions, together or each video alone."""

from __future__ import annotations

import glob
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from llava_video.chat.media_files import (
    find_videos,
    is_address,
    is_several,
    refuse_repeated,
    same_files,
)
from llava_video.chat.questions_file import Question, read_questions
from llava_video.errors import InputError, LlavaVideoError

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Job:
    """Questions about one video.

    Attributes:
        names: of the video; several where files are the same.
        questions: in order.
    """

    names: tuple[str, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """One question about videos and images that are shown together."""

    files: tuple[str, ...]
    question: str


def read_request(
    words: Sequence[str], questions_file: Path | None, *, has_out: bool
) -> Together | list[Job]:
    """Sort the words of the command line.

    Args:
        words: videos and images, and as the last word the question, unless there is a file of them.
        questions_file: questions about each video alone.
        has_out: whether answers go to a file; then each video is asked about alone.

    Returns:
        One question about everything that is named; or, with a file of questions, an output file, a
        folder or a pattern, the questions about each video.

    Raises:
        InputError: a word is missing or too many, or nothing is found where one points to.
    """
    if questions_file is not None:
        for word in words:
            # A question mark makes a question a pattern too.
            if not (is_address(word) or Path(word).exists() or glob.glob(word, recursive=True)):  # noqa: PTH207
                raise InputError(
                    f"{word}: no file, and no pattern that matches one; with --questions every "
                    "word is a video, and the questions are in the file"
                )
        return _jobs(words, read_questions(questions_file))
    if len(words) < 2:
        raise InputError('ask needs a video and a question: ask VIDEO... "What happens?"')
    *files, question = words
    if not question.strip():
        raise InputError("the question is empty; ask something about the video")
    if Path(question).is_file():
        raise InputError(f"{question}: is a file, and the last word is the question; add one")
    if has_out or any(is_several(name) for name in files):
        return _jobs(files, [Question("1", question)])
    refuse_repeated(files)
    return Together(tuple(files), question)


def _jobs(names: Sequence[str], questions: Sequence[Question]) -> list[Job]:
    """The questions about each video, those of questions that name their own video included."""
    about_all = [question for question in questions if question.video is None]
    if about_all and not names:
        raise InputError(f"which video is {about_all[0].text!r} about? name one, or a folder")
    asked: dict[str, list[Question]] = {name: list(about_all) for name in find_videos(names)}
    for question in questions:
        if question.video is not None:
            asked.setdefault(_named(question.video, asked), []).append(question)
    jobs: list[Job] = []
    for same in same_files(list(asked)):
        first, *others = same
        # The same file under several names is asked about once, unless the questions differ.
        shared = [first, *(name for name in others if asked[name] == asked[first])]
        jobs.append(Job(tuple(shared), tuple(asked[first])))
        jobs += [Job((name,), tuple(asked[name])) for name in others if name not in shared]
    return [job for job in jobs if job.questions]


def _named(video: Path, names: Sequence[str] | dict[str, list[Question]]) -> str:
    """The name under which a video was given already, or its path."""
    path = video.absolute()
    known = (name for name in names if not is_address(name) and Path(name).absolute() == path)
    return next(known, str(video))


@contextmanager
def standard_input_as_file(words: Sequence[str], *, has_out: bool = False) -> Iterator[list[str]]:
    """Words in which ``-`` is a file that holds what comes on standard input.

    Args:
        words: of the command line.
        has_out: whether answers go to a file.

    Raises:
        InputError: nothing comes, there is no room for it, or a file of answers could not name it.
    """
    if STANDARD_INPUT not in words:
        yield list(words)
        return
    if has_out:
        raise InputError("--out names the video of each answer, and - has none; save it first")
    if sys.stdin.isatty():
        raise InputError("- is a video on standard input; pipe one in, as in `ask - < clip.mp4`")
    with TemporaryDirectory(prefix="llava-video-") as folder:
        file = Path(folder) / "standard input"
        try:
            with file.open("wb") as copy:
                shutil.copyfileobj(sys.stdin.buffer, copy)
        except OSError as error:
            raise InputError(
                f"standard input: cannot be copied to {folder} ({error.strerror}); make room"
            ) from error
        try:
            yield [str(file) if word == STANDARD_INPUT else word for word in words]
        except LlavaVideoError as error:
            raise type(error)(str(error).replace(str(file), file.name)) from error
