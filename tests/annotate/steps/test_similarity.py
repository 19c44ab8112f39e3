"""Near-duplicate texts: the indexed search finds what comparing all pairs finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.records import QA, Provenance, VideoRecord
from llava_video.annotate.steps.filter import compare
from llava_video.annotate.steps.similarity import (
    EmbeddingIndex,
    LexicalIndex,
    jaccard,
    load_encoder,
    shingles,
)
from llava_video.errors import InputError

WORDS = st.sampled_from(["what", "is", "man", "dog", "red", "ball", "doing", "the", "how", "many"])
TEXTS = st.lists(st.lists(WORDS, max_size=7).map(" ".join), max_size=25)


def similar_before(index, num_texts):
    """For each text the earlier ones that are similar."""
    found = []
    for number in range(num_texts):
        found.append(index.similar(number))
        index.add(number)
    return found


@given(TEXTS, st.sampled_from([0.3, 0.5, 0.8, 0.95, 1.0]))
def test_the_index_misses_no_pair(texts, threshold):
    expected = [
        [
            earlier
            for earlier in range(number)
            if jaccard(shingles(texts[earlier]), shingles(texts[number])) >= threshold
        ]
        for number in range(len(texts))
    ]
    assert similar_before(LexicalIndex(texts, threshold), len(texts)) == expected


@given(TEXTS, st.sets(st.integers(0, 24)))
def test_only_what_was_added_is_found(texts, left_out):
    index, whole = LexicalIndex(texts, 0.5), LexicalIndex(texts, 0.5)
    for number in range(len(texts)):
        assert index.similar(number) == [n for n in whole.similar(number) if n not in left_out]
        whole.add(number)
        if number not in left_out:
            index.add(number)


def test_articles_case_and_punctuation_do_not_matter():
    assert jaccard(shingles("What is the dog doing?"), shingles("what is a dog doing")) == 1
    assert jaccard(shingles("dog bites man"), shingles("man bites dog")) < 1


def test_embeddings_go_by_the_angle_of_vectors():
    vectors = {"a": [1, 0], "b": [0.9, 0.1], "c": [0, 1], "d": [0, 5]}

    class Encoder:
        def encode(self, sentences):
            return np.array([vectors[s] for s in sentences], dtype=np.float32)

    found = similar_before(EmbeddingIndex(list("abcd"), 0.95, Encoder()), 4)
    assert found == [[], [0], [], [2]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_real_sentence_model_is_loaded_from_a_folder(tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs the embeddings extra")
    from sentence_transformers import SentenceTransformer, models
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "red": 1, "ball": 2, "dog": 3}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.eye(4, dtype=np.float32)
    module = models.StaticEmbedding(tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / "model"))
    encoder = load_encoder(str(tmp_path / "model"))
    found = similar_before(EmbeddingIndex(["red ball", "ball red", "dog"], 0.9, encoder), 3)
    assert found == [[], [0], []]

    origin = Provenance("k", "m", "p@1")
    texts = ("ball red", "red ball", "dog")
    qas = tuple(QA(f"v/oe/{n}", "open_ended", "count", t, t, origin) for n, t in enumerate(texts))
    changes = [
        "filters.similarity=embeddings",
        f"filters.embedding_model={tmp_path / 'model'}",
        "filters.within_video_similarity=0.9",
    ]
    [record] = compare([VideoRecord("v", "v.mp4", qas=qas)], load_recipe("open", changes))
    assert [qa.qa_id for qa in record.qas] == ["v/oe/0", "v/oe/2"]
    [lexical] = compare([VideoRecord("v", "v.mp4", qas=qas)], load_recipe("open"))
    assert len(lexical.qas) == 3  # the same words in another order are other words


def test_a_missing_sentence_model_is_named(tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers", reason="needs the embeddings extra")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="no sentence-transformers model there"):
        load_encoder(str(tmp_path))
