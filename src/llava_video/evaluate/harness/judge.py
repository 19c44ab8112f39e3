"""Judges: another model says whether a free answer is right, or how detailed it is.

The prompts are those of Video-ChatGPT, which ActivityNet-QA and VideoDetailCaption are scored with,
and that of TempCompass's captioning. A judge that answers prose is asked a second time, and is then
a failure: never a value.
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
MAX_NEW_TOKENS = 128

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
    "caption_judge": "You are an AI assistant for question answering.",
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

_CAPTIONED = """
    You will receive a video description and a multi-choice question. Your task is to choose the \
correct answer and briefly explain the reason why you choose the answer. \
    If none of the choice candidates are correct or the video description lacks enough information \
to answer the question, just answer "None of the choices are correct". \
    Please organize your response in this format:
    ```
    Reasoning: [Your reason to obtain the answer]
    Answer: [Your answer]
    ```

    Here are some examples of video description, multi-choice question and the expected answer:
    ```
    Video Description: A person is palying football.
    Multi-Choice Question:
    What is the person doing in the video?
    A. cooking
    B. palying football
    C. playing basketball
    D. reading book
    Reasoning: The video description mentions that the person is playing football.
    Answer: B. palying football

    Video Description: A bird is flying clockwise.
    Multi-Choice Question:
    In which direction is the bird flying?
    A. backwark
    B. counter-clockwise
    C. clockwise
    D. downward
    Reasoning: The video description mentions that the bird is flying clockwise
    Answer: C. clockwise

    Video Description: An air balloon is inflating.
    Multi-Choice Question:
    What is happening to the air balloon?
    A. exploding
    B. getting smaller
    C. flying
    Reasoning: The video description mentions that the air balloon is inflating, while none of the \
coices can be explained as inflating.
    Answer: None of the choices are correct
    ```
    """

JudgeKind = Literal["yes_no_judge", "score_judge", "caption_judge"]


def judge_prompt(kind: JudgeKind, question: Question, said: str) -> tuple[str, str]:
    """The system message and the question to a judge."""
    if kind == "caption_judge":
        return _SYSTEMS[kind], (
            f"{_CAPTIONED}\nVideo Description:{said}\nMulti-Choice Question:\n"
            f"{question.judged_by}\nAnswer:"
        )
    return _SYSTEMS[kind], (
        "Please evaluate the following video-based question-answer pair:\n\n"
        f"Question: {question.text}\nCorrect Answer: {question.answer}\n"
        f"Predicted Answer: {said}\n\n{_ENDINGS[kind]}"
    )


def read_judgement(kind: JudgeKind, text: str, right: str = "") -> float | None:
    """The value of a judge's answer; None for prose.

    Args:
        kind: of the judge: yes or no are 1 or 0, a score is that whole number, and a judge of
            captions gives 1 where it chooses the right option, 0 where it chooses another or none.
        text: what the judge said.
        right: the right option with its letter, for a judge of captions.
    """
    if kind == "caption_judge":
        return _read_choice(text, right)
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


def _read_choice(text: str, right: str) -> float | None:
    lines = [line for line in text.splitlines() if "Answer" in line]
    said = lines[-1].replace("Answer:", "").strip() if lines else text.strip()
    letters = re.findall(r"\b[A-D]\.", said)
    if not letters and "none of the choices" not in said.lower():
        return None
    is_right = said.partition(". ")[0] == right.partition(". ")[0]
    return float(is_right and len(letters) == 1)


async def ask_judge(kind: JudgeKind, question: Question, said: str, ask: Ask) -> Verdict:
    """The verdict of a judge about an answer."""
    system, prompt = judge_prompt(kind, question, said)
    text = ""
    for attempt in range(NUM_ATTEMPTS):
        text = await ask(system, prompt, attempt)
        value = read_judgement(kind, text, question.answer)
        if value is not None:
            return Verdict(value, said or None)
    return Verdict(None, said or None, f"the judge answered {text[:80]!r}, not a judgement")
