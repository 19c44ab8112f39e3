"""Influence: numbers are those of prompts without the frames, and the frames of an event lead."""

from pathlib import Path

import pytest
import torch

from llava_video.chat.local.limits import CacheLimits
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import AnswerOptions, answer_one
from llava_video.errors import InputError
from llava_video.representation import make_layout
from llava_video.representation.dissimilarity import select_tokens
from llava_video.toyworld import parse_script, render
from tests.chat.fresh import assistant, user, video
from tests.model.small import random_frames

PLENTY = CacheLimits(2**28, 2**28, 2**28)


@pytest.mark.parametrize("span_frames", [1, 3, 100])
@pytest.mark.parametrize("limits", [PLENTY, CacheLimits(0, 0, 0)], ids=["plenty", "nothing"])
@pytest.mark.parametrize("representation", [None, "evs=0.5", "tstm=0.5"])
def test_an_answer_is_scored_without_the_tokens_of_the_frames(
    small_checkpoint: Path, span_frames: int, limits: CacheLimits, representation: str | None
) -> None:
    model = LocalModel.load(small_checkpoint, limits=limits, representation=representation)
    frames = random_frames(7)
    conversation = [user(video(frames), "What colour?")]
    measured = model.influence(conversation, "red", span_frames=span_frames)
    network, processor = model.network, model.processor
    inputs = processor.apply_chat_template(conversation)
    told = processor.apply_chat_template(
        [*conversation, assistant("red")], add_generation_prompt=False
    )
    num_prompt_tokens = inputs["input_ids"].shape[1]
    ids = told["input_ids"][:, :-1]  # the end of the turn is scored, the newline after it is not
    embeddings = network.model.embed(
        ids,
        network.model.encode_media(
            pixel_values_videos=told["pixel_values_videos"],
            num_frames_per_video=told["num_frames_per_video"],
        )[0],
    )
    places = (ids[0] == processor.video_token_id).nonzero()[:, 0]
    layout = make_layout(processor.representation, 7)
    with torch.no_grad():
        features = network.model.encode_frames(told["pixel_values_videos"])
    frame_of_token = torch.from_numpy(select_tokens(features, layout).frame_of_token())
    assert len(frame_of_token) == len(places)

    @torch.no_grad()
    def likelihood(first: int, stop: int) -> float:
        keep = torch.ones(ids.shape[1], dtype=torch.bool)
        keep[places[(first <= frame_of_token) & (frame_of_token < stop)]] = False
        logits = network(inputs_embeds=embeddings[:, keep]).logits[0]
        answer = ids[0, num_prompt_tokens:]
        scores = logits[-len(answer) - 1 : -1].log_softmax(-1)
        return float(scores.gather(1, answer[:, None]).sum())

    whole = likelihood(0, 0)
    assert measured.log_probability == pytest.approx(whole, abs=1e-4)
    assert [span.first_frame for span in measured.spans] == list(range(0, 7, span_frames))
    for span in measured.spans:
        without = likelihood(span.first_frame, span.first_frame + span.num_frames)
        assert span.log_probability == pytest.approx(without, abs=1e-4)
        assert span.influence == pytest.approx(whole - without, abs=2e-4)
        assert span.start_seconds == frames.timestamps_seconds[span.first_frame]


SCRIPT = """toyworld script 1
level simple, seed 7, 12.00 seconds, aspect 1.000, noise 6.0
actor {thing}, size 0.420
actor blue circle, size 0.440
story
  0.00       scene: cut to studio
  0.00       blue circle: stand at 0.700,0.300
  {start:.2f}       {thing}: appear at 0.300,0.700
  {end:.2f}       {thing}: vanish
"""


@pytest.mark.parametrize(
    ("thing", "frame"), [("white ring", 5), ("green square", 2), ("red star", 8)]
)
def test_the_frame_in_which_something_is_seen_matters_most(thing: str, frame: int) -> None:
    model = LocalModel.load(limits=PLENTY)
    colour, shape = thing.split()
    seconds = frame * 12 / 11
    script = parse_script(SCRIPT.format(thing=thing, start=seconds - 0.5, end=seconds + 0.4))
    conversation = [
        user(
            video(render(script, num_frames=12, size=128)),
            f"What shape is the {colour} thing? Answer in one word.",
        )
    ]
    answered = answer_one(model, conversation, AnswerOptions())
    assert answered.text == shape
    spans = model.influence(conversation, answered.text).spans
    ranked = sorted(spans, key=lambda span: -span.influence)
    assert ranked[0].first_frame == frame
    assert ranked[0].influence > 1 > 10 * abs(ranked[1].influence)
    pairs = model.influence(conversation, answered.text, span_frames=2).spans
    assert max(pairs, key=lambda span: span.influence).first_frame == frame // 2 * 2


def test_what_cannot_be_measured_is_refused(small_checkpoint: Path) -> None:
    model = LocalModel.load(small_checkpoint, limits=PLENTY)
    with pytest.raises(InputError, match="shows no video"):
        model.influence([user("What?")], "red")
    with pytest.raises(InputError, match="at least 1 frame"):
        model.influence([user(video(random_frames(2)), "What?")], "red", span_frames=0)
