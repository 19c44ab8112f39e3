"""Rows of many questions cost less than single conversations, and teach the same."""

import numpy as np
import pytest
import torch

from llava_video.model import LlavaVideoForConditionalGeneration, LlavaVideoProcessor
from llava_video.representation import make_layout
from llava_video.toyworld import COLOURS, SHAPES, generate_script
from llava_video.toyworld.words import DIRECTIONS
from llava_video.train.tiny import build
from llava_video.train.toyworld_data import (
    FIRST_TRAINING_SEED,
    ClipStream,
    ListCollator,
    QuestionCollator,
    exchanges,
    patch_labels,
    render_exchange,
    token_labels,
)


@pytest.fixture(scope="module")
def built() -> tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]:
    torch.manual_seed(0)
    return build()


@torch.no_grad()
def test_a_row_has_the_loss_of_its_questions_asked_one_by_one(built) -> None:
    model, processor = built
    scripts = [generate_script(seed=seed, level="simple") for seed in (3, 4)]
    batch = QuestionCollator(processor, 4)(scripts)
    together = model(**batch).loss

    representation = processor.representation
    num_tokens = make_layout(representation, representation.max_frames).num_tokens
    total, count = 0.0, 0
    for index, script in enumerate(scripts):
        for exchange in exchanges(script, script.seed, 4):
            prompt = render_exchange(processor.renderer, exchange, num_tokens)
            ids = torch.tensor([prompt.input_ids])
            labels = ids.masked_fill(~torch.tensor([prompt.supervised]), -100)
            frames = slice(index * 12, index * 12 + 12)
            pixels = batch["pixel_values_videos"][frames]
            loss = model(input_ids=ids, labels=labels, pixel_values_videos=pixels).loss
            total += float(loss) * sum(prompt.supervised)
            count += sum(prompt.supervised)
    assert float(together) == pytest.approx(total / count, rel=1e-4)


def test_patch_labels_name_who_covers_the_patch() -> None:
    script = generate_script(seed=5, level="simple")
    colours, shapes, offsets = patch_labels(script, np.array([0.0, 2.0]), grid_side=8)
    assert colours.shape == shapes.shape == (2, 64)
    assert offsets.shape == (2, 64, 2)
    assert ((colours > 0) == (shapes > 0)).all()
    known = {
        (list(COLOURS).index(actor.colour) + 1, SHAPES.index(actor.shape) + 1)
        for actor in script.actors
    }
    seen = set(zip(colours[colours > 0].tolist(), shapes[shapes > 0].tolist(), strict=True))
    assert seen <= known
    assert np.abs(offsets).max() <= 0.3  # half of the largest shape


def test_training_never_sees_held_out_seeds() -> None:
    stream = iter(ClipStream("simple", FIRST_TRAINING_SEED))
    assert [next(stream).seed for _ in range(3)] == [
        FIRST_TRAINING_SEED + offset for offset in range(3)
    ]


def test_every_clip_is_described_and_asked_about() -> None:
    script = generate_script(seed=6, level="simple")
    asked = exchanges(script, 0, most=5)
    assert len(asked) == 5
    assert asked == exchanges(script, 0, most=5)
    assert script.actors[0].name in asked[0].answer


def test_every_line_after_a_list_repeats_one_of_its_lines(built) -> None:
    _, processor = built
    scripts = [generate_script(seed=seed, level="simple") for seed in (7, 8)]
    batch = ListCollator(processor, num_queries=5)(scripts)
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        assert torch.equal(labels[labels >= 0], ids[labels >= 0])
        lines = processor.tokenizer.decode(labels[labels >= 0]).split("\n")
        letter_of = {word: letter for letter, word in (line.split(". ") for line in lines[:4])}
        assert sorted(letter_of.values()) == list("ABCD")
        for line in lines[4:]:
            letter, word = line.split(". ") if ". " in line else reversed(line.split())
            assert letter_of[word] == letter


def test_tokens_tell_who_is_there_and_which_way_it_went(built) -> None:
    _, processor = built
    layout = make_layout(processor.representation, 12)
    directions = list(DIRECTIONS)
    num_moved = 0
    for seed in range(20):
        script = generate_script(seed=seed, level="simple")
        times_seconds = np.linspace(0.0, script.duration_seconds, 12)
        labels = token_labels(script, times_seconds, layout)
        assert labels.shape == (layout.num_tokens, 3)
        known = {
            (list(COLOURS).index(actor.colour) + 1, SHAPES.index(actor.shape) + 1)
            for actor in script.actors
        }
        assert set(map(tuple, labels[labels[:, 0] > 0, :2].tolist())) <= known
        assert (labels[labels[:, 0] == 0] == 0).all()
        assert (labels[: layout.tokens_per_block(slow=True), 2] == 0).all(), "nothing moved yet"
        went = {event.value for event in script.events if event.value in directions}
        told = {directions[number - 1] for number in labels[:, 2] if number}
        assert told <= went
        num_moved += len(told)
    assert num_moved >= 10


def test_rows_without_questions_end_with_the_video(built) -> None:
    _, processor = built
    batch = QuestionCollator(processor, 0)([generate_script(seed=1, level="simple")])
    assert (batch["labels"] < 0).all()
    assert batch["input_ids"][0, -1] == processor.video_token_id
    assert batch["token_labels"].shape == (1, 96, 3)
