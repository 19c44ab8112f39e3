"""What goes over the socket comes out as it went in; nothing but JSON goes."""

import json
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llava_video import errors
from llava_video.chat.keep.start import BrokenOffError
from llava_video.chat.keep.wire import (
    Names,
    error_from_dict,
    error_to_dict,
    influence_from_dict,
    piece_to_dict,
    receive,
    send,
)
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    Influence,
    Piece,
    Sampling,
    ShownVideo,
    SpanInfluence,
    Usage,
)
from llava_video.chat.session_file import answered_from_dict, options_from_dict
from llava_video.representation import PRESETS
from llava_video.types import Frames
from tests.chat.fresh import assistant, user, video


def sent(value: Any) -> Any:
    """A value as the other end has it."""
    here, there = socket.socketpair()
    with here, there, there.makefile("rb") as lines:
        send(here, {"value": value})
        received = receive(lines)
        assert received is not None
        return received["value"]


@pytest.mark.parametrize(
    "options",
    [
        AnswerOptions(),
        AnswerOptions(
            max_new_tokens=3,
            temperature=0.7,
            top_p=0.9,
            top_k=4,
            seed=2,
            stop=("\n", "ß"),
            repetition_penalty=1.1,
            sampling=Sampling(fps=2.0, start_seconds=1.5, end_seconds=3.0),
            representation=next(iter(PRESETS.values())).representation,
        ),
    ],
)
def test_options_come_out_as_they_went_in(options: AnswerOptions) -> None:
    assert options_from_dict(sent(asdict(options))) == options


def test_answers_and_influence_come_out_as_they_went_in() -> None:
    shown = ShownVideo("a\udc80.mp4", 6.7, (0.0, 0.1), 96, "12,64,3,2 average", ("cut off",))
    answered = Answered(1, "links\n", "length", Usage(1, 2, 3, 4, 5), {"a": 0.1}, (shown,), ("w",))
    assert answered_from_dict(sent(piece_to_dict(answered))["answered"], {}) == answered
    assert Piece(*sent(piece_to_dict(Piece(2, " x")))["piece"]) == Piece(2, " x")
    influence = Influence(-1.5, (SpanInfluence(0, 3, 1, 0.3, 0.3, -2.0, 0.5),))
    assert influence_from_dict(sent(influence.to_dict())) == influence


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.VideoError("a"), errors.VideoError),
        (errors.InputError("b"), errors.InputError),
        (BrokenOffError("c"), errors.LlavaVideoError),
    ],
)
def test_errors_keep_their_kind_and_their_line(error: Exception, kind: type) -> None:
    assert isinstance(error, errors.LlavaVideoError)
    back = error_from_dict(sent(error_to_dict(error)))
    assert (type(back), str(back)) == (kind, str(error))


def test_a_line_that_broke_off_is_the_end() -> None:
    here, there = socket.socketpair()
    with there, there.makefile("rb") as lines:
        with here:
            here.sendall(b'{"done":')
        assert receive(lines) is None


def test_files_go_by_absolute_path_and_come_back_as_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = Names()
    talk = [
        user(video("clip.mp4"), {"type": "image", "image": Path("a.png")}, "What?"),
        assistant("clip.mp4"),
        user(video("https://host/b.mp4"), video("data:video/mp4;base64,AAAA"), "And?"),
    ]
    ((first, second, third),) = names.absolute([talk])
    assert [part.get("video") or part.get("image") for part in first["content"]] == [
        str(tmp_path / "clip.mp4"),
        str(tmp_path / "a.png"),
        None,
    ]
    assert second == {"role": "assistant", "content": "clip.mp4"}
    assert third == talk[2]
    assert names.given(f"{tmp_path}/clip.mp4: cannot be read") == "clip.mp4: cannot be read"
    json.dumps(first)


def test_what_is_not_json_is_refused_in_one_line() -> None:
    frames = Frames(np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1), np.zeros(1, np.int64), 1.0)
    with pytest.raises(errors.InputError, match=r"^a kept model takes files and addresses, not Fr"):
        Names().absolute([[user(video(frames), "What?")]])
