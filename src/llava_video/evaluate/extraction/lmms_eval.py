"""The rules of lmms-eval 0.7.3, one function per rule; each task says which is its own.

What they get wrong is repeated on purpose: the article "A" read as a letter, the first capital of a
word, option text that several options contain. A random choice is None.
"""

from __future__ import annotations

import re

from llava_video.evaluate.annotations.question import Question

_ENDS = (",", ".", "!", "?", ";", ":", "'")
_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)
_PHRASES = (
    *(f"{the}{best}answer is" for best in ("", "correct ", "best ") for the in ("the ", "")),
    *(f"{the}{best}option is" for best in ("correct ", "best ") for the in ("the ", "")),
    *(f"{the}{best}choice is" for best in ("", "correct ") for the in ("the ", "")),
    *("i choose", "i select", "i pick", "my answer is", "my choice is"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


def last_marked(text: str, question: Question) -> str | None:
    """NExT-QA: ``(A)``, else ``A ``, else ``A.``, else option text; the last one of several."""
    text = _padded(text)
    letters = question.letters
    forms = ("({})", "{} ", "{}.")
    found, form = [], ""
    for form in forms:
        found = [letter for letter in letters if form.format(letter) in text]
        if found:
            break
    if found:
        last_form = "({})" if form == "({})" else " {} "
        return max(found, key=lambda letter: text.rfind(last_form.format(letter)))
    named = _named(text, question)
    return max(named, key=lambda pair: pair[1])[0] if named else None


def first_marked(text: str, question: Question) -> str | None:
    """EgoSchema: all of ``(A)``, ``A `` and ``A.``; the one whose last occurrence is first."""
    text = _padded(text)
    places = [
        (text.rfind(mark), letter)
        for form in ("({})", "{} ", "{}.")
        for letter in question.letters
        if (mark := form.format(letter)) in text
    ]
    if places:
        return min(places, key=lambda place: place[0])[1]
    # Its rows have the letter inside the option ("A. cat"), and so has what it looks for.
    named = _named(text, question, form="{letter}. {option}")
    return min(named, key=lambda pair: pair[1])[0] if named else None


def word_letter(text: str, question: Question) -> str | None:
    """PerceptionTest: the first of A to D that is a word; "A man" is A."""
    match = re.search(r"\b([A-D])\b", text.strip())
    return match[1] if match else None


def best_ranked(text: str, question: Question) -> str | None:
    """Video-MME and MLVU since 2026: the last letter in the most trusted form."""
    if not text.strip():
        return None
    text = text.strip()
    for mark in (*_ENDS, '"'):
        text = text.strip(mark)
    text = f" {text} "
    bare = text.strip()
    found: list[tuple[int, int, str]] = []
    for letter in question.letters:
        forms = ((6, f"({letter})"), (5, f"{letter}."), (4, f"{letter}:"), (3, f"{letter})"))
        found += [
            (rank, text.rfind(mark), letter)
            for rank, mark in (*forms, (2, f"{letter} "))
            if mark in text
        ]
        found += [(7, place, letter) for place in _after_phrases(text, letter)]
        if bare.startswith(letter) and not bare[1:2].isalpha():
            found.append((10, 0, letter))
        if bare.endswith(letter) and not bare[-2:-1].isalpha():
            found.append((9, len(text) - 1, letter))
    if not found:
        found = [(0, text.rfind(x), x) for x in question.letters if x in text]
    # The first letter wins a tie, as in a stable sort.
    return max(found, key=lambda each: each[:2])[2] if found else None


def first_capital(text: str, question: Question) -> str | None:
    """LongVideoBench: the first A to E anywhere, after some phrases are cut out."""
    for prefix in _PREFIXES:
        text = text.replace(prefix, "")
    match = re.search(r"[ABCDE]", text)
    return match[0] if match else None


def single_letter(text: str, question: Question) -> str | None:
    """MVBench: a letter before a full stop, else the first of A to E that is a word, any case."""
    text = text.strip()
    if match := re.match(r"^([A-E])\.\s*(.+)$", text, re.IGNORECASE):
        return match[1].upper()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    text = _without_punctuation(text).strip("'").strip('"').strip(")").strip("(").strip()
    match = re.search(r"\b([A-E])\b", text, re.IGNORECASE)
    return match[1].upper() if match else None


def tempcompass_letter(text: str, question: Question) -> str | None:
    """TempCompass, by rules: the whole option, a letter, or a letter before ``.`` or ``)``.

    Where its rules fail it asks a judge; that is None here.
    """
    for letter, option in zip(question.letters, question.options, strict=True):
        if text in (letter, f"{letter}. {option}") or text.startswith((f"{letter}.", f"{letter})")):
            return letter
    return None


def listed_sentence(text: str, question: Question) -> str | None:
    """TempCompass, matching captions: a whole line, its sentence, or its label, and nothing else.

    Where its rules fail it asks a judge; that is None here.
    """
    found = None
    lines = [line for line in question.written.split("\n")[1:] if ": " in line]
    names = [line.split(": ")[0] for line in lines]
    behind = text.split(") ")[1] if ") " in text else text
    for letter, line in zip(question.letters, lines, strict=False):
        if text == line:
            found = letter
    for letter, line in zip(question.letters, lines, strict=False):
        if line.split(": ")[1] in (text, behind):
            found = letter
    for places in (names, [name.split(" ")[-1] for name in names]):
        for letter, name in zip(question.letters, places, strict=False):
            if name in (text, text.replace(".", "")):
                found = letter
    return found


def yes_or_no(text: str, question: Question) -> str | None:
    """TempCompass, yes or no: how the answer starts; "Nothing" is no."""
    for letter, option in zip(question.letters, question.options, strict=True):
        if text.lower().startswith(option):
            return letter
    return None


def _padded(text: str) -> str:
    for mark in _ENDS:
        text = text.strip(mark)
    return f" {text} "


def _named(text: str, question: Question, form: str = "{option}") -> list[tuple[str, int]]:
    """Options that a text of more than five words contains, with their last places."""
    if len(text.split()) <= 5:
        return []
    pairs = zip(question.letters, question.options, strict=True)
    options = ((letter, form.format(letter=letter, option=option)) for letter, option in pairs)
    places = ((letter, text.lower().rfind(option.lower())) for letter, option in options)
    return [(letter, place) for letter, place in places if place >= 0]


def _after_phrases(text: str, letter: str) -> list[int]:
    """Where the letter stands first after each phrase, each at its first place."""
    places = []
    for phrase in _PHRASES:
        start = text.lower().find(phrase)
        if start >= 0 and (place := text.find(letter, start + len(phrase))) >= 0:
            places.append(place)
    return places


def _without_punctuation(text: str) -> str:
    has_number = re.search(r"\d,\d", text) is not None
    out = text
    for mark in _PUNCTUATION:
        is_apart = f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if is_apart or has_number else " ")
    return re.sub(r"\.(?!\d)", "", out, count=32)  # the flag re.UNICODE, in the place of count
