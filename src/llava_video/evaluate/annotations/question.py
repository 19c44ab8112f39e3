"""A question of a benchmark, in the one form that everything behind the tasks reads."""

from __future__ import annotations

from dataclasses import dataclass

from llava_video.records.options import LETTERS, ask_with_options

OPTION_FORMS = {"dotted": "{letter}. {option}", "bracketed": "({letter}) {option}"}
"""How options are written below a question: ``A. red`` or ``(A) red``."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one video.

    Attributes:
        id: unique in its benchmark.
        video: file or name of the video, as the annotations have it.
        text: the question alone.
        options: without letters; none for an open-ended question.
        answer: letter of the right option, or the reference answer; empty where it is not public.
        type: what the benchmark sorts its questions by; empty where it does not.
        duration: the benchmark's duration group; empty where it has none.
        written: question with options as the annotations write them, where prompts repeat that.
        subtitles: file of subtitles, below the folder of the videos.
        before: prompt and answer of the turn before; empty for a first question.
        also: further reference answers.
        judged_by: multiple-choice question that a judge answers from what the model says.
        start_seconds: where the part of the video begins that the question is about.
        end_seconds: where that part ends; None for the end of the video.
    """

    id: str
    video: str
    text: str
    options: tuple[str, ...] = ()
    answer: str = ""
    type: str = ""
    duration: str = ""
    written: str = ""
    subtitles: str = ""
    before: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    judged_by: str = ""
    start_seconds: float = 0.0
    end_seconds: float | None = None

    @property
    def letters(self) -> str:
        """Letters of the options."""
        return LETTERS[: len(self.options)]

    def with_options(self, ending: str = "", form: str = "dotted") -> str:
        """Question, options and ending, one a line."""
        if form == "dotted":
            lines = ask_with_options(self.text, self.options, ending)
            return lines if ending else lines.removesuffix("\n")
        listed = [self.listed_options(form)] if self.options else []
        return "\n".join([self.text, *listed, *([ending] if ending else [])])

    def listed_options(self, form: str) -> str:
        """The options alone, one a line."""
        return "\n".join(
            OPTION_FORMS[form].format(letter=letter, option=option)
            for letter, option in zip(self.letters, self.options, strict=True)
        )
