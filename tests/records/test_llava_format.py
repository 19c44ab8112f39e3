"""What is written is read back, and what the format cannot say is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.errors import InputError
from llava_video.records.llava_format import (
    Shown,
    Turn,
    make_conversation,
    make_record,
    parse_record,
    read_turns,
)

text = st.text(min_size=1, max_size=40).filter(lambda t: t.strip() == t and "<image>" not in t)


@given(st.lists(st.tuples(text, text), min_size=1, max_size=4))
def test_a_record_is_read_as_it_was_written(pairs: list[tuple[str, str]]) -> None:
    record = make_record("v", pairs, data_source="0_30_s_toyworld", video="videos/v.mp4")
    turns = read_turns(parse_record(json.dumps(record)))
    assert [turn.role for turn in turns] == ["user", "assistant"] * len(pairs)
    assert turns[0].parts[0] == Shown("video", "videos/v.mp4")
    said = [part for turn in turns for part in turn.parts if isinstance(part, str)]
    assert said == [text for pair in pairs for text in pair]


def test_keys_are_in_the_order_of_the_release() -> None:
    record = make_record("v", [("What?", "A cat.")], data_source="s", video="v.mp4")
    assert list(record) == ["id", "conversations", "data_source", "video"]
    assert record["conversations"] == [
        {"from": "human", "value": "<image>\nWhat?"},
        {"from": "gpt", "value": "A cat."},
    ]


def test_a_marker_in_a_text_is_no_second_video() -> None:
    turns = make_conversation([("What is <image>?", "An <image>."), ("And <image>?", "It.")])
    asked = "".join(turn["value"] for turn in turns)
    assert asked.count("<image>") == 1
    assert asked.startswith("<image>\nWhat is image?")


def test_parts_stand_where_their_markers_are() -> None:
    record = {
        "image": ["a.png"],
        "video": "b.mp4",
        "conversations": [
            {"from": "human", "value": "Is <image>\nin <video>?"},
            {"from": "gpt", "value": "No <image> is."},
        ],
    }
    assert read_turns(record) == (
        Turn("user", ("Is ", Shown("image", "a.png"), "in ", Shown("video", "b.mp4"), "?")),
        Turn("assistant", ("No <image> is.",)),
    )


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'id' twice"):
        read_turns(parse_record('{"id": "a", "id": "b", "conversations": []}'))
