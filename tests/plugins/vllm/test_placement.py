"""One placeholder per medium becomes what `PromptRenderer` writes; needs no vLLM."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.errors import InputError
from llava_video.plugins.vllm.placement import Placed, Placement
from llava_video.processing.prompt import END, START, ImageSlot, PromptRenderer, VideoSlot
from tests.model.small import small_processor

PROCESSOR = small_processor()
PLACEHOLDER = PROCESSOR.video_token_id
PLACEMENT = Placement(PROCESSOR.tokenizer, PLACEHOLDER)
SAID = "The video lasts for 2.00 seconds."

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["\nWhat?", " ", "", START, END, "<image>", f"{START}system\nno{END}", "é\n\n"]
    ),
)
SLOTS = st.one_of(
    st.builds(VideoSlot, st.integers(1, 9), st.sampled_from(["", SAID])),
    st.builds(ImageSlot, st.integers(1, 9)),
)


def conversation(turns: list[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    return [
        {
            "role": ("user", "assistant")[number % 2],
            "content": [
                *({"type": "video" if isinstance(s, VideoSlot) else "image"} for s in slots),
                {"type": "text", "text": text},
            ],
        }
        for number, (text, slots) in enumerate(turns)
    ]


@given(st.lists(st.tuples(TEXTS, st.lists(SLOTS, max_size=3)), min_size=1, max_size=3))
def test_the_prompt_is_that_of_the_renderer(turns: list[tuple[str, list[Any]]]) -> None:
    messages = conversation(turns)
    slots = [slot for _, several in turns for slot in several]
    wanted = PromptRenderer(PROCESSOR.tokenizer, PLACEHOLDER).render(messages, slots)
    filled, placed = PLACEMENT.fill(
        PLACEMENT.render(messages),
        {
            "video": [slot for slot in slots if isinstance(slot, VideoSlot)],
            "image": [slot for slot in slots if isinstance(slot, ImageSlot)],
        },
    )
    assert filled == wanted.input_ids
    assert [each.num_tokens for each in placed] == [slot.num_tokens for slot in slots]
    kinds = ["video" if isinstance(slot, VideoSlot) else "image" for slot in slots]
    assert [each.kind for each in placed] == kinds
    for each in placed:
        own = filled[each.start : each.start + each.num_tokens]
        assert own == [PLACEHOLDER] * each.num_tokens


def test_ids_that_no_text_gives_stay_as_they_are() -> None:
    a, b = PROCESSOR.tokenizer.encode("a")[0], PROCESSOR.tokenizer.encode("b")[0]
    split = PROCESSOR.tokenizer.encode("The")
    letters = [PROCESSOR.tokenizer.encode(letter)[0] for letter in "The"]
    assert split != letters
    filled, placed = PLACEMENT.fill(
        [a, PLACEHOLDER, *letters, b], {"video": [VideoSlot(2, "a")], "image": []}
    )
    said = PROCESSOR.tokenizer.encode("\na")
    assert filled == [a, PLACEHOLDER, PLACEHOLDER, *said, *letters, b]
    assert placed == [Placed("video", 0, 1, 2)]


@pytest.mark.parametrize(("num_videos", "num_images"), [(1, 0), (0, 2), (2, 3), (0, 0)])
def test_the_shortest_prompt_of_so_many_media(num_videos: int, num_images: int) -> None:
    slots = {"video": [VideoSlot(2)] * num_videos, "image": [ImageSlot(3)] * num_images}
    filled, placed = PLACEMENT.fill(PLACEMENT.one_each(num_videos, num_images), slots)
    assert filled == [PLACEHOLDER] * (2 * num_videos + 3 * num_images)
    assert len(placed) == num_videos + num_images


@pytest.mark.parametrize(
    ("ids", "num_videos", "message"),
    [
        ([PLACEHOLDER] * 2, 1, "more than 1 video"),
        ([5], 1, "1 more video"),
        ([PLACEHOLDER], 0, "0"),
    ],
)
def test_media_and_placeholders_that_do_not_fit(
    ids: list[int], num_videos: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        PLACEMENT.fill(ids, {"video": [VideoSlot(1)] * num_videos, "image": []})
