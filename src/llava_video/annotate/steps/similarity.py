"""Similarity of texts: exact joins by word overlap, or sentence embeddings."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import InputError, install

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
    """Jaccard similarity of two sets; two empty sets are equal."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


class Index(Protocol):
    """Finds texts similar to another among those added; all texts are known beforehand."""

    def similar(self, number: int) -> list[int]:
        """Which of the added texts are at least as similar as the threshold, in order."""
        ...

    def add(self, number: int) -> None:
        """Add a text, for later ones to be compared with."""
        ...


class LexicalIndex:
    """By the overlap of words and pairs of words, exactly.

    Prefix filtering: with each text's shingles sorted from rare to common, two texts of similarity
    t must share one of the first ``n - ceil(t * n) + 1``, so only those are indexed. No pair is
    missed.
    """

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        self._threshold = threshold
        self._sets = [shingles(text) for text in texts]
        self._counts = Counter(shingle for one in self._sets for shingle in one)
        self._numbers: dict[str, list[int]] = defaultdict(list)

    def similar(self, number: int) -> list[int]:
        one = self._sets[number]
        found = {other for shingle in self._prefix(one) for other in self._numbers.get(shingle, ())}
        return [c for c in sorted(found) if jaccard(one, self._sets[c]) >= self._threshold]

    def add(self, number: int) -> None:
        for shingle in self._prefix(self._sets[number]):
            self._numbers[shingle].append(number)

    def _prefix(self, one: frozenset[str]) -> list[str]:
        ordered = sorted(one, key=lambda shingle: (self._counts[shingle], shingle))
        return ordered[: len(one) - math.ceil(self._threshold * len(one) - 1e-9) + 1] or [""]


class Encoder(Protocol):
    """An embedding model of texts, such as a ``SentenceTransformer``."""

    def encode(self, sentences: list[str]) -> NDArray[np.float32]:
        """``(N, D)`` vectors."""
        ...


@cache
def load_encoder(model: str) -> Encoder:
    """A sentence-transformers model by folder or Hub name.

    Raises:
        InputError: the package is not installed, or the model is missing.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            "filters.similarity: embeddings needs another package: "
            f"{install('embeddings')}, or set it to lexical"
        ) from error
    try:
        encoder: Any = SentenceTransformer(model, device="cpu")
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: no sentence-transformers model there ({error})") from error
    return encoder  # type: ignore[no-any-return]


class EmbeddingIndex:
    """By the cosine of sentence embeddings; every text is compared with all that were added."""

    def __init__(self, texts: Sequence[str], threshold: float, encoder: Encoder) -> None:
        vectors = np.asarray(encoder.encode(list(texts)), dtype=np.float32)
        self._vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self._threshold = threshold
        self._added = np.empty_like(self._vectors)
        self._numbers: list[int] = []

    def similar(self, number: int) -> list[int]:
        cosines = self._added[: len(self._numbers)] @ self._vectors[number]
        return [self._numbers[i] for i in np.flatnonzero(cosines >= self._threshold)]

    def add(self, number: int) -> None:
        self._added[len(self._numbers)] = self._vectors[number]
        self._numbers.append(number)
