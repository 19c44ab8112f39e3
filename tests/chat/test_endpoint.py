"""A model behind an endpoint, asked over a real connection on loopback."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from llava_video.calls.endpoint import Endpoint
from llava_video.chat.endpoint import EndpointModel
from llava_video.chat.protocol import Answered, AnswerOptions, Piece, Sampling, answer_one
from llava_video.chat.session import Session
from llava_video.errors import EndpointError, InputError, VideoError
from tests.chat.fresh import assistant, user, video
from tests.chat.streaming_endpoint import StreamingEndpoint
from tests.model.small import REPRESENTATION, random_frames
from tests.video.media import write_video


@pytest.fixture
def server() -> Iterator[StreamingEndpoint]:
    with StreamingEndpoint() as server:
        yield server


def model_at(server: StreamingEndpoint, **options: Any) -> EndpointModel:
    settings = Endpoint(model="some-model", base_url=server.url, attempts=1, timeout_seconds=20)
    return EndpointModel(settings, **options)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_video(tmp_path_factory.mktemp("video") / "a b.mp4", num_frames=20))


def test_pieces_usage_and_options(server: StreamingEndpoint) -> None:
    options = AnswerOptions(
        max_new_tokens=9,
        temperature=0.5,
        top_p=0.8,
        top_k=7,
        seed=1,
        stop=("x",),
        repetition_penalty=1.1,
    )
    conversation = [
        {"role": "system", "content": "Be short."},
        user("What?"),
        assistant("It."),
        user("And?"),
    ]
    events = list(model_at(server).answer([conversation], options))
    assert [event.text for event in events if isinstance(event, Piece)] == ["It", " is", " red."]
    answered = events[-1]
    assert isinstance(answered, Answered)
    assert (answered.text, answered.finish_reason) == ("It is red.", "stop")
    usage = answered.usage
    assert (usage.num_prompt_tokens, usage.num_new_tokens, usage.num_tokens_prefilled) == (
        50,
        3,
        30,
    )
    (body,) = server.bodies
    assert [message["role"] for message in body["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    sent = {name: value for name, value in body.items() if name != "messages"}
    assert sent == {
        "model": "some-model",
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": 7,
        "seed": 1,
        "stop": ["x"],
        "repetition_penalty": 1.1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_video_goes_as_pictures_with_their_times(server: StreamingEndpoint, file: Path) -> None:
    options = AnswerOptions(sampling=Sampling(num_frames=3))
    answered = answer_one(model_at(server), [user(video(file), "What?")], options)
    (shown,) = answered.videos
    assert len(shown.timestamps_seconds) == answered.usage.num_frames_decoded == 3
    content = server.bodies[0]["messages"][0]["content"]
    texts = [part["text"] for part in content if part["type"] == "text"]
    times = [f"Frame at {seconds:.2f} s:" for seconds in shown.timestamps_seconds]
    assert texts == [*times, "What?"]
    pictures = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert all(url.startswith("data:image/jpeg;base64,") for url in pictures)
    answered = answer_one(model_at(server), [user(video(random_frames(2)), "What?")])
    assert len(answered.videos[0].timestamps_seconds) == 2


def test_a_video_goes_as_its_file_or_its_name(server: StreamingEndpoint, file: Path) -> None:
    conversation = [user(video(file), "What?")]
    answered = answer_one(model_at(server, videos_as="data_url"), conversation)
    assert answered.videos[0].duration_seconds > 0
    answer_one(model_at(server, videos_as="file_url"), conversation)
    inside, named = (
        body["messages"][0]["content"][0]["video_url"]["url"] for body in server.bodies
    )
    header, _, content = inside.partition(",")
    assert header == "data:video/mp4;base64"
    assert base64.b64decode(content) == file.read_bytes()
    assert named == file.as_uri()
    with pytest.raises(InputError, match="send videos as frames"):
        answer_one(model_at(server, videos_as="file_url"), [user(video(random_frames(2)), "What?")])
    with pytest.raises(VideoError, match=r"missing\.mp4"):
        answer_one(model_at(server, videos_as="data_url"), [user(video("missing.mp4"), "What?")])


def test_a_server_is_told_how_many_frames_to_take_of_a_file(
    server: StreamingEndpoint, file: Path
) -> None:
    conversation = [user(video(file), "What?")]
    model = model_at(server, videos_as="file_url")
    answer_one(model, conversation, AnswerOptions(sampling=Sampling(num_frames=3)))
    answer_one(model, conversation, AnswerOptions(sampling=Sampling(fps=0.5)))
    answer_one(model, conversation)
    asked = [body.get("media_io_kwargs") for body in server.bodies]
    assert asked == [{"video": {"num_frames": 3}}, {"video": {"fps": 0.5}}, None]
    with pytest.raises(InputError, match="a part was asked for; send videos as frames"):
        answer_one(model, conversation, AnswerOptions(sampling=Sampling(start_seconds=1.0)))


def test_images_go_as_files_or_pictures(server: StreamingEndpoint, tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    images = [str(tmp_path / "a.png"), picture, "https://example.org/a.png"]
    answer_one(
        model_at(server), [user(*({"type": "image", "image": image} for image in images), "What?")]
    )
    content = server.bodies[0]["messages"][0]["content"]
    urls = [part["image_url"]["url"].partition(",")[0] for part in content[:3]]
    assert urls == ["data:image/png;base64", "data:image/jpeg;base64", "https://example.org/a.png"]


def test_rows_are_asked_together(server: StreamingEndpoint) -> None:
    rows = [[user(f"What {number}?")] for number in range(5)]
    events = list(model_at(server).answer(rows, AnswerOptions()))
    assert sorted(event.row for event in events if isinstance(event, Answered)) == list(range(5))
    assert len(server.bodies) == 5
    assert list(model_at(server).answer([], AnswerOptions())) == []


def test_the_longest_answer_is_said(server: StreamingEndpoint) -> None:
    server.finish_reason = "length"
    assert answer_one(model_at(server), [user("What?")]).finish_reason == "length"


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "check OPENAI_API_KEY"), (400, "fewer frames"), (500, "failed"), (404, "failed")],
)
def test_a_refusal_is_one_line(server: StreamingEndpoint, status: int, message: str) -> None:
    server.status = status
    with pytest.raises(EndpointError, match=message) as error:
        answer_one(model_at(server), [user("What?")])
    assert "\n" not in str(error.value)


def test_what_cannot_be_answered_is_refused(server: StreamingEndpoint) -> None:
    model = model_at(server)
    with pytest.raises(InputError, match="leave the representation out"):
        answer_one(model, [user("What?")], AnswerOptions(representation=REPRESENTATION))
    with pytest.raises(InputError, match="type 'sound'"):
        answer_one(model, [user({"type": "sound"})])
    server.finish_reason = None
    with pytest.raises(EndpointError, match="broke off"):
        answer_one(model, [user("What?")])
    gone = EndpointModel(Endpoint(model="x", base_url="http://127.0.0.1:9/v1", attempts=1))
    with pytest.raises(EndpointError, match="cannot be reached"):
        answer_one(gone, [user("What?")])


@pytest.mark.parametrize("videos_as", ["frames", "data_url"])
def test_a_session_with_a_server_is_exported(
    videos_as: Literal["frames", "data_url"], server: StreamingEndpoint, file: Path, tmp_path: Path
) -> None:
    session = Session(model_at(server, videos_as=videos_as), [file])
    session.ask("What?")
    session.export(tmp_path / "talk.html")
    page = (tmp_path / "talk.html").read_text()
    assert "It is red." in page
    assert ("the server makes tokens of them" in page) == (videos_as == "frames")
    assert ("data:image/jpeg" in page) == (videos_as == "frames")
