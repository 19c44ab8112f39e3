"""Choices of a question, however a model writes them: labels cut off, the right one found."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llava_video.records.options import LETTERS

_LABEL = re.compile(
    r"\s*(?:\*\*)?(?:(?:option|choice|answer)\s+)?"
    r"(?:[(\[]\s*(?P<closed>[A-Za-z]|\d{1,2})\s*[)\]]"
    r"|(?P<bare>[A-Za-z](?=\s*[.):\]])|\d{1,2}(?=\s*[.)]))\s*[.):\]]"
    r"|(?P<dashed>[A-Za-z])\s+[-–—](?=\s))[.):]?(?:\*\*)?(?:\s+(?=\S)|(?<=[A-Za-z][.):])(?=[A-Z][a-z])|(?<=\))(?=\w))",
    re.IGNORECASE,
)
_LETTER_ALONE = re.compile(
    r"\W*(?:(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:answer|option|choice)(?:\s+is)?\W*)*"
    r"(?P<letter>[A-Za-z])\W*",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(
    r"(?i)^(?:the\s+)?(?:(?:correct|right|best)\s+)?answer(?:\s+is)?\s*[:=]\s*(?=\S)"
)
# What marks the right choice in its own text.
_MARK = re.compile(
    r"(?i)\s*(?:[(\[]\s*(?:correct|right|true)(?:\s+answer)?\s*[)\]]|[✓✔✅☑])\ufe0f?\s*$"
)
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")
_WRONG_KEYS = ("wrong_answers", "distractors", "incorrect_answers", "wrong", "incorrect",
               "wrong_options", "wrong_choices", "incorrect_options", "false_answers")  # fmt: skip
_ALL_KEYS = ("options", "choices", "answers", "alternatives", "candidates")
_ANSWER_KEYS = ("answer", "correct_answer", "right_answer", "correct", "correct_option",
                "correct_choice", "answer_text", "answer_letter", "correct_letter", "label",
                "solution", "ground_truth", "gold")  # fmt: skip
_INDEX_KEYS = ("answer_index", "correct_index", "index", "answer_idx", "correct_idx", "label_index",
               "correct_answer_index", "correct_option_index")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of a question.

    Attributes:
        answer: the right one; empty where none was written.
        wrong: the others, in the order written.
        problem: why the right one cannot be told, one word; empty where it can.
    """

    answer: str
    wrong: tuple[str, ...]
    problem: str = ""


def read_answer(pair: dict[str, Any]) -> Any:
    """The value under whatever name a model gave the answer; None without any."""
    found = (pair[key] for key in (*_ANSWER_KEYS, *_INDEX_KEYS) if pair.get(key) is not None)
    return next(found, None)


def index_base(pairs: Iterable[dict[str, Any]]) -> int | None:
    """Whether answers that are numbers count from 0 or 1, where some of them tell; else None."""
    seen: set[int] = set()
    for pair in pairs:
        number = _number(read_answer(pair))
        texts, _ = _texts(_first(pair, _ALL_KEYS))
        if number is not None and texts:
            seen |= {0} if number == 0 else set()
            seen |= {1} if number == len(texts) else set()
    return seen.pop() if len(seen) == 1 else None


def read_choices(pair: dict[str, Any], num_choices: int, base: int | None = None) -> Choices:
    """The choices in a pair, whose keys are lower case.

    Labels such as ``A)`` or ``2.`` are cut off, once, where they number the choices. The answer may
    be a text, a label, or an index; where its text and its label name two choices, or an index may
    count from 0 or from 1, nothing is guessed.

    Args:
        pair: what the model wrote.
        num_choices: how many choices were asked for.
        base: what `index_base` found in all pairs of the answer.
    """
    value = read_answer(pair)
    lettered = {key: pair[key] for key in "abcdefgh" if isinstance(pair.get(key), str)}
    listed = _first(pair, _ALL_KEYS) or (lettered if len(lettered) > 1 else None)
    texts, labels = _texts(listed)
    wrong, wrong_labels = _texts(_first(pair, _WRONG_KEYS))
    answer, answer_label = _answer_text(value)
    if any(_is_roman(text) for text in _listed(listed)[0]) and _arabic(answer) != answer:
        answer = _arabic(answer)
        answer_label = answer.partition(")")[0] if ")" in answer else ""
        value = int(answer) if answer.isdigit() else value
    if len(texts) < 2:
        texts, labels = [], []
    if not texts and len(wrong) >= num_choices:
        texts, labels, wrong, wrong_labels = wrong, wrong_labels, [], []
    if texts:
        return _of_all(value, answer, answer_label, texts, labels, wrong, pair, base)
    return _of_wrong(answer, answer_label, wrong, wrong_labels)


def _of_wrong(answer: str, label: str, wrong: list[str], labels: list[str]) -> Choices:
    """An answer, and the choices beside it."""
    if _LETTER_ALONE.fullmatch(answer) and not any(_LETTER_ALONE.fullmatch(w) for w in wrong):
        return Choices("", tuple(wrong), "answer_without_text")  # the right one is nowhere written
    # Beside choices without labels a letter is one; where they begin like it, as names do
    # ("J. Adams"), it is part of the text.
    is_alone = label in LETTERS[:8] and not any(map(_LABEL.match, wrong))
    if label and (is_alone or (labels and _numbers([label], len(wrong) + 1))):
        answer = _LABEL.sub("", answer, count=1)
    return Choices(answer, tuple(wrong))


def _of_all(
    value: Any,
    answer: str,
    answer_label: str,
    texts: list[str],
    labels: list[str],
    wrong: list[str],
    pair: dict[str, Any],
    base: int | None,
) -> Choices:
    """An answer that is one of the choices listed, or stands beside them."""
    by_text = _position_of(answer, texts)
    if isinstance(value, bool) and by_text is None:
        by_text = _position_of(str(value), texts)
    stripped = _LABEL.sub("", answer, count=1) if answer_label else answer
    by_stripped = _position_of(stripped, texts) if answer_label else None
    by_label = _by_label(answer_label or _lone_letter(answer), labels, len(texts))
    number = _number(value)
    has_index_key = any(pair.get(key) is not None for key in _INDEX_KEYS)
    if has_index_key and not any(pair.get(key) is not None for key in _ANSWER_KEYS):
        base = 0 if base is None else base
    if by_text is not None:
        place = by_text
    elif answer_label:
        # "B) The dog stops": the label and the text have to name the same choice.
        if by_stripped is None or by_label not in (None, by_stripped):
            return Choices(stripped, _without(texts, by_stripped), "ambiguous_answer")
        place = by_stripped
    elif by_label is not None:
        place = by_label
    elif number is not None:
        found = _by_index(number, labels, len(texts), base)
        if found is None:
            return Choices(answer, tuple(texts), "ambiguous_answer")
        place = found
    elif wrong and len(rest := [t for t in texts if _position_of(t, wrong) is None]) == 1:
        place = texts.index(rest[0])
    else:
        return Choices(answer, tuple(texts))
    return Choices(texts[place], _without(texts, place))


def _texts(value: Any) -> tuple[list[str], list[str]]:
    """Choices without their labels, and the labels; no labels where they number nothing."""
    texts, labels = _listed(value)
    if labels:
        return texts, labels
    if len(texts) > 1 and [_roman_of(text) for text in texts] == list(_ROMAN[: len(texts)]):
        texts = [_arabic(text) for text in texts]
    matches = [_LABEL.match(text) for text in texts]
    found = [_label_of(match) for match in matches if match is not None]
    if len(found) == len(texts) > 1 and _numbers(found, len(texts) + 1):
        cut = [text[match.end() :] for text, match in zip(texts, matches, strict=True) if match]
        return cut, found
    return texts, []


def _listed(value: Any) -> tuple[list[str], list[str]]:
    """The texts in a value, and the labels that are keys beside them."""
    if isinstance(value, dict):
        keys = [str(key).strip() for key in value]
        labels = [re.sub(r"(?i)^(?:option|choice|answer)[\s_]*", "", key).upper() for key in keys]
        is_numbering = all(re.fullmatch(r"[A-Z]|\d{1,2}", label) for label in labels)
        return [_plain(text) for text in value.values()], labels if is_numbering else []
    if isinstance(value, str):
        lines = value.split("\n") if "\n" in value.strip() else value.split("|")
        if len(lines) == 1:
            lines = re.split(r"(?:^|[\s,;]+)(?=\(?[A-H][.)]\s)", value)
        if len(lines) == 1 and value.count(";") > 1:
            lines = value.split(";")
        return [_plain(line) for line in lines if line.strip()], []
    if not isinstance(value, list):
        return [], []
    if value and all(isinstance(item, dict) for item in value):
        return _listed_dicts(value)
    return [_plain(item) for item in value if item is not None], []


def _listed_dicts(items: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Choices as objects: ``{"label": "A", "text": ...}`` or ``{"A": ...}``."""
    texts, labels = [], []
    for item in items:
        lower = {str(key).lower(): own for key, own in item.items()}
        names = ("text", "option", "choice", "answer", "value", "content", "description")
        text = next((lower[name] for name in names if name in lower), None)
        if text is None and len(item) == 1:
            [(label, text)] = item.items()
            labels.append(str(label).strip().upper())
        else:
            marks = ("label", "letter", "id", "key", "index")
            labels += [str(lower[n]).strip().upper() for n in marks if n in lower][:1]
        texts.append(_plain("" if text is None else text))
    whole = len(labels) == len(texts) and all(re.fullmatch(r"[A-Z]|\d{1,2}", x) for x in labels)
    return texts, labels if whole else []


def _answer_text(value: Any) -> tuple[str, str]:
    """The answer on one line, and the label at its beginning."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        texts, labels = _listed(value) if len(value) == 1 else _listed_dicts([value])
        if len(texts) == 1:
            return (f"{labels[0]}) {texts[0]}", labels[0]) if labels else (texts[0], "")
    text = re.sub(r"(?i)^(?:option|choice)_(?=[a-z0-9]$)", "", _ANNOUNCED.sub("", _plain(value)))
    match = _LABEL.match(text)
    return text, _label_of(match) if match else ""


def _plain(value: Any) -> str:
    """A choice on one line, without a bullet, a mark that it is right, or wide characters."""
    text = one_line(value)
    head = unicodedata.normalize("NFKC", text[:3]).replace("、", ".")
    head = re.sub(r"^([A-Za-z0-9][.):])(?=\S)", r"\1 ", head) if head != text[:3] else head
    return _MARK.sub("", re.sub(r"^[-*•–]\s+", "", head + text[3:])) or text


def _is_roman(text: str) -> bool:
    return _roman_of(text) in _ROMAN[1:]


def _roman_of(text: str) -> str:
    match = re.match(r"\(?([ivx]+)[.)]\s", text)
    return match[1] if match else ""


def _arabic(text: str) -> str:
    """A text whose roman label is a number: ``ii) red`` as ``2) red``, and ``ii`` as ``2``."""
    match = re.fullmatch(r"\(?([ivx]+)(?:[.)]\s*(.*)|\)?)", text, re.DOTALL)
    if match is None or match[1] not in _ROMAN:
        return text
    number = _ROMAN.index(match[1]) + 1
    return f"{number}) {match[2]}" if match[2] else str(number)


def _by_label(label: str, labels: list[str], count: int) -> int | None:
    if not label:
        return None
    if labels:
        return labels.index(label) if labels.count(label) == 1 else None
    place = LETTERS.find(label)
    return place if len(label) == 1 and 0 <= place < count else None


def _by_index(number: int, labels: list[str], count: int, base: int | None) -> int | None:
    if str(number) in labels:
        return labels.index(str(number))
    if base is None:
        base = 0 if number == 0 else 1 if number == count else None
    if base is None or not 0 <= number - base < count:
        return None
    return number - base


def _lone_letter(answer: str) -> str:
    match = _LETTER_ALONE.fullmatch(answer)
    return match["letter"].upper() if match else ""


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    text = value.strip().strip(".)(") if isinstance(value, str) else ""
    return int(text) if re.fullmatch(r"\d{1,2}", text) else None


def _numbers(labels: Sequence[str], count: int) -> bool:
    """Whether labels number choices: different ones, of the first letters or numbers."""
    letters, digits = LETTERS[: max(count, 2)], {str(n) for n in range(count + 1)}
    known = set(letters) if all(label in LETTERS for label in labels) else digits
    return len(set(labels)) == len(labels) and set(labels) <= known


def _label_of(match: re.Match[str]) -> str:
    return (match["closed"] or match["bare"] or match["dashed"]).upper()


def _position_of(text: str, texts: Sequence[str]) -> int | None:
    """Where a text stands among others, case and punctuation aside; None for none or several."""
    exact = [place for place, other in enumerate(texts) if other == text]
    wanted = re.findall(r"\w+", text.lower())
    alike = [place for place, o in enumerate(texts) if re.findall(r"\w+", o.lower()) == wanted]
    found = exact or (alike if wanted else [])
    return found[0] if len(found) == 1 or exact else None


def _without(texts: Sequence[str], place: int | None) -> tuple[str, ...]:
    return tuple(text for number, text in enumerate(texts) if number != place)


def _first(pair: dict[str, Any], keys: Iterable[str]) -> Any:
    return next((pair[key] for key in keys if pair.get(key)), None)


def one_line(value: Any) -> str:
    """A value of a model's JSON as one line; lone surrogates are replaced."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return ", ".join(one_line(part) for part in parts if part is not None)
    return " ".join(str(value).split()).encode(errors="replace").decode()
