"""Answers of a model to toyworld questions, and whether they are correct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llava_video.model import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.records.options import chosen_letter
from llava_video.toyworld import Question
from llava_video.types import Frames

_MAX_NEW_TOKENS = 20


def ask(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    questions: Sequence[Question],
    frames: Frames | None,
) -> list[str]:
    """Answer questions about one video, or about none, in one batch."""
    inputs = processor([prompt(q) for q in questions], [frames] * len(questions))
    return generate_answers(model, processor, inputs)


def generate_answers(
    model: LlavaVideoForConditionalGeneration, processor: LlavaVideoProcessor, inputs: Any
) -> list[str]:
    """Greedy answers to the prompts of a batch."""
    output = model.generate(
        **inputs.to(model.device), max_new_tokens=_MAX_NEW_TOKENS, do_sample=False
    )
    return [processor.decode_answer(row, inputs["input_ids"].shape[1]) for row in output]


def prompt(question: Question) -> str:
    """The prompt of a question: it asks for a letter, or for one word."""
    if question.options:
        return question.prompt_multiple_choice()
    return question.prompt_open_ended(one_word=True)


def is_correct(question: Question, answer: str) -> bool:
    """Whether an answer has the correct letter, or is the correct word."""
    if question.options:
        return chosen_letter(answer, question.options) == question.answer_letter
    return answer.strip().rstrip(".").casefold() == question.answer.casefold()
