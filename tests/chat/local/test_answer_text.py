"""The text of an answer: its pieces are the text, whatever the tokens cut in two."""

from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llava_video.chat.local.answer_text import AnswerText
from tests.model.small import small_processor

TOKENIZER = cache(lambda: small_processor().tokenizer)


def told(ids: list[int], stop: tuple[str, ...] = ()) -> tuple[list[str], AnswerText]:
    text = AnswerText(TOKENIZER(), stop)
    pieces = [text.add(token_id) for token_id in ids]
    return [*pieces, text.end()], text


ids_of_text: Any = st.text(min_size=1).map(lambda text: TOKENIZER()(text)["input_ids"])
any_ids = st.lists(st.integers(0, 299), max_size=30)


@given(any_ids | ids_of_text)
def test_pieces_are_what_decoding_at_once_gives(ids: list[int]) -> None:
    pieces, text = told(ids)
    assert "".join(pieces) == text.text == TOKENIZER().decode(ids, skip_special_tokens=True).strip()


@given(any_ids | ids_of_text, st.lists(st.text("a .", min_size=1, max_size=3), max_size=2))
def test_an_answer_ends_before_a_stop_text(ids: list[int], stop: list[str]) -> None:
    pieces, text = told(ids, tuple(stop))
    places: list[int] = []
    whole = ""
    for end in range(len(ids) + 1):  # the first that is complete counts
        whole = TOKENIZER().decode(ids[:end], skip_special_tokens=True).lstrip()
        places = places or [place for one in stop if (place := whole.find(one)) >= 0]
    assert text.is_stopped == bool(places)
    assert "".join(pieces) == text.text == whole[: min(places, default=None)].rstrip()


def test_half_a_character_is_held_back() -> None:
    ids = TOKENIZER()("né")["input_ids"]
    assert told(ids)[0] == ["n", "", "é", ""]


def test_a_stop_text_is_held_back_while_it_may_come() -> None:
    tokenizer = TOKENIZER()
    ids = [i for letter in "xENy" for i in tokenizer(letter)["input_ids"]]
    assert told(ids, ("END",))[0] == ["x", "", "", "ENy", ""]
    ids = [i for letter in "xEND" for i in tokenizer(letter)["input_ids"]]
    assert told(ids, ("END",))[0] == ["x", "", "", "", ""]
