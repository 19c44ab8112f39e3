"""Judges descriptions before they are kept: each that is none has a reason with a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from llava_video.annotate.answers.language import other_language
from llava_video.annotate.answers.refusals import find_refusal, is_nothing_said
from llava_video.annotate.recipe import Captions
from llava_video.calls.messages import Reply

Verdict = tuple[str, str]
"""Reason and detail."""

_LAST_CHARACTER = re.compile(r"[^\w.!?…。！？｡।؟⋯,;:/&(\[–—-]*$")
_ENDS = ".!?…。！？｡।؟⋯"
_OPEN_ENDS = (",", ";", ":", "-", "–", "—", "(", "[", "/", "&", "“", "«", "、", "，")
_WORDS = """a an the and or but of with to from into onto is are was were be been his her their
its my our that which who whose while as at by for in on than then because when where
if so very both this these between towards toward through near"""
_OPEN_WORDS = frozenset(_WORDS.split())
"""No sentence ends with them."""

# What servers call the end that a content filter makes.
_FILTERED = (
    "content_filter",
    "safety",
    "prohibited_content",
    "recitation",
    "blocklist",
    "sensitive",
)
_LIST_ITEM = re.compile(r"\s*(?:[-*•|#]|\d{1,2}[.)])")
_SENTENCE = re.compile(r"(?<=[.!?。！？])[\"'”’)]*\s+|\n+|(?<=[。！？])")
_ONLY_LETTER = re.compile(
    r"\W*(?:(?:the )?(?:correct |right |best )?(?:answer|option|choice)(?: is)?\W*)?"
    r"[A-Za-z](?:\W+[A-Za-z]){0,3}\W*",
    re.IGNORECASE,
)


def judge_reply(reply: Reply, limit: int) -> Verdict | None:
    """Whether an answer is none, of whatever kind it had to be: by what came with it.

    Args:
        reply: the answer.
        limit: most tokens that it was allowed.
    """
    text = reply.text.strip()
    ending = reply.finish_reason.lower()
    if reply.is_refusal or ending == "refusal":
        return "refusal", text or "the server marks it as a refusal"
    if ending in _FILTERED:
        return "content_filter", "the server's content filter ended the answer"
    if reply.is_cut_off:
        return "truncated", cut_off(reply, limit)
    usage = reply.usage
    is_all_reasoning = usage is not None and 0 < usage.completion_tokens <= usage.reasoning_tokens
    if not text and (reply.thoughts or is_all_reasoning):
        return "only_thoughts", "the answer holds thoughts and nothing after them"
    if not text:
        return "empty", "the answer is empty"
    return None


def cut_off(reply: Reply, limit: int) -> str:
    """What a limit cut off, and what to do about it."""
    usage = reply.usage
    reasoning = usage.reasoning_tokens if usage else 0
    if not reply.text.strip() and (reply.thoughts or reasoning):
        counted = f"all {usage.completion_tokens}" if usage and reasoning else "all"
        return (
            f"reasoning used {counted} of the {limit} tokens before an answer began; raise "
            "endpoint.max_output_tokens, or have the model think less (endpoint.extra_body)"
        )
    spent = f", {reasoning} of them reasoning" if reasoning else ""
    own = "; set endpoint.limit_field if the server ignores it" if _is_early(reply, limit) else ""
    return f"the answer was cut off at {limit} tokens{spent}; raise endpoint.max_output_tokens{own}"


def _is_early(reply: Reply, limit: int) -> bool:
    """Whether the server counts far fewer tokens than it was allowed to write."""
    return reply.usage is not None and 0 < reply.usage.completion_tokens < 0.8 * limit


def judge_caption(text: str, rules: Captions, before: Iterable[str] = ()) -> Verdict | None:
    """Whether a text is no description.

    Args:
        text: what the model wrote.
        rules: what to look for.
        before: descriptions of earlier clips of the video.
    """
    num_words = len(re.findall(r"\w+", text))
    # Without spaces between words, two characters count as one.
    num_words = max(
        num_words, len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]", text)) // 2
    )
    if not re.search(r"[^\W\d_]", text):
        return "empty", "it holds no word"
    is_of_letters = all(re.fullmatch(r"[A-Za-z0-9]", word) for word in re.findall(r"\w+", text))
    if is_of_letters or _ONLY_LETTER.fullmatch(text):
        return "letters_only", text
    refusal = find_refusal(text)
    if rules.refusals and (refusal is not None or is_nothing_said(text)):
        return "refusal", refusal or text
    if num_words < rules.min_words:
        return "too_short", f"{num_words} words < {rules.min_words}"
    half = half_sentence(text) if rules.whole_sentences else None
    if half is not None:
        return "half_sentence", f"it ends with {half!r}"
    repeated = repetition(text)
    if repeated is not None:
        return "repetition", repeated
    language = other_language(text, rules.language) if rules.language else None
    if language is not None:
        return "other_language", f"{language}, not {rules.language}"
    if rules.max_copies is not None:
        copies = sum(normal(text) == normal(other) for other in before)
        if copies >= rules.max_copies:
            return "repeated_within_video", f"like those of {copies} earlier clips"
    return None


def half_sentence(text: str) -> str | None:
    """The last words of a text that ends within a sentence, or None.

    A text that never uses full stops ends where it likes, if not with a word that needs another;
    so does a list.
    """
    bare = _LAST_CHARACTER.sub("", text)
    last = bare.split()[-1] if bare.split() else ""
    tail = " ".join(bare.split()[-4:])
    is_open = last.lower() in _OPEN_WORDS
    if bare.endswith(_OPEN_ENDS) or is_open:
        return tail
    if _ended(bare) or _LIST_ITEM.match(text.strip().split("\n")[-1]):
        return None
    has_sentences = re.search(r"\w[\"'”’)*_]*[.!?。！？][\"'”’)*_]*\s*\S", bare) is not None
    return tail if has_sentences else None


def repetition(text: str) -> str | None:
    """What a text says again and again, or None.

    A sentence that makes up half of a text of three and more, or every sentence of two; sentences
    of which half stood there before; or words that stand four times in a row and make up half.
    """
    sentences = [normal(part) for part in _SENTENCE.split(text)]
    sentences = [part for part in sentences if part]
    if len(sentences) > 1:
        [(most, count)] = Counter(sentences).most_common(1)
        if count == len(sentences) or (count >= 3 and 2 * count >= len(sentences)):
            return f"{count} of {len(sentences)} sentences are {most[:80]!r}"
        num_repeats = len(sentences) - len(set(sentences))
        if num_repeats >= 3 and 2 * num_repeats >= len(sentences):
            return f"{num_repeats} of {len(sentences)} sentences stand there already"
    words = normal(text).split()
    for size in range(1, min(40, len(words) // 4) + 1):
        run = best = 0
        for position in range(size, len(words)):
            run = run + 1 if words[position] == words[position - size] else 0
            best = max(best, run)
        if best >= 3 * size and 2 * (best + size) >= len(words):
            return f"the same {size} words, {best // size + 1} times"
    return None


def normal(text: str) -> str:
    """A text in lower case without punctuation, for comparing."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _ended(bare: str) -> bool:
    return bare.endswith(tuple(_ENDS))
