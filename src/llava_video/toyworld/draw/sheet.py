"""One picture that shows a whole toy world video: frames, script, and questions with answers."""

from __future__ import annotations

import textwrap

from PIL import Image, ImageDraw, ImageFont

from llava_video.records.options import lettered
from llava_video.toyworld.questions.question import Question
from llava_video.toyworld.script import Script, format_script
from llava_video.types import Frames
from llava_video.video.contact_sheet import draw_contact_sheet

_FONT_SIZE = 13
_LINE_HEIGHT = 17
_MARGIN = 12
_INK = (30, 30, 30)


def draw_sheet(frames: Frames, script: Script, questions: list[Question]) -> Image.Image:
    """Frames above, the script on the left below, the questions on the right.

    Args:
        frames: what the video looks like.
        script: what happens in it.
        questions: what is asked about it.

    Returns:
        An RGB image.
    """
    pictures = draw_contact_sheet(frames)
    half = max(620, pictures.width // 2)
    columns = [format_script(script).splitlines(), _lines(questions, (half - 2 * _MARGIN) // 7)]
    height = max(len(lines) for lines in columns) * _LINE_HEIGHT + 2 * _MARGIN
    size = (max(pictures.width, 2 * half), pictures.height + height)
    sheet = Image.new("RGB", size, (255, 255, 255))
    sheet.paste(pictures, (0, 0))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_FONT_SIZE)
    for column, lines in enumerate(columns):
        for row, line in enumerate(lines):
            top = pictures.height + _MARGIN + row * _LINE_HEIGHT
            draw.text((_MARGIN + column * half, top), line, _INK, font)
    return sheet


def _lines(questions: list[Question], width: int) -> list[str]:
    lines = []
    for question in questions:
        options = lettered(question.options)
        answer = f"{question.answer_letter}. {question.answer}".removeprefix(". ")
        text = f"{question.type}: {question.question} {'  '.join(options)}"
        lines += [*textwrap.wrap(text, width), f"    -> {answer}"]
    return lines
