"""`LocalModel`: what it keeps changes no answer, and saves decoding, encoding and prefilling."""

import base64
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from llava_video.chat.local.limits import CacheLimits
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions, Piece, Sampling, answer_one
from llava_video.errors import InputError, LlavaVideoError, VideoError
from llava_video.model.grouped_attention import GROUPED
from llava_video.representation import VideoRepresentation
from tests.budget.memory import needed_bytes, set_free_memory
from tests.chat.fresh import TIE, assistant, fresh_answer, user, video
from tests.model.small import REPRESENTATION, random_frames
from tests.video.media import write_video

PLENTY = CacheLimits(2**28, 2**28, 2**28)
TIGHT = CacheLimits(150_000, 150_000, 300_000)
NOTHING = CacheLimits(0, 0, 0)
OTHER = replace(REPRESENTATION, slow_stride=1)
EVS = replace(REPRESENTATION, selection="evs", keep_ratio=0.5)
TSTM = replace(REPRESENTATION, selection="tstm", keep_ratio=0.5)
SIX = AnswerOptions(max_new_tokens=6)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("media")
    write_video(directory / "a.mp4", num_frames=30)
    write_video(directory / "b.mp4", num_frames=12)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(directory / "image.png")
    return directory


@pytest.fixture(scope="module")
def model(small_checkpoint: Path) -> LocalModel:
    return LocalModel.load(small_checkpoint, limits=PLENTY)


def fresh_model(checkpoint: Path, limits: CacheLimits = PLENTY) -> LocalModel:
    return LocalModel.load(checkpoint, limits=limits)


def answers(
    model: LocalModel, conversations: list[Any], options: AnswerOptions = SIX
) -> list[Answered]:
    """The answers of a batch by row; the pieces of each are its text."""
    said = [""] * len(conversations)
    complete: dict[int, Answered] = {}
    for event in model.answer(conversations, options):
        if isinstance(event, Piece):
            assert event.row not in complete
            said[event.row] += event.text
        else:
            complete[event.row] = event
    assert sorted(complete) == list(range(len(conversations)))
    assert [complete[row].text for row in sorted(complete)] == said
    return [complete[row] for row in sorted(complete)]


# Conversations over few turns, so that drawn ones begin alike, drop a turn or change one.
TURNS = ("a", "b", "frames", "image", "What colour?", "Is it red? It is.")


def conversation_of(turns: list[int], files: Path) -> list[Any]:
    shown = {
        "a": video(str(files / "a.mp4")),
        "b": video(files / "b.mp4"),
        "frames": video(random_frames(4, size=(40, 50))),
        "image": {"type": "image", "image": str(files / "image.png")},
    }
    messages: list[Any] = []
    for turn in turns:
        name = TURNS[turn]
        messages.append(user(shown[name], "What?") if name in shown else user(name))
        messages.append(assistant(f"It is {turn}."))
    return messages[:-1]


batches = st.lists(
    st.lists(st.integers(0, len(TURNS) - 1), min_size=1, max_size=3), min_size=1, max_size=3
)
options_drawn = st.builds(
    AnswerOptions,
    max_new_tokens=st.just(5),
    temperature=st.sampled_from([0.0, 0.8]),
    top_p=st.sampled_from([1.0, 0.9]),
    top_k=st.sampled_from([None, 20]),
    seed=st.integers(0, 3),
    repetition_penalty=st.sampled_from([None, 1.3]),
    representation=st.sampled_from([None, OTHER, EVS, TSTM]),
)


@pytest.mark.parametrize("attention", [GROUPED, "eager", "sdpa"])
@pytest.mark.parametrize("limits", [PLENTY, TIGHT, NOTHING], ids=["plenty", "tight", "nothing"])
def test_answers_are_those_of_a_model_that_keeps_nothing(
    small_checkpoint: Path, files: Path, attention: str, limits: CacheLimits
) -> None:
    model = fresh_model(small_checkpoint, limits)
    model.network.set_attn_implementation({"text_config": attention})

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(batches, options_drawn), min_size=1, max_size=3))
    def check(calls: list[tuple[list[list[int]], AnswerOptions]]) -> None:
        for turns, options in calls:
            conversations = [conversation_of(row, files) for row in turns]
            try:
                given_answers = answers(model, conversations, options)
            except InputError as error:
                assert "the model takes 1024" in str(error)
                continue
            for conversation, answered in zip(conversations, given_answers, strict=True):
                text, num_new_tokens, margin = fresh_answer(model, conversation, options)
                if answered.text != text:
                    assert margin < TIE
                else:
                    assert answered.usage.num_new_tokens == num_new_tokens

    check()
    held = (model.kept_bytes.frames_bytes, model.kept_bytes.features_bytes)
    assert held <= (limits.frames_bytes, limits.features_bytes)
    assert model.kept_bytes.keys_values_bytes <= limits.keys_values_bytes


def test_a_second_question_costs_what_is_new(small_checkpoint: Path, files: Path) -> None:
    model = fresh_model(small_checkpoint)
    first, second = (
        [user(video(files / "a.mp4"), question)] for question in ("What colour?", "What? It is.")
    )
    one = answer_one(model, first, SIX)
    length = one.usage.num_prompt_tokens
    assert one.usage.num_frames_decoded == one.usage.num_frames_encoded == 8
    assert one.usage.num_tokens_prefilled == length
    two = answer_one(model, second, SIX)
    assert two.usage.num_frames_decoded == two.usage.num_frames_encoded == 0
    assert two.usage.num_tokens_prefilled < 40 < two.usage.num_prompt_tokens
    again = answer_one(model, second, SIX)
    assert again.usage.num_tokens_prefilled == 1
    assert again.text == two.text
    assert model.counts.num_frames_decoded == model.counts.num_frames_encoded == 8
    assert model.counts.num_frames_kept == model.counts.num_features_kept == 16


def test_the_next_turn_prefills_neither_video_nor_turns_before(
    small_checkpoint: Path, files: Path
) -> None:
    model = fresh_model(small_checkpoint)
    conversation = [user(video(files / "a.mp4"), "What?")]
    said = answer_one(model, conversation, SIX).text
    told = [*conversation, assistant(said), user("Is it red?")]
    usage = answer_one(model, told, SIX).usage
    assert usage.num_tokens_prefilled < 60
    # Back to before that turn: nothing but the last token is new.
    assert answer_one(model, conversation, SIX).usage.num_tokens_prefilled == 1


def test_another_representation_packs_again_and_encodes_nothing(
    small_checkpoint: Path, files: Path
) -> None:
    model = fresh_model(small_checkpoint)
    conversation = [user(video(files / "a.mp4"), "What?")]
    answer_one(model, conversation, SIX)
    answered = answer_one(model, conversation, replace(SIX, representation=OTHER))
    assert answered.usage.num_frames_decoded == answered.usage.num_frames_encoded == 0
    assert answered.videos[0].num_tokens == 8 * 21
    assert answered.videos[0].representation == str(OTHER)
    assert answer_one(model, conversation, SIX).usage.num_tokens_prefilled == 1


def test_questions_of_one_batch_share_their_video(small_checkpoint: Path, files: Path) -> None:
    model = fresh_model(small_checkpoint)
    questions = ["What colour?", "What?", "Is it red? It is. Is it?"]
    conversations = [[user(video(files / "a.mp4"), question)] for question in questions]
    usages = [answered.usage for answered in answers(model, conversations)]
    assert sum(usage.num_frames_decoded for usage in usages) == 8
    assert sum(usage.num_frames_encoded for usage in usages) == 8
    prefilled = sum(usage.num_tokens_prefilled for usage in usages)
    assert prefilled < max(usage.num_prompt_tokens for usage in usages) + 100
    # Without room to keep anything they still do.
    model = fresh_model(small_checkpoint, NOTHING)
    without = sum(a.usage.num_tokens_prefilled for a in answers(model, conversations))
    assert without == prefilled


def test_a_copy_shares_features_and_a_changed_file_is_decoded_again(
    small_checkpoint: Path, files: Path, tmp_path: Path
) -> None:
    model = fresh_model(small_checkpoint)
    file, copy = tmp_path / "video.mp4", tmp_path / "copy.mp4"
    shutil.copy(files / "a.mp4", file)
    shutil.copy(files / "a.mp4", copy)
    answer_one(model, [user(video(file), "What?")], SIX)
    usage = answer_one(model, [user(video(copy), "What?")], SIX).usage
    assert (usage.num_frames_decoded, usage.num_frames_encoded) == (8, 0)
    assert usage.num_tokens_prefilled == 1
    shutil.copy(files / "b.mp4", file)
    os.utime(file, ns=(1, 1))
    usage = answer_one(model, [user(video(file), "What?")], SIX).usage
    assert (usage.num_frames_decoded, usage.num_frames_encoded) == (8, 8)


def test_a_symbolic_link_is_the_file(small_checkpoint: Path, files: Path, tmp_path: Path) -> None:
    model = fresh_model(small_checkpoint)
    link = tmp_path / "link.mp4"
    link.symlink_to(files / "a.mp4")
    answer_one(model, [user(video(files / "a.mp4"), "What?")], SIX)
    answered = answer_one(model, [user(video(link), "What?")], SIX)
    assert answered.usage.num_frames_decoded == 0
    assert answered.videos[0].source == str(link)


def test_an_address_is_fetched_once(small_checkpoint: Path, files: Path, tmp_path: Path) -> None:
    shutil.copy(files / "a.mp4", tmp_path / "a.mp4")
    data = base64.b64encode((files / "a.mp4").read_bytes()).decode()
    model = fresh_model(small_checkpoint)
    with HTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    ) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.mp4"
        first = answer_one(model, [user(video(address), "What?")], SIX)
        server.shutdown()
    assert first.usage.num_frames_decoded == 8
    for source, num_decoded in ((address, 0), (f"data:video/mp4;base64,{data}", 8)):
        answered = answer_one(model, [user(video(source), "What?")], SIX)
        assert answered.usage.num_frames_decoded == num_decoded
        assert answered.usage.num_frames_encoded == 0
        assert answered.text == first.text


def test_frames_of_a_span_keep_their_times(model: LocalModel, files: Path) -> None:
    sampling = Sampling(num_frames=3, start_seconds=0.4, end_seconds=0.9)
    conversation = [user(video(files / "a.mp4"), "What?")]
    (shown,) = answer_one(model, conversation, replace(SIX, sampling=sampling)).videos
    assert len(shown.timestamps_seconds) == 3
    assert all(0.4 <= seconds < 0.9 for seconds in shown.timestamps_seconds)
    assert shown.duration_seconds > 0.9


def test_media_loaded_ahead_are_there(small_checkpoint: Path, files: Path) -> None:
    model = fresh_model(small_checkpoint)
    conversation = [user(video(files / "a.mp4"), "What?")]
    model.load_ahead([conversation], SIX)
    model.load_ahead([], SIX)  # returns when the one before is done
    usage = answer_one(model, conversation, SIX).usage
    assert (usage.num_frames_decoded, usage.num_frames_encoded) == (0, 8)
    conversation = [user(video(files / "b.mp4"), "What?")]
    model.load_ahead([[user(video(files / "missing.mp4"), "What?")]], SIX)  # nobody asks for it
    model.load_ahead([conversation], SIX, encode=True)
    model.load_ahead([], SIX)
    usage = answer_one(model, conversation, SIX).usage
    assert (usage.num_frames_decoded, usage.num_frames_encoded) == (0, 0)
    assert model.counts.num_frames_decoded == model.counts.num_frames_encoded == 16


def test_a_file_that_is_no_video_fails_before_the_weights(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "checkpoint"
    shutil.copytree(small_checkpoint, broken)
    model = fresh_model(broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(VideoError, match="no such file"):
        answer_one(model, [user(video(tmp_path / "missing.mp4"), "What?")], SIX)


@pytest.mark.parametrize("num_pieces", [0, 1, 3])
def test_an_interrupted_answer_leaves_the_next_ones_right(
    small_checkpoint: Path, files: Path, num_pieces: int
) -> None:
    model = fresh_model(small_checkpoint)
    conversation = [user(video(files / "a.mp4"), "What?")]
    options = AnswerOptions(max_new_tokens=40)
    stream: Iterator[Piece | Answered] = model.answer([conversation, conversation], options)
    for _ in range(num_pieces):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    expected, _, margin = fresh_answer(model, conversation, options)
    assert margin > TIE
    assert answer_one(model, conversation, options).text == expected


def test_a_row_of_a_batch_samples_as_it_would_alone(model: LocalModel, files: Path) -> None:
    options = AnswerOptions(max_new_tokens=12, temperature=1.0, seed=5)
    conversations = [[user(question)] for question in ("What?", "It is red. What colour?")]
    together = [answered.text for answered in answers(model, conversations, options)]
    assert together == [answer_one(model, one, options).text for one in conversations]
    other = [answered.text for answered in answers(model, conversations, replace(options, seed=6))]
    assert together != other


def test_an_answer_ends_at_a_token_that_ends_it_or_before_a_stop_text(
    small_checkpoint: Path, files: Path
) -> None:
    model = fresh_model(small_checkpoint)
    conversation = [user("What colour?")]
    whole = answer_one(model, conversation, AnswerOptions(max_new_tokens=30))
    assert (whole.finish_reason, whole.usage.num_new_tokens) == ("length", 30)
    middle = whole.text[len(whole.text) // 2 :][:3]
    stopped = answer_one(model, conversation, AnswerOptions(max_new_tokens=30, stop=(middle,)))
    assert stopped.finish_reason == "stop"
    assert stopped.text == whole.text[: whole.text.index(middle)].strip()
    ids = model.processor.tokenizer(whole.text)["input_ids"]
    model.network.generation_config.eos_token_id = [int(ids[-1]), 1]
    ended = answer_one(model, conversation, AnswerOptions(max_new_tokens=30))
    assert whole.text.startswith(ended.text)


def test_what_cannot_be_asked_is_refused(model: LocalModel, files: Path) -> None:
    for conversation in ([], [assistant("It is.")], [{"role": "user", "content": [{"type": "x"}]}]):
        with pytest.raises(InputError):
            answer_one(model, conversation, SIX)
    with pytest.raises(LlavaVideoError, match="M = 16"):
        other = VideoRepresentation(max_frames=8, grid_side=4)
        answer_one(model, [user("What?")], replace(SIX, representation=other))
    assert list(model.answer([], SIX)) == []
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_default_limits_are_shares_of_what_an_answer_leaves_free(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = needed_bytes(small_checkpoint, 8, 256)
    set_free_memory(needed + 16_000, tmp_path, monkeypatch)
    limits = LocalModel.load(small_checkpoint, device="cpu").limits
    spare = limits.keys_values_bytes * 4
    assert 15_000 <= spare <= 17_024
    assert limits == CacheLimits.within(spare, spare)
    for name in ("frames_bytes", "features_bytes", "keys_values_bytes"):
        with pytest.raises(InputError, match=name):
            replace(limits, **{name: -1})
