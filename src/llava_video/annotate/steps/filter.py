"""Filters of questions: generators over records, each rejection with its reason."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from llava_video.annotate.answers.captions import normal
from llava_video.annotate.answers.refusals import find_refusal
from llava_video.annotate.recipe import Filters, Recipe
from llava_video.annotate.records import KINDS, QA, Rejection, VideoRecord
from llava_video.annotate.steps.decontaminate import DecontaminationSet
from llava_video.annotate.steps.similarity import (
    EmbeddingIndex,
    Index,
    LexicalIndex,
    load_encoder,
    words,
)

# The paper lists these beginnings (section 3.4); the subject in front of them varies.
REFUSALS = ("specify", "mention", "specifically", "depict", "show")
_VERBS = "|".join(REFUSALS)
_PREFIX = re.compile(rf"does not (?:{_VERBS})\b", re.IGNORECASE)
_FIRST_CLAUSE = re.compile(
    r"\b(?:(?:does|do|did|is|are|was|were)(?: not|n't)|cannot|can't|never)"
    rf" (?:\w+ )?(?:{_VERBS}|specified|mentioned|depicted|shown|stated|provided)\b",
    re.IGNORECASE,
)
_TEXT_WORDS = frozenset(
    ("video", "description", "text", "caption", "clip", "footage", "it", "this", "information")
)

Verdicts = dict[str, tuple[str, str]]
"""Reason and detail, by the id of a question that is left out."""


def screen(records: Iterable[VideoRecord], recipe: Recipe) -> Iterator[VideoRecord]:
    """The filters of single questions: refusals, unfit choices."""
    for record in records:
        found: Verdicts = {}
        for qa in record.qas:
            verdict = judge_refusal(qa, recipe.filters.refusal) or judge_choices(qa, recipe)
            if verdict is not None:
                found[qa.qa_id] = verdict
        yield from _without([record], found)


def compare(records: Iterable[VideoRecord], recipe: Recipe) -> list[VideoRecord]:
    """The filters that compare: near-duplicates within and across videos, decontamination."""
    rules = recipe.filters
    result = drop_copied_captions(records, recipe.captions.max_copies)
    for threshold, across in (
        (rules.within_video_similarity, False),
        (rules.across_videos_similarity, True),
    ):
        if threshold is not None:
            result = list(drop_duplicates(result, threshold, rules, across=across))
    if rules.benchmark_files:
        test_sets = DecontaminationSet.load(rules.benchmark_files)
        result = list(decontaminate(result, test_sets, rules))
    return result


def check_filters(rules: Filters) -> None:
    """Check that the filters can run, before a call is paid for.

    Raises:
        InputError: a benchmark file or the embedding model is missing.
    """
    DecontaminationSet.load(rules.benchmark_files)
    limits = (rules.within_video_similarity, rules.across_videos_similarity)
    if rules.similarity == "embeddings" and any(limit is not None for limit in limits):
        load_encoder(rules.embedding_model)


def judge_refusal(qa: QA, rule: str) -> tuple[str, str] | None:
    """Whether the answer is a refusal: that the video does not show it.

    ``prefix`` is the paper's literal rule: the answer begins with "does not specify" and the like.
    ``first_clause`` also finds "The video does not specify ...": the verb stands in the first
    clause, and what does not specify is the video or its description. "The man does not show his
    face" stays.
    """
    if rule == "off":
        return None
    if _PREFIX.match(qa.answer):
        return "refusal", qa.answer
    if rule == "first_clause" and find_refusal(f"{qa.question}\n{qa.answer}"):
        return "refusal", qa.answer
    clause = re.split(r"[.,;:]", qa.answer, maxsplit=1)[0]
    match = _FIRST_CLAUSE.search(clause) if rule == "first_clause" else None
    if match is None:
        return None
    subject = {word.lower() for word in words(clause[: match.start()])}
    passive = re.search(r"(?:ed|shown)$", match[0])
    if subject & _TEXT_WORDS or not subject or passive:
        return "refusal", qa.answer
    return None


def judge_choices(qa: QA, recipe: Recipe) -> tuple[str, str] | None:
    """Whether the choices of a multiple-choice question are valid."""
    if qa.kind != "multi_choice":
        return None
    wanted = recipe.ask.num_choices
    short = {option.strip(" .").lower() for option in qa.options}
    is_binary = qa.type == "binary" or short <= {"yes", "no", "true", "false"}
    yes_or_no = is_binary and len(qa.options) == 2
    if len(qa.options) != wanted and not yes_or_no:
        return "malformed_choices", f"{len(qa.options)} choices, {wanted} wanted"
    if any(not option.strip() for option in qa.options):
        return "malformed_choices", "an empty choice"
    if qa.answer not in qa.options:
        return "answer_not_among_choices", qa.answer
    bare = [" ".join(words(option)) for option in qa.options]
    if len(set(bare)) < len(bare):
        repeated = next(option for option in bare if bare.count(option) > 1)
        is_answer = repeated == " ".join(words(qa.answer))
        return ("distractor_repeats_answer" if is_answer else "repeated_choices"), repeated
    limit = recipe.filters.max_length_ratio
    longest_wrong = max(len(option) for option in qa.options if option != qa.answer)
    if limit is not None and len(qa.answer) > limit * longest_wrong and len(qa.answer) > 20:
        return "length_bias", f"answer {len(qa.answer)} characters, longest other {longest_wrong}"
    return None


def drop_duplicates(
    records: list[VideoRecord], threshold: float, rules: Filters, *, across: bool
) -> Iterator[VideoRecord]:
    """Leave out questions that come close to earlier ones; the first stays.

    Within a video the questions are compared. Across videos question and answer are compared
    together, and ``across_videos_copies`` equal pairs stay.
    """
    if across:
        found: Verdicts = {}
        for kind in KINDS:
            qas = [qa for record in records for qa in record.qas if qa.kind == kind]
            texts = [f"{qa.question} {qa.answer}" for qa in qas]
            index = _index(texts, threshold, rules)
            reason = "near_duplicate_across_videos"
            found |= _copies(qas, index, rules.across_videos_copies, reason)
        yield from _without(records, found)
        return
    for record in records:
        found = {}
        for kind in KINDS:
            qas = [qa for qa in record.qas if qa.kind == kind]
            index = _index([qa.question for qa in qas], threshold, rules)
            found |= _copies(qas, index, 1, "near_duplicate")
        yield from _without([record], found)


def drop_copied_captions(
    records: Iterable[VideoRecord], max_copies: int | None
) -> list[VideoRecord]:
    """Leave out all videos that share a description with more than ``max_copies - 1`` others.

    Which of them it fits, if any, cannot be told, so none is kept. Descriptions are compared word
    by word.
    """
    records = list(records)
    groups: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.description is not None and not record.is_rejected:
            groups[normal(record.description.text)].append(record.video_id)
    found: list[VideoRecord] = []
    for record in records:
        text = record.description.text if record.description is not None else ""
        same = groups.get(normal(text), []) if not record.is_rejected else []
        if max_copies is None or len(same) <= max_copies:
            found.append(record)
            continue
        other = next(name for name in same if name != record.video_id)
        found.append(
            dataclasses.replace(record, qas=()).rejected(
                "filter",
                "repeated_across_videos",
                f"the same description as {other} and {len(same) - 2} more; `annotate redo` asks "
                "anew",
                text,
            )
        )
    return found


def _index(texts: list[str], threshold: float, rules: Filters) -> Index:
    if rules.similarity == "embeddings" and texts:
        return EmbeddingIndex(texts, threshold, load_encoder(rules.embedding_model))
    return LexicalIndex(texts, threshold)


def _copies(qas: list[QA], index: Index, allowed: int, reason: str) -> Verdicts:
    """Verdicts on those with ``allowed`` similar ones before them, which are kept."""
    found: Verdicts = {}
    for number, qa in enumerate(qas):
        kept = index.similar(number)
        if len(kept) < allowed:
            # Rejected copies are not indexed, which bounds the comparisons.
            index.add(number)
        else:
            found[qa.qa_id] = (reason, f"like {qas[kept[0]].qa_id}")
    return found


def decontaminate(
    records: Iterable[VideoRecord], test_sets: DecontaminationSet, rules: Filters
) -> Iterator[VideoRecord]:
    """Leave out videos of test sets, and questions similar to theirs."""
    for record in records:
        if test_sets.holds_video(record.video_id, record.path):
            yield dataclasses.replace(record, qas=()).rejected(
                "filter", "benchmark_video", "its id is in a benchmark file"
            )
            continue
        found: Verdicts = {}
        for qa in record.qas:
            match = test_sets.question_like(
                qa.question, rules.benchmark_similarity, rules.benchmark_min_words
            )
            if match is not None:
                found[qa.qa_id] = ("benchmark_question", match)
        yield from _without([record], found)


def _without(records: Iterable[VideoRecord], found: Verdicts) -> Iterator[VideoRecord]:
    """The records without the questions in ``found``, each leaving its reason behind."""
    for record in records:
        kept = tuple(qa for qa in record.qas if qa.qa_id not in found)
        gone = [
            Rejection(qa.qa_id, "filter", *found[qa.qa_id], qa.question)
            for qa in record.qas
            if qa.qa_id in found
        ]
        yield dataclasses.replace(record, qas=kept).noting(*gone)
