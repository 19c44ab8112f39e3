"""``labels: llava_next`` is what the official code supervises, quirk by quirk.

The official rule (``preprocess_qwen``) is written down here once more, in its own order: it encodes
each message with its markers as text, supervises whole messages of the assistant, and then every
newline and marker wherever it is.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.processing.prompt import SYSTEM_PROMPT, ImageSlot, PromptRenderer
from llava_video.tiny.tokenizer import train_tokenizer
from llava_video.train.data.encode import label
from llava_video.train.data.packing import LABEL_IGNORED

NUM_IMAGE_TOKENS = 3
TOKENIZER = train_tokenizer(["user\nassistant\nWhat?\n\nIt is so.\n\nsystem\n"] * 9, 300)
IMAGE = TOKENIZER.convert_tokens_to_ids("<image>")


def official(turns: list[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """Ids and labels of a conversation; ``<image>`` in a text stands for an image."""
    names = ["<|im_start|>", "<|im_end|>"]
    everywhere = {*TOKENIZER.convert_tokens_to_ids(names), *TOKENIZER("\n")["input_ids"]}
    ids: list[int] = []
    labels: list[int] = []
    for role, text in [("system", SYSTEM_PROMPT), *turns]:
        own = TOKENIZER(f"<|im_start|>{role}\n{text}<|im_end|>\n")["input_ids"]
        ids += own
        labels += own if role == "assistant" else [LABEL_IGNORED] * len(own)
    labels = [i if i in everywhere else old for i, old in zip(ids, labels, strict=True)]
    times = [NUM_IMAGE_TOKENS if i == IMAGE else 1 for i in ids]
    repeat = [
        [value for value, count in zip(values, times, strict=True) for _ in range(count)]
        for values in (ids, labels)
    ]
    return repeat[0], repeat[1]


def ours(turns: list[tuple[str, str]]) -> tuple[list[int], list[int]]:
    messages: list[dict[str, Any]] = []
    slots = []
    for role, text in turns:
        content: Any = text
        if text.startswith("<image>\n"):
            asked = {"type": "text", "text": text.removeprefix("<image>\n")}
            content = [{"type": "image"}, asked]
            slots.append(ImageSlot(NUM_IMAGE_TOKENS))
        messages.append({"role": role, "content": content})
    prompt = PromptRenderer(TOKENIZER, IMAGE).render(messages, slots, add_generation_prompt=False)
    return prompt.input_ids, label(prompt, "llava_next", TOKENIZER)


def supervised(turns: list[tuple[str, str]]) -> list[str]:
    """Unbroken stretches of what is supervised, as text."""
    stretches: list[list[int]] = [[]]
    for value in ours(turns)[1]:
        if value == LABEL_IGNORED:
            stretches.append([])
        else:
            stretches[-1].append(value)
    return [TOKENIZER.decode(stretch) for stretch in stretches if stretch]


TALK = [("user", "What?"), ("assistant", "It is so.")]


@pytest.mark.parametrize(
    "turns",
    [
        TALK,
        [*TALK, ("user", "Is it?"), ("assistant", "It is.")],
        [("user", "<image>\nWhat?"), ("assistant", "It is so.")],
        [("user", "What?\nWhat?\n\nWhat?"), ("assistant", "It is so.\n\nIt is.\n")],
        [*TALK, ("user", "<image>\nIs it?\nWhat?"), ("assistant", "It is.")],
    ],
)
def test_labels_are_those_of_the_official_rule(turns: list[tuple[str, str]]) -> None:
    assert ours(turns) == official(turns)


TEXT = st.text(alphabet="aWt? .\n", min_size=1, max_size=20).filter(str.strip)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), st.booleans())
def test_so_are_they_of_any_text(pairs: list[tuple[str, str]], shows_image: bool) -> None:
    turns = []
    for question, answer in pairs:
        # An answer that begins with a blank would be one token with the end of its header there.
        turns += [("user", question.strip()), ("assistant", answer.lstrip())]
    if shows_image:
        turns[0] = ("user", f"<image>\n{turns[0][1]}")
    assert ours(turns) == official(turns)


def test_the_header_of_the_assistant_is_learnt() -> None:
    assert "<|im_start|>assistant\nIt is so.<|im_end|>" in "".join(supervised(TALK))


def test_markers_of_all_turns_are_supervised_but_not_who_speaks() -> None:
    start, newline, *rest = supervised(TALK)
    assert (start, newline) == ("<|im_start|>", "\n"), "of the system's turn"
    assert rest[0] == "<|im_end|>\n<|im_start|>", "between the system's and the user's"
    assert not any("user" in text or "system" in text for text in supervised(TALK))


def test_single_newlines_of_questions_are_supervised_and_blank_lines_are_not() -> None:
    assert len(TOKENIZER("\n\n")["input_ids"]) == 1
    plain = supervised(TALK)
    assert supervised([("user", "What?\n\nWhat?"), TALK[1]]) == plain
    assert len(supervised([("user", "What?\nWhat?"), TALK[1]])) == len(plain) + 1


def test_the_newline_after_the_last_turn_is_learnt() -> None:
    assert supervised(TALK)[-1].endswith("It is so.<|im_end|>\n")
