"""The model of tests: it answers as it is told, in the protocol's terms."""

import pytest

from llava_video.chat.protocol import Answered, AnswerOptions, Piece, answer_one
from llava_video.chat.scripted import ScriptedModel
from llava_video.errors import InputError
from tests.chat.fresh import user


def test_answers_in_order_word_by_word() -> None:
    model = ScriptedModel(["It is red.", " Yes:\n no"])
    events = list(model.answer([[user("What?")], [user("Is it?")]], AnswerOptions()))
    assert [e.text for e in events if isinstance(e, Piece) and e.row == 0] == ["It", " is", " red."]
    assert [e.text for e in events if isinstance(e, Answered)] == ["It is red.", "Yes:\n no"]
    assert [conversation[0]["content"][0]["text"] for conversation, _ in model.asked] == [
        "What?",
        "Is it?",
    ]
    with pytest.raises(InputError, match="2 answers"):
        answer_one(model, [user("And?")])


def test_a_function_sees_the_conversation_and_the_options() -> None:
    model = ScriptedModel(lambda conversation, options: f"{len(conversation)} {options.seed}")
    assert answer_one(model, [user("What?")], AnswerOptions(seed=3)).text == "1 3"


def test_options_end_an_answer() -> None:
    model = ScriptedModel(lambda *_: "one two three")
    cut = answer_one(model, [user("?")], AnswerOptions(max_new_tokens=2))
    assert (cut.text, cut.finish_reason, cut.usage.num_new_tokens) == ("one two", "length", 2)
    stopped = answer_one(model, [user("?")], AnswerOptions(stop=("three", "two")))
    assert (stopped.text, stopped.finish_reason) == ("one", "stop")
