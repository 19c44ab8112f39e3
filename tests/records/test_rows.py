"""Rows of other trainers are the same conversation as in the LLaVA format, or are named."""

import pytest

from llava_video.errors import InputError
from llava_video.records.llava_format import Shown, Turn, read_turns
from llava_video.records.row_keys import unread_keys


def conversation(question: str = "What?", answer: str = "A cat.") -> list[dict]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def messages(question: str = "What?", answer: str = "A cat.") -> list[dict]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


PARTS = [{"type": "video", "video": "a.mp4"}, {"type": "text", "text": "What?"}]

SAME = {
    "LLaVA-Video": {"video": "a.mp4", "conversations": conversation("<image>\nWhat?")},
    "no marker": {"video": "a.mp4", "conversations": conversation()},
    "Video-LLaVA": {"video": "a.mp4", "conversations": conversation("<video>\nWhat?")},
    "marker behind": {"video": "a.mp4", "conversations": conversation("What?\n<video>")},
    "sharegpt": {"videos": ["a.mp4"], "conversations": conversation("<video>What?")},
    "messages": {"videos": ["a.mp4"], "messages": messages("<video>What?")},
    "tags": {"videos": ["a.mp4"], "conversations": messages("<video>What?")},
    "alpaca": {"videos": ["a.mp4"], "instruction": "<video>What?", "input": "", "output": "A cat."},
    "query": {"videos": ["a.mp4"], "query": "<video>What?", "response": "A cat.", "history": []},
    "human": {"videos": ["a.mp4"], "conversation": [{"human": "What?", "assistant": "A cat."}]},
    "parts": {"messages": [{"role": "user", "content": PARTS}, messages()[1]]},
    "parts beside": {
        "videos": ["a.mp4"],
        "messages": [{"role": "user", "content": [{"type": "video"}, PARTS[1]]}, messages()[1]],
    },
    "both keys": {"video": "a.mp4", "videos": ["a.mp4"], "conversations": conversation()},
    "datasets": {"videos": [{"bytes": None, "path": "a.mp4"}], "conversations": conversation()},
    "columns": {"video": "a.mp4", "image": None, "messages": None, "conversations": conversation()},
}


@pytest.mark.parametrize("name", SAME)
def test_formats_say_the_same(name: str) -> None:
    expected = (
        Turn("user", (Shown("video", "a.mp4"), "What?")),
        Turn("assistant", ("A cat.",)),
    )
    assert read_turns(SAME[name]) == expected
    assert unread_keys(SAME[name]) == []


def test_a_system_prompt_is_the_first_turn() -> None:
    first = {"role": "system", "content": "Be brief."}
    rows = (
        {"messages": [first, *messages()]},
        {"system": "Be brief.", "messages": messages()},
        {"system_prompt": "Be brief.", "conversations": conversation()},
        {"system": "Be brief.", "messages": [first, *messages()]},
    )
    for row in rows:
        assert read_turns(row)[0] == Turn("system", ("Be brief.",))
    assert read_turns({"system": "", "messages": messages()})[0].role == "user"
    with pytest.raises(InputError, match="two system prompts"):
        read_turns({"system": "Be long.", "messages": [first, *messages()]})
    with pytest.raises(InputError, match="alternate"):
        read_turns({"messages": [*messages(), first, *messages()]})
    with pytest.raises(InputError, match="system prompt has a marker"):
        read_turns({"system": "<video>", "video": "a.mp4", "messages": messages()})


def test_the_history_of_a_question_comes_first() -> None:
    row = {
        "query": "And?",
        "response": "Out.",
        "history": [["<image>In?", "In."]],
        "image": "a.png",
    }
    assert [turn.parts for turn in read_turns(row)] == [
        (Shown("image", "a.png"), "In?"), ("In.",), ("And?",), ("Out.",),
    ]  # fmt: skip


NO_TEXT = (
    {"video": ""},
    {"video": None},
    {"videos": []},
    {"videos": [""]},
    {"images": [None]},
    {"video": {}},
    {"video_path": "a.mp4"},
    {"videoPath": "a.mp4"},
    {"video_path": None},
    {"video_id": "v_1"},
    {"Video": "a.mp4"},
    {"vidoe": "a.mp4"},
    {"frames": ["1.jpg", "2.jpg"]},
    {"clip": "a"},
    {"media": [{"type": "video", "path": "a.mp4"}]},
    {"file": "a.mp4"},
    {"path": "clips/a"},
    {"image_url": "https://host/a"},
    {"audios": ["a.wav"]},
    {"extra": {"shown": {"files": ["a.MP4"]}}},
    {"thumb": "data:image/png;base64,AAAA"},
    {"jpg": b"..."},
)


@pytest.mark.parametrize("keys", NO_TEXT, ids=str)
def test_a_row_that_names_media_is_never_text_only(keys: dict) -> None:
    with pytest.raises(InputError) as caught:
        read_turns({**keys, "conversations": conversation()})
    assert next(iter(keys)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("marker", ["<image>", "<video>"])
def test_a_marker_without_a_file_is_never_text(marker: str) -> None:
    with pytest.raises(InputError, match=f"1 {marker} markers for 0"):
        read_turns({"conversations": conversation(f"{marker}\nWhat?")})


@pytest.mark.parametrize(
    "marker",
    ["<|video_pad|>", "<|vision_start|>", "<ImageHere>", "<image_1>", "<image 1>", "<Video>",
     "<VIDEO_CONTEXT>", "<im_start>", "<|image_1|>", "<audio>", "<vid>", "</Img>", "[IMG]",
     "<start_of_image>", "<image_soft_token>", "<ref-object>", "<bbox>", "<video/>"],
)  # fmt: skip
def test_foreign_markers_are_named(marker: str) -> None:
    with pytest.raises(InputError, match="which is not read; write <image> or <video>") as caught:
        read_turns({"video": "a.mp4", "conversations": conversation(f"{marker}What?")})
    assert repr(marker) in str(caught.value)


@pytest.mark.parametrize("text", ["Is a < b > c?", "<b>bold</b>", "<|im_start|>user", "a[0]"])
def test_other_text_in_angle_brackets_is_text(text: str) -> None:
    assert read_turns({"conversations": conversation(text)})[0].parts == (text,)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"start": 1.0, "end": 2.0}, "'start' may ask for a part"),
        ({"video_end": 3}, "'video_end' may ask"),
        ({"end_frame": 30}, "'end_frame' may ask"),
        ({"frames": [0, 8]}, "'frames' holds files, or what to take"),
        ({"video2": "b.mp4"}, "'video2' holds files"),
        ({"depth": "depth/a.npy"}, "'depth' holds files"),
        ({"tools": "[{}]"}, "'tools'; tool calls"),
        ({"rejected_response": "No."}, "'rejected_response', so it is a preference"),
        ({"chosen": "A", "rejected": "B"}, "recipe dpo"),
        ({"label": False}, "'label' says whether"),
        ({"kto_tag": True}, "'kto_tag' says whether"),
        ({"mesages": conversation()}, "did you mean 'messages'"),
        ({"messages": messages()}, "'conversations' and 'messages'; which"),
        ({"query": "Q", "response": "A"}, "'conversations' and 'query'; which"),
        ({"videos": ["b.mp4"]}, "'video' and 'videos' differ"),
        ({"history": [["Q", "A"]]}, "'history' beside its conversation"),
    ],
)
def test_keys_that_change_what_a_row_says_are_named(keys: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_turns({"video": "a.mp4", "conversations": conversation(), **keys})


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({"from": "observation", "value": "{}"}, "'observation'; tool calls"),
        ({"role": "tool_call", "content": "{}"}, "'tool_call'; tool calls"),
        ({"role": "assistant", "content": "A", "loss": False}, "'loss'; all answers"),
        ({"role": "assistant", "content": "A", "images": ["a.png"]}, "turn of it has 'images'"),
        ({"role": "assistant", "content": "A", "reasoning_content": "H"}, "'reasoning_content'"),
        ({"role": "assistant", "content": None, "tool_calls": [{}]}, "'tool_calls'"),
        ({"role": "assistant", "from": "gpt", "content": "A"}, "'from' and 'role'; which"),
        ({"role": "assistant", "content": [{"type": "audio"}]}, "type 'audio'"),
        ({"role": "assistant", "content": [{"type": "image"}]}, "not the user's shows a file"),
        ({"role": "assistant", "content": 3}, "no 'value'"),
    ],
)
def test_turns_that_are_not_read_are_named(turn: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_turns({"video": "a.mp4", "messages": [messages()[0], turn]})


@pytest.mark.parametrize(
    ("video", "said"),
    [
        ([["1.jpg", "2.jpg"]], "list in a list"),
        ([{"bytes": b"..", "path": "a.mp4"}], "holds the file itself"),
        (5, "neither the name"),
    ],
)
def test_videos_that_are_no_names_are_named(video: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_turns({"video": video, "conversations": conversation()})


def test_notes_are_counted_and_harmless() -> None:
    row = {
        "id": 1, "data_source": "x", "video": "clips/a.mp4", "conversations": conversation(),
        "video_path": "/elsewhere/a.mp4", "duration": 3.0, "num_frames": 8, "image_size": [4, 4],
        "video_title": "A cat", "output": "A cat.", "metadata": {"split": "train"}, "license": None,
    }  # fmt: skip
    assert len(read_turns(row)) == 2
    assert unread_keys(row) == [
        "video_path", "duration", "num_frames", "image_size", "video_title", "output",
        "metadata",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ({"video_path": "a.mp4"}, {"video": "a.mp4"}),
        ({"Video": "a.mp4"}, {"video": "a.mp4"}),
        ({"video": ""}, {}),
        ({"video": ""}, {"video": "a.mp4"}),
        ({"video": "a.mp4", "start": 3}, {"video": "a.mp4"}),
        ({"video": "a.mp4", "frames": [0]}, {"video": "a.mp4"}),
        ({"video": "a.mp4", "second": "b.mp4"}, {"video": "a.mp4"}),
        ({"videos": [["1.jpg"]]}, {"videos": ["frames_of_it"]}),
        ({"label": True}, {}),
        ({"video": "a.mp4", "history": [["In?", "In."]]}, {"video": "a.mp4"}),
    ],
)
def test_following_the_advice_makes_a_row_usable(broken: dict, mended: dict) -> None:
    """Put the file under its key, or remove the key: what each message says."""
    with pytest.raises(InputError):
        read_turns({**broken, "conversations": conversation()})
    assert read_turns({**mended, "conversations": conversation()})[-1].parts == ("A cat.",)


def test_writing_the_markers_that_are_read_makes_a_row_usable() -> None:
    for named, question in (
        ({"videos": ["a.mp4", "b.mp4"]}, "<video> and <video>"),
        ({"videos": ["a.mp4", "b.mp4"]}, "<image> and <image>"),
        ({"image": "a.png", "video": "a.mp4"}, "<image> and <video>"),
    ):
        foreign = question.replace("<", "<|").replace(">", "_pad|>")
        with pytest.raises(InputError, match="write <image> or <video>"):
            read_turns({**named, "conversations": conversation(foreign)})
        parts = read_turns({**named, "conversations": conversation(question)})[0].parts
        assert sum(isinstance(part, Shown) for part in parts) == 2
