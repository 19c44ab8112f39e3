"""The tokenizer of tiny writes every text, and keeps Qwen2's control tokens apart."""

from hypothesis import given
from hypothesis import strategies as st

from llava_video.tiny.tokenizer import CONTROL_TOKENS, train_tokenizer

TOKENIZER = train_tokenizer(["What colour is the red circle?\nA. red", "moves up-left."] * 5, 320)


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids) == text or any(token in text for token in CONTROL_TOKENS)


def test_frequent_words_are_one_token_and_digits_stay_single() -> None:
    assert TOKENIZER.tokenize("What colour") == ["What", "Ġcolour"]
    assert TOKENIZER.tokenize("123") == ["1", "2", "3"]


def test_control_tokens_are_single_and_there() -> None:
    ids = TOKENIZER.convert_tokens_to_ids(list(CONTROL_TOKENS))
    assert len(set(ids)) == len(CONTROL_TOKENS)
    assert TOKENIZER.eos_token == "<|im_end|>"
    assert TOKENIZER.pad_token == "<|endoftext|>"
    assert len(TOKENIZER) <= 320
