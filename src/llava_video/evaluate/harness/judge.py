"""Judges: another model says whether a free answer is right, or how detailed it is.

The prompts are those of Video-ChatGPT, which ActivityNet-QA and VideoDetailCaption are scored with.
A judge that answers prose is asked a second time, and is then a failure: never a value.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.scoring.verdicts import Verdict

Ask = Callable[[str, str, int], Awaitable[str]]
"""From a system message, a question and the number of the attempt to the judge's answer."""

NUM_ATTEMPTS = 2
MAX_NEW_TOKENS = 64

_SYSTEMS = {
    "yes_no_judge": (
        "You are an intelligent chatbot designed for evaluating the correctness of generative "
        "outputs for question-answer pairs. Your task is to compare the predicted answer with the "
        "correct answer and determine if they match meaningfully. Here's how you can accomplish "
        "the task:------##INSTRUCTIONS: "
        "- Focus on the meaningful match between the predicted answer and the correct answer.\n"
        "- Consider synonyms or paraphrases as valid matches.\n"
        "- Evaluate the correctness of the prediction compared to the answer."
    ),
    "score_judge": (
        "You are an intelligent chatbot designed for evaluating the detail orientation of "
        "generative outputs for video-based question-answer pairs. Your task is to compare the "
        "predicted answer with the correct answer and determine its level of detail, considering "
        "both completeness and specificity. Here's how you can accomplish the task:------"
        "##INSTRUCTIONS: "
        "- Check if the predicted answer covers all major points from the video. The response "
        "should not leave out any key aspects.\n"
        "- Evaluate whether the predicted answer includes specific details rather than just "
        "generic points. It should provide comprehensive information that is tied to specific "
        "elements of the video.\n"
        "- Consider synonyms or paraphrases as valid matches.\n"
        "- Provide a single evaluation score that reflects the level of detail orientation of the "
        "prediction, considering both completeness and specificity."
    ),
}
_ENDINGS = {
    "yes_no_judge": (
        "Provide your evaluation only as a yes/no and score where the score is an integer value "
        "between 0 and 5, with 5 indicating the highest meaningful match. Please generate the "
        "response in the form of a Python dictionary string with keys 'pred' and 'score', where "
        "value of 'pred' is  a string of 'yes' or 'no' and value of 'score' is in INTEGER, not "
        "STRING.DO NOT PROVIDE ANY OTHER OUTPUT TEXT OR EXPLANATION. Only provide the Python "
        "dictionary string. For example, your response should look like this: "
        "{'pred': 'yes', 'score': 4.8}."
    ),
    "score_judge": (
        "Provide your evaluation only as a detail orientation score where the detail orientation "
        "score is an integer value between 0 and 5, with 5 indicating the highest level of detail "
        "orientation. Please generate the response in the form of a Python dictionary string with "
        "keys 'score', where its value is the detail orientation score in INTEGER, not STRING.DO "
        "NOT PROVIDE ANY OTHER OUTPUT TEXT OR EXPLANATION. Only provide the Python dictionary "
        "string. For example, your response should look like this: {'score': 4.8}."
    ),
}

JudgeKind = Literal["yes_no_judge", "score_judge"]


def judge_prompt(kind: JudgeKind, question: Question, said: str) -> tuple[str, str]:
    """The system message and the question to a judge."""
    return _SYSTEMS[kind], (
        "Please evaluate the following video-based question-answer pair:\n\n"
        f"Question: {question.text}\nCorrect Answer: {question.answer}\n"
        f"Predicted Answer: {said}\n\n{_ENDINGS[kind]}"
    )


def read_judgement(kind: JudgeKind, text: str) -> float | None:
    """The value of a judge's answer: 1 or 0 for yes or no, or the whole score; None for prose."""
    match = re.search(r"\{[^{}]*\}", text)
    if match is None:
        return None
    try:
        found: Any = ast.literal_eval(match[0])
    except (ValueError, SyntaxError):
        return None
    if not isinstance(found, dict):
        return None
    if kind == "yes_no_judge":
        return {"yes": 1.0, "no": 0.0}.get(str(found.get("pred", "")).strip().lower())
    score = found.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 5:
        return None
    return float(int(score))


async def ask_judge(kind: JudgeKind, question: Question, said: str, ask: Ask) -> Verdict:
    """The verdict of a judge about an answer."""
    system, prompt = judge_prompt(kind, question, said)
    text = ""
    for attempt in range(NUM_ATTEMPTS):
        text = await ask(system, prompt, attempt)
        value = read_judgement(kind, text)
        if value is not None:
            return Verdict(value, said or None)
    return Verdict(None, said or None, f"the judge answered {text[:80]!r}, not a judgement")
