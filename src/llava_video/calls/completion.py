"""Reads chat completions: the answer, its thoughts, a refusal, an error in place of an answer."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from llava_video.calls.messages import Reply, Usage

# Marks of thoughts in answers, as chat templates write them: (opening, closing).
_TAGS = "think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad|seed:think"
_PAIRS = (
    (rf"<({_TAGS})(?:\s[^<>]*)?>", rf"</(?:{_TAGS})\s*>"),
    (r"\[(THINK)\]", r"\[/THINK\]"),
    (r"◁(think)▷", r"◁/think▷"),
    (r"<\|(START_THINKING)\|>", r"<\|END_THINKING\|>"),
    (r"<\|(begin_of_thought)\|>", r"<\|end_of_thought\|>"),
    (
        r"(?:<\|start\|>assistant)?<\|channel\|>(analysis|commentary)[^<]*<\|message\|>",
        r"<\|end\|>|(?=<\|start\|>|<\|channel\|>)",
    ),
)
_WRAPPERS = re.compile(
    r"</?answer>|<\|/?(?:START|END)_RESPONSE\|>|<\|(?:begin|end)_of_solution\|>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>final[^<]*<\|message\|>"
    r"|<\|(?:return|end|im_end|eot_id|endoftext)\|>|<\|begin_of_box\|>|<\|end_of_box\|>",
    re.IGNORECASE,
)
_MARKS = re.compile("|".join(part for pair in _PAIRS for part in pair), re.IGNORECASE)


class BodyError(ValueError):
    """The body of a successful response is an error.

    Attributes:
        status: HTTP status that the body names; None where it names none.
        kind: its ``type`` or ``code``, as text.
    """

    def __init__(self, message: str, status: int | None, kind: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


def _whole_characters(value: Any) -> Any:
    """Lone surrogates cannot be encoded as UTF-8, so they are replaced."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


_Text = Annotated[str, BeforeValidator(_whole_characters)]
_Count = Annotated[int, Field(ge=0, le=10**12)]
_Parts = Annotated[Any, BeforeValidator(_whole_characters)]

# Parts of a content list that hold no answer: (type of the part) for thoughts, and refusals.
_THOUGHT_PARTS = ("thinking", "reasoning", "reasoning_text", "thought", "redacted_thinking")


class _Message(BaseModel):
    content: _Parts = None
    refusal: _Text | None = None
    reasoning_content: Any = None  # DeepSeek, vLLM, llama.cpp, SGLang
    reasoning: Any = None  # OpenRouter, Ollama, newer vLLM
    thinking: Any = None


class _Choice(BaseModel):
    message: _Message | None = None  # none where a filter ended the answer
    text: _Text | None = None
    finish_reason: _Text | None = None
    error: Any = None


class _PromptDetails(BaseModel):
    cached_tokens: _Count | None = None


class _CompletionDetails(BaseModel):
    reasoning_tokens: _Count | None = None


class _Usage(BaseModel):
    prompt_tokens: _Count
    completion_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Completion(BaseModel):
    id: _Text | None = None
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


def read_completion(value: Any, rate_limits: tuple[tuple[str, str], ...] = ()) -> Reply:
    """The answer in a chat completion.

    Raises:
        BodyError: it is an error of the server.
        ValueError: it is no chat completion.
    """
    _check_no_error(value)
    completion = _Completion.model_validate(value)
    [choice, *_] = completion.choices
    has_content = choice.message is not None and choice.message.content
    if choice.error or (choice.finish_reason == "error" and not has_content):
        raise _body_error(choice.error or "the server ended the answer with an error")
    message = choice.message or _Message(content=choice.text)
    if choice.message is None and choice.text is None and not choice.finish_reason:
        raise ValueError("a choice without a message")
    text, thoughts, refusal = _read_parts(message.content)
    answer, inner = split_thoughts(text)
    beside = message.reasoning_content or message.reasoning or message.thinking
    refusal = message.refusal or refusal
    return Reply(
        text=answer if answer.strip() or not refusal else refusal,
        request_id=completion.id or "",
        finish_reason=choice.finish_reason or "",
        usage=_read_usage(completion.usage),
        rate_limits=rate_limits,
        thoughts="\n\n".join(filter(None, (_plain(beside), thoughts, inner))),
        is_refusal=bool(refusal),
    )


def _read_parts(content: Any) -> tuple[str, str, str]:
    """Text, thoughts and refusal in ``content``, which is a text or a list of parts.

    Raises:
        ValueError: it is neither.
    """
    if content is None or isinstance(content, str):
        return content or "", "", ""
    parts = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise ValueError(f"content is {type(content).__name__}, neither a text nor parts")
    texts: dict[str, list[str]] = {"text": [], "thoughts": [], "refusal": []}
    for part in parts:
        if isinstance(part, str):
            texts["text"].append(part)
        elif not isinstance(part, dict):
            raise ValueError(f"a part of content is {type(part).__name__}")
        elif part.get("type") in _THOUGHT_PARTS or part.get("thought") is True:
            texts["thoughts"].append(_plain(part))
        elif part.get("type") == "refusal" or "refusal" in part:
            texts["refusal"].append(_plain(part.get("refusal") or part.get("text")))
        else:
            texts["text"].append(_plain(part))
    whole = {name: _whole_characters("".join(found)) for name, found in texts.items()}
    return whole["text"], whole["thoughts"], whole["refusal"]


def _plain(value: Any) -> str:
    """The words in a nested value: texts, lists of parts, parts."""
    if isinstance(value, str):
        return str(_whole_characters(value))
    if isinstance(value, list):
        return "".join(map(_plain, value))
    if isinstance(value, dict):
        names = ("text", "content", "value", "thinking", "reasoning", "summary", "output_text")
        return next((_plain(value[name]) for name in names if value.get(name)), "")
    return ""


def _check_no_error(value: Any) -> None:
    if not isinstance(value, dict) or value.get("choices"):
        return
    error = value.get("error") or value.get("errors")
    if not error and value.get("object") == "error":  # vLLM's older form
        error = value
    if not error and value.get("detail") and "choices" not in value:
        error = value["detail"]
    if error:
        raise _body_error(error)


def _body_error(error: Any) -> BodyError:
    if not isinstance(error, dict):
        return BodyError(_one_line(error), None, "")
    message = error.get("message") or error.get("detail") or error
    codes = [error.get(name) for name in ("code", "status", "status_code", "http_code")]
    numbers = [int(str(code)) for code in codes if str(code).isdigit()]
    statuses = [number for number in numbers if 400 <= number < 600]
    kinds = [str(error.get(name)) for name in ("type", "code") if error.get(name)]
    return BodyError(_one_line(message), statuses[0] if statuses else None, " ".join(kinds))


def _one_line(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(str(_whole_characters(text)).split())[:300]


def _read_usage(value: Any) -> Usage | None:
    """Tokens from the ``usage`` of a completion; None where it is missing or invalid."""
    try:
        usage = _Usage.model_validate(value)
    except ValidationError:  # the answer is good all the same
        return None
    prompt, done = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens or 0,
        cached_tokens=min(usage.prompt_tokens, (prompt and prompt.cached_tokens) or 0),
        reasoning_tokens=(done and done.reasoning_tokens) or 0,
    )


def split_thoughts(text: str) -> tuple[str, str]:
    """The answer without its thoughts, and the thoughts.

    Thoughts stand between marks such as ``<think>`` and ``</think>``. One that is not closed goes
    to the end: the answer never came. A closing mark without an opening one, whose opening stood in
    the prompt, ends a thought that began with the text. A text without thoughts stays as it is.
    """
    if not (_MARKS.search(text) or _WRAPPERS.search(text)):
        return text, ""
    thoughts: list[str] = []
    for opening, closing in _PAIRS:
        text = _cut(text, opening, closing, thoughts)
    answer = _WRAPPERS.sub("", text).strip()
    return answer, "\n\n".join(filter(None, map(str.strip, thoughts)))


def _cut(text: str, opening: str, closing: str, thoughts: list[str]) -> str:
    """The text without what stands between the marks, which is added to the thoughts."""
    starts, ends = re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE)
    kept, position = [], 0
    while (start := starts.search(text, position)) is not None:
        kept.append(text[position : start.start()])
        end = _closing_of(text, start, starts, ends)
        thoughts.append(text[start.end() : end[0]])
        position = end[1]
    rest = "".join([*kept, text[position:]])
    unopened = [match for match in ends.finditer(rest) if match.end() > match.start()]
    if unopened:
        thoughts.insert(0, rest[: unopened[-1].start()])
        rest = rest[unopened[-1].end() :]
    return rest


def _closing_of(
    text: str, start: re.Match[str], starts: re.Pattern[str], ends: re.Pattern[str]
) -> tuple[int, int]:
    """Where the thought that opens here ends, thoughts inside it taken into account."""
    depth, position = 1, start.end()
    first = ends.search(text, position)
    while (end := ends.search(text, position)) is not None:
        inner = starts.search(text, position, end.start())
        if inner is not None:
            depth, position = depth + 1, inner.end()
        else:
            depth, position = depth - 1, max(end.end(), position + 1)
            if depth == 0:
                return end.start(), end.end()
    # Models write the opening mark twice and close once more often than they nest.
    return (first.start(), first.end()) if first is not None else (len(text), len(text))
