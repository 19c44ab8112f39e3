"""WUPS: how similar a short answer is to the right one (Malinowski and Fritz, 2014).

As NExT-QA's open-ended questions are scored (Xiao et al., 2021): words of both answers are reduced
to lemmas, and those of a list of stop words are left out; for each word of one answer the most
similar of the other counts, words that are similar to none are passed over, and of the products of
both directions the smaller one is the score. With a threshold (0.9) similarities below it count a
tenth. Answers to questions for a number, and for yes or no, must be equal.

The official script finds lemmas with a part-of-speech tagger; here a word has the part of speech
that it has most often, in both answers alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from llava_video.evaluate.scoring.wordnet import WordNet

THRESHOLD = 0.9
BELOW = 0.1
"""Weight of a similarity below the threshold."""

_LISTED = """
i me my myself we our ours ourselves you you're you've you'll you'd your yours yourself yourselves
he him his himself she she's her hers herself it it's its itself they them their theirs themselves
what which who whom this that that'll these those am is are was were be been being have has had
having do does did doing a an the and but if or because as until while to from of at for with about
into through during again further then here there when where why how all any each most other some
such only own so than too very s t can will just don don't should should've now d ll m o re ve y ain
aren aren't couldn couldn't didn didn't doesn doesn't hadn hadn't hasn hasn't haven haven't isn
isn't ma mightn mightn't mustn mustn't needn needn't shan shan't shouldn shouldn't wasn wasn't weren
weren't won won't wouldn wouldn't
"""
STOP_WORDS = frozenset(_LISTED.split())
"""NExT-QA's own list: it keeps words of place and direction."""

_WORD = re.compile(r"\w+(?:['-]\w+)*")


def content_words(text: str, wordnet: WordNet) -> tuple[str, ...]:
    """The lemmas of a text without stop words."""
    lemmas = map(wordnet.lemma, _WORD.findall(text.lower()))
    return tuple(lemma for lemma in lemmas if lemma not in STOP_WORDS)


def wups(
    first: Sequence[str], second: Sequence[str], wordnet: WordNet, threshold: float = 0.0
) -> float:
    """The score of two lists of words, 0 to 1; symmetric up to WordNet's own asymmetries."""
    return min(
        _one_way(first, second, wordnet, threshold), _one_way(second, first, wordnet, threshold)
    )


def _one_way(
    words: Sequence[str], others: Sequence[str], wordnet: WordNet, threshold: float
) -> float:
    best = [
        max((_weighed(wordnet.similarity(word, other), threshold) for other in others), default=0.0)
        for word in words
    ]
    found = [value for value in best if value > 0]
    return math.prod(found) if found else 0.0


def _weighed(similarity: float, threshold: float) -> float:
    return similarity if similarity >= threshold else BELOW * similarity
