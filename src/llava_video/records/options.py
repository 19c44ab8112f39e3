"""Questions with lettered options: prompts, answers, and the option chosen by a free text."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence

LETTERS = string.ascii_uppercase

LETTER_ENDING = "Please respond with only the letter of the correct answer."
OPTION_ENDING = "Please provide your answer by stating the letter followed by the full option."
"""The two instructions at the end of multiple-choice turns in LLaVA-Video-178K."""

# Words that follow neither an article nor "I", so that the letter before them is a choice.
_NO_NOUN = r"(?:is|was|are|because|since|as|and|or|but|for|with)\b"
_NOT = r"(?P<not>(?:\bnot|n['’]t|\bcannot)\s+(?:be\s+)?(?:(?:an?|the)\s+)?)?"
_CUE = re.compile(
    r"\b(?:answer|(?:correct|right|best)\s+(?:option|choice)|choose|pick|select)"
    r"(?:\s+(?:letter|choice|option))?(?:\s+(?:is|(?:would|should|must)\s+be))?\s*:?\s*$",
    re.IGNORECASE,
)


def lettered(options: Sequence[str]) -> list[str]:
    """The options as they are shown: ``A. below``, ``B. above``."""
    return [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]


def ask_with_options(question: str, options: Sequence[str], ending: str) -> str:
    """A question, its options and how to answer, one a line, as in LLaVA-Video-178K."""
    return "\n".join([question, *lettered(options), ending])


def answer_by_letter(letter: str) -> str:
    """The answer to `LETTER_ENDING` in LLaVA-Video-178K: ``A.``."""
    return f"{letter}."


def answer_by_option(letter: str, option: str) -> str:
    """The answer to `OPTION_ENDING`: ``A. Black.`` for option ``A. Black``.

    Released answers end in a full stop, also where the option has none.
    """
    return f"{letter}. {option}" + ("" if option.endswith((".", "!", "?")) else ".")


def letter_of(answer: str, options: Sequence[str]) -> str:
    """Letter of the option that is the answer, word for word; empty where there are no options.

    Raises:
        ValueError: the answer is not among the options.
    """
    return LETTERS[list(options).index(answer)] if options else ""


def chosen_letter(text: str, options: Sequence[str]) -> str | None:
    """The option that a free text chooses, or None where it chooses none or several.

    The first of these rules that finds an option decides:

    1. a letter before ``.``, ``)`` or ``:`` at the start of the text (``B. above``, ``(b)``), or
       that is all of it, in upper or lower case; a text whose lines begin with several letters
       lists the options again and chooses none of them this way;
    2. a letter after words such as "the answer is";
    3. an upper-case letter, or one in parentheses, that stands alone;
    4. the words of exactly one option.

    "A" and "I" before another word are English words ("A cat, I would guess"), and what follows
    "not" is not chosen.
    """
    text = re.sub(r"[*_`$]|\\(?:boxed|text|mathrm)", " ", text).translate(_PARENTHESES).strip()
    known = LETTERS[: len(options)]
    for letters in (_leading(text, known), _cued(text, known), _alone(text, known)):
        if letters:
            return letters.pop() if len(letters) == 1 else None
    named = _named(text, options)
    return named.pop() if len(named) == 1 else None


_PARENTHESES = str.maketrans("[]{}<>", "()()()")


def _leading(text: str, known: str) -> set[str]:
    if re.fullmatch(r"\(?\s*[A-Za-z]\s*\)?\s*[.:,]?", text):
        return {letter for letter in re.findall(r"[A-Z]", text.upper()) if letter in known}
    marked = re.compile(r"^\s*(?:\(\s*([A-Za-z])\s*\)|([A-Za-z])\s*[.):](?!\w))", re.MULTILINE)
    if not marked.match(text):
        return set()
    letters = {(m[1] or m[2]).upper() for m in marked.finditer(text)}
    return letters if len(letters) == 1 and letters <= set(known) else set()


def _cued(text: str, known: str) -> set[str]:
    return {
        letter for letter, start in _letters(text, known, "A-Za-z") if _CUE.search(text[:start])
    }


def _alone(text: str, known: str) -> set[str]:
    return {letter for letter, _ in _letters(text, known, "A-Z")}


def _letters(text: str, known: str, cases: str) -> Iterator[tuple[str, int]]:
    """Single letters, and where they start, with a parenthesis before them."""
    bare = rf"(?<![\w'’.-])(?P<bare>[{cases}])(?![\w'’-]|\.\w)"
    for match in re.finditer(rf"{_NOT}(?:\(\s*(?P<marked>[A-Za-z])\s*\)|{bare})", text):
        letter = match["marked"] or match["bare"]
        is_word = (
            match["bare"] in ("A", "I", "a", "i")
            and re.match(r"\s+['\"(]?\w", text[match.end() :])
            and not re.match(rf"\s+{_NO_NOUN}", text[match.end() :])
        )
        if letter.upper() in known and not match["not"] and not is_word:
            yield letter.upper(), match.start()


def _named(text: str, options: Sequence[str]) -> set[str]:
    """Letters of the options whose words are in the text, longer options removed first."""
    found: set[str] = set()
    words = {LETTERS[i]: re.findall(r"\w+", option) for i, option in enumerate(options)}
    for letter, parts in sorted(words.items(), key=lambda item: -len(" ".join(item[1]))):
        if not parts:
            continue
        body = r"\W+".join(map(re.escape, parts))
        # "no idea" does not choose the option "no".
        end = r"(?!\s+\w)" if [part.lower() for part in parts] == ["no"] else ""
        option = re.compile(rf"{_NOT}(?<!\w){body}(?!\w){end}", re.IGNORECASE)
        if any(not match["not"] for match in option.finditer(text)):
            found.add(letter)
        text = option.sub(" | ", text)
    return found
