"""How alike texts are: exact joins by word overlap, or sentence embeddings."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import InputError

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ARTICLES = frozenset(("a", "an", "the"))


def words(text: str) -> list[str]:
    """Lower-case words without articles and punctuation."""
    return [word for word in _WORD.findall(text.lower()) if word not in _ARTICLES]


def shingles(text: str) -> frozenset[str]:
    """Words and pairs of neighbouring words: what lexical similarity compares."""
    found = words(text)
    return frozenset([*found, *(f"{a} {b}" for a, b in pairwise(found))])


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared part of two sets; two empty sets are equal."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


def similar_before(texts: Sequence[str], threshold: float) -> Iterator[list[int]]:
    """For each text the indices of earlier texts that are at least this similar, exactly.

    Prefix filtering: with each text's shingles sorted from rare to common, two texts of similarity
    t must share one of the first ``n - ceil(t * n) + 1``, so only those are indexed. No pair is
    missed.
    """
    sets = [shingles(text) for text in texts]
    counts = Counter(shingle for one in sets for shingle in one)
    index: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(sets):
        ordered = sorted(one, key=lambda shingle: (counts[shingle], shingle))
        prefix = ordered[: len(one) - math.ceil(threshold * len(one) - 1e-9) + 1] or [""]
        candidates = sorted({earlier for shingle in prefix for earlier in index[shingle]})
        yield [c for c in candidates if jaccard(one, sets[c]) >= threshold]
        for shingle in prefix:
            index[shingle].append(number)


class Encoder(Protocol):
    """What turns texts into vectors; a ``SentenceTransformer`` is one."""

    def encode(self, sentences: list[str]) -> NDArray[np.float32]:
        """``(N, D)`` vectors."""
        ...


@cache
def load_encoder(model: str) -> Encoder:
    """A sentence-transformers model by folder or Hub name.

    Raises:
        InputError: the package is not installed, or the model is not to be had.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            "filters.similarity: embeddings needs another package: "
            "pip install 'llava-video[embeddings]', or set it to lexical"
        ) from error
    try:
        encoder: Any = SentenceTransformer(model, device="cpu")
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: no sentence-transformers model there ({error})") from error
    return encoder  # type: ignore[no-any-return]


def similar_before_by_meaning(
    texts: Sequence[str], threshold: float, encoder: Encoder
) -> Iterator[list[int]]:
    """Like `similar_before`, by the cosine of embeddings."""
    if not texts:
        return
    vectors = np.asarray(encoder.encode(list(texts)), dtype=np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    for number in range(len(texts)):
        yield np.flatnonzero(vectors[:number] @ vectors[number] >= threshold).tolist()
