"""The provider with a real model: what it decodes, and the frames of the baselines."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from inspect_ai.model import ChatMessageUser, ContentText, ContentVideo, get_model
from inspect_ai.util import materialize_media

from llava_video.chat.protocol import AnswerOptions, Conversation
from llava_video.chat.scripted import ScriptedModel
from llava_video.errors import InputError
from llava_video.evaluate.harness import registry  # noqa: F401  registers the providers
from llava_video.evaluate.harness.provider import fingerprint, shuffle
from llava_video.evaluate.run import Settings, evaluate
from llava_video.evaluate.scoring.outcomes import read_outcomes
from llava_video.records.json_lines import read_lines
from llava_video.video import read_video
from tests.chat.streaming_endpoint import StreamingEndpoint
from tests.evaluate.runs import video_of, write_questions


def details_of(out: Path) -> list[dict]:
    lines = read_lines(out / "answers/own.jsonl")
    return [answer["details"] for line in lines for answer in line["answers"].values()]


def test_a_video_is_decoded_and_encoded_once_for_all_its_questions(tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=3, per_video=4)
    evaluate(["own"], tmp_path / "out", Settings(device="cpu"), annotations=file)
    usages = [details["usage"] for details in details_of(tmp_path / "out")]
    assert len(usages) == 12
    assert sum(usage["num_frames_encoded"] for usage in usages) == 3 * 12
    assert sum(usage["num_frames_decoded"] for usage in usages) <= 3 * 12
    every = sum(usage["num_prompt_tokens"] for usage in usages)
    assert sum(usage["num_tokens_prefilled"] for usage in usages) < every / 2


@pytest.mark.parametrize(("baseline", "num_frames"), [("first-frame", 1), ("shuffled", 12)])
def test_baselines_with_other_frames(tmp_path: Path, baseline: str, num_frames: int) -> None:
    file = write_questions(tmp_path, num_videos=2, per_video=2)
    settings = Settings(device="cpu", baseline=baseline)
    evaluate(["own"], tmp_path / "out", settings, annotations=file)
    shown = [details["videos"][0] for details in details_of(tmp_path / "out")]
    assert [len(video["timestamps_seconds"]) for video in shown] == [num_frames] * 4


def test_shuffled_frames_are_the_same_frames_at_the_same_times(tmp_path: Path) -> None:
    write_questions(tmp_path, num_videos=1)
    frames = read_video(tmp_path / "v0.mp4", num_frames=8)
    other = shuffle(frames)
    assert np.array_equal(other.timestamps_seconds, frames.timestamps_seconds)
    assert not np.array_equal(other.pixels, frames.pixels)
    assert np.array_equal(np.sort(other.pixels, axis=0), np.sort(frames.pixels, axis=0))
    assert np.array_equal(shuffle(frames).pixels, other.pixels)


async def _ask_inline(path: Path) -> str:
    model = get_model("llava_video/tiny", device="cpu", memoize=False)
    content = [
        ContentVideo(video=await materialize_media(str(path)), format="mp4"),
        ContentText(text="How many shapes are there?\nAnswer in one word."),
    ]
    return (await model.generate([ChatMessageUser(content=content)])).completion


def test_videos_of_other_tasks_come_as_base64(tmp_path: Path) -> None:
    import anyio

    write_questions(tmp_path, num_videos=1)
    assert anyio.run(_ask_inline, tmp_path / "v0.mp4")


def test_a_representation_may_be_given_by_its_fields(tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=2, per_video=1)
    fields = {"grid_side": 8, "max_frames": 6, "pool_stride": 2}
    settings = Settings(device="cpu", representation=json.dumps(fields))
    results = evaluate(["own"], tmp_path / "out", settings, annotations=file)
    assert results["own"]["representations"] == ["6,64,1,2 average"]


def test_an_unknown_way_to_show_frames_is_an_error() -> None:
    with pytest.raises(InputError, match="use all, first-frame, shuffled"):
        get_model("llava_video/tiny", shown="backwards", memoize=False)


def test_other_weights_under_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for name, byte in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(byte * 200_000)
    assert fingerprint(str(tmp_path / "a")) != fingerprint(str(tmp_path / "b"))
    large = bytes(2_000_000)
    for name, content in (("c", large), ("d", large[:900_000] + b"1" + large[900_001:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
    assert fingerprint(str(tmp_path / "c")) != fingerprint(str(tmp_path / "d"))
    assert fingerprint("tiny")
    assert fingerprint("http://127.0.0.1:1/v1#tiny") == ""


def test_an_endpoint_gets_the_video_in_video_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    file = write_questions(tmp_path, num_videos=2, per_video=2)
    with StreamingEndpoint() as server:
        settings = Settings(model=f"{server.url}#some-model")
        results = evaluate(["own"], tmp_path / "out", settings, annotations=file)
        parts = server.bodies[0]["messages"][-1]["content"]
    assert results["own"]["scores"]["unparsed_share"] == 1.0
    [video] = [part for part in parts if part["type"] == "video_url"]
    assert video["video_url"]["url"].startswith("data:video/mp4;base64,")


def test_an_endpoint_without_a_model_is_one_line(tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=2, per_video=2)
    settings = Settings(model="http://127.0.0.1:9/v1")
    with pytest.raises(
        InputError, match=r"which of its models\? write http://127.0.0.1:9/v1#MODEL"
    ):
        evaluate(["own"], tmp_path / "out", settings, annotations=file)


def _dark_then_bright(path: Path) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for number in range(80):
            pixels = np.full((64, 64, 3), 20 if number < 40 else 230, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


def test_a_question_about_a_part_is_answered_from_this_part(tmp_path: Path) -> None:
    for folder in ("whole", "sta_segment"):
        (tmp_path / folder).mkdir()
        _dark_then_bright(tmp_path / folder / "a.mp4")
    row = {"video": "a.mp4", "question": "How bright?", "candidates": ["dark", "bright"]}
    rows = [
        row | {"start": 0, "end": 3.5, "answer": "dark"},
        row | {"start": 4.5, "end": 8, "answer": "bright"},
    ]
    file = tmp_path / "action_sequence.json"
    file.write_text(json.dumps(rows))

    def answer(conversation: Conversation, options: AnswerOptions) -> str:
        sampling = options.sampling
        frames = read_video(
            str(video_of(conversation)),
            num_frames=6,
            start_seconds=sampling.start_seconds,
            end_seconds=sampling.end_seconds,
        )
        shades = {"B" if mean > 128 else "A" for mean in frames.pixels.mean((1, 2, 3))}
        return " ".join(sorted(shades))

    said = {}
    for folder in ("whole", "sta_segment"):
        out = tmp_path / f"out-{folder}"
        model = get_model("llava_video/scripted", memoize=False, chat_model=ScriptedModel(answer))
        evaluate(
            ["mvbench"], out, Settings(), annotations=file, videos=tmp_path / folder, model=model
        )
        said[folder] = [outcome.text for outcome in read_outcomes(out / "mvbench")]
    assert said["whole"] == ["A", "B"]
    assert said["sta_segment"] == ["A B", "A B"], "these files are cut already"
    settings = Settings(device="cpu")
    evaluate(["mvbench"], tmp_path / "tiny", settings, annotations=file, videos=tmp_path / "whole")
    first, second = (outcome.seen_seconds for outcome in read_outcomes(tmp_path / "tiny/mvbench"))
    assert (len(first), len(second)) == (12, 12)
    assert first[-1] < 3.5
    assert second[0] >= 4.5
