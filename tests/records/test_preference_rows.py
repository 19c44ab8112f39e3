"""Preferences of other trainers are the same two conversations, or are named."""

import pytest

from llava_video.errors import InputError
from llava_video.records.llava_format import Shown, read_turns
from llava_video.records.preference_rows import split_preference

USER = {"role": "user", "content": "<video>What?"}

SAME = {
    "LLaVA-Hound": {
        "video": "a.mp4", "prompt": "<video>\nWhat?", "chosen": "Yes.", "rejected": "No.",
        "answer": "?",
    },
    "LLaMA-Factory": {
        "videos": ["a.mp4"], "conversations": [{"from": "human", "value": "<video>What?"}],
        "chosen": {"from": "gpt", "value": "Yes."}, "rejected": {"from": "gpt", "value": "No."},
    },
    "alpaca": {
        "videos": ["a.mp4"], "instruction": "<video>What?", "input": "", "chosen": "Yes.",
        "rejected": "No.",
    },
    "ms-swift": {
        "videos": ["a.mp4"], "messages": [USER, {"role": "assistant", "content": "Yes."}],
        "rejected_response": "No.",
    },
    "TRL": {
        "videos": ["a.mp4"], "prompt": [USER], "chosen": [{"role": "assistant", "content": "Yes."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_formats_say_the_same(name: str) -> None:
    for row, answer in zip(split_preference(SAME[name]), ("Yes.", "No."), strict=True):
        asked, said = read_turns(row)
        assert asked.parts == (Shown("video", "a.mp4"), "What?")
        assert said.parts == (answer,)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"video": "a.mp4", "conversations": []}, "no 'prompt', 'chosen' and 'rejected'"),
        ({"prompt": "Q", "chosen": "A"}, "no 'rejected' that is text"),
        ({"prompt": "Q", "messages": [USER], "chosen": "A", "rejected": "B"}, "which is its"),
        ({"messages": [USER], "chosen": "A", "rejected": [USER, USER]}, "no 'rejected'"),
        ({"messages": [USER], "rejected_response": "B"}, "no 'chosen'"),
    ],
)
def test_what_is_no_preference_is_named(row: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        split_preference(row)
