"""Token counts of texts: exact where the tokenizer is local, else estimated, bounded always."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.calls.token_count import find_tokenizer, text_tokens, text_tokens_at_most
from llava_video.errors import InputError


def test_texts_are_counted_with_a_models_own_tokenizer(tokenizer_folder):
    tokenizer = find_tokenizer(str(tokenizer_folder))
    text = "the red dog runs, 一只狗"
    assert text_tokens(text, str(tokenizer_folder)) == len(tokenizer.encode(text).ids)
    assert text_tokens("the dog", str(tokenizer_folder)) == 2
    assert text_tokens(text, str(tokenizer_folder / "tokenizer.json")) == text_tokens(
        text, str(tokenizer_folder)
    )


@given(st.text(max_size=60))
def test_no_tokenizer_needs_more_tokens_than_bytes(tokenizer_folder, text):
    assert text_tokens(text, str(tokenizer_folder)) <= text_tokens_at_most(text)


@pytest.mark.parametrize("name", ["gpt-none", "nobody/nothing", "/no/such/folder", "what ever"])
def test_without_a_tokenizer_tokens_follow_from_the_length(name):
    assert find_tokenizer(name) is None
    assert text_tokens("x" * 440, name) == 100


def test_a_broken_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer.json: not a tokenizer"):
        text_tokens("a", str(tmp_path))
