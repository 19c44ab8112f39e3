"""Many questions about a clip cost less than single conversations, and teach the same."""

import random

import numpy as np
import pytest
import torch

from llava_video.model import LlavaVideoForConditionalGeneration, LlavaVideoProcessor
from llava_video.representation import make_layout
from llava_video.toyworld import COLOURS, SHAPES, generate_script, render
from llava_video.toyworld.words import DIRECTIONS
from llava_video.train.attention import WRITTEN
from llava_video.train.clip_store import ClipStore, fill_store
from llava_video.train.foreign import FOREIGN_ANSWER, foreign_clip
from llava_video.train.rows import LABEL_IGNORED
from llava_video.train.tiny import LEVEL, build, clip_losses, token_heads
from llava_video.train.toyworld_data import (
    FIRST_TRAINING_SEED,
    ClipCollator,
    ClipStream,
    Draw,
    DrawStream,
    conversations_about,
    exchanges,
    lettered_lists,
    patch_labels,
    render_exchanges,
    token_labels,
)

Built = tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]


@pytest.fixture(scope="module")
def built() -> Built:
    torch.manual_seed(0)
    model, processor = build()
    model.token_heads = token_heads()
    return model, processor


def toy_clip(number: int):
    script = generate_script(seed=FIRST_TRAINING_SEED + number, level=LEVEL)
    return render(script, num_frames=12, size=64)


@pytest.fixture(scope="module")
def collator(built, tmp_path_factory) -> ClipCollator:
    model, processor = built

    @torch.no_grad()
    def encode(clips):
        pixels = torch.cat([processor.preprocess(clip) for clip in clips])
        return model.model.encode_frames(pixels).unflatten(0, (-1, 12))

    folder = tmp_path_factory.mktemp("clips")
    clips = fill_store(folder / "toyworld", 3, toy_clip, encode)
    foreign = fill_store(folder / "foreign", 2, lambda n: foreign_clip(n, 12, 64), encode)
    return ClipCollator(processor, LEVEL, FIRST_TRAINING_SEED, clips, foreign)


@pytest.mark.parametrize("attention", ["sdpa", WRITTEN])
@torch.no_grad()
def test_questions_about_clips_have_the_loss_that_they_have_one_by_one(
    built, collator, attention
) -> None:
    model, processor = built
    batch = collator([Draw(0, False, 5), Draw(2, False, 6)])
    num_tokens = make_layout(processor.representation, 12).num_tokens
    total, count = 0.0, 0
    for clip, seed in ((0, 5), (2, 6)):
        pixels = processor.preprocess(toy_clip(clip))
        script = generate_script(seed=FIRST_TRAINING_SEED + clip, level=LEVEL)
        for conversation in conversations_about(script, seed):
            prompt = render_exchanges(processor.renderer, conversation, num_tokens)
            ids = torch.tensor([prompt.input_ids])
            labels = ids.masked_fill(~torch.tensor([prompt.supervised]), LABEL_IGNORED)
            loss = model(input_ids=ids, labels=labels, pixel_values_videos=pixels).loss
            total += float(loss) * sum(prompt.supervised)
            count += sum(prompt.supervised)
    model.set_attn_implementation({"text_config": attention})
    together = clip_losses(model, batch)[0]
    model.set_attn_implementation({"text_config": "sdpa"})
    assert float(together) == pytest.approx(total / count, rel=1e-3)  # features rest in float16


def test_a_store_is_finished_where_a_run_before_stopped(tmp_path) -> None:
    drawn = []

    def draw(number: int):
        drawn.append(number)
        return number

    def encode(numbers):
        return torch.tensor(numbers).view(-1, 1, 1, 1).expand(-1, 2, 3, 4)

    store = fill_store(tmp_path, 1200, draw, encode)
    (tmp_path / "0001000.npy").unlink()
    again: ClipStore = fill_store(tmp_path, 1200, draw, encode)
    assert drawn == [*range(1200), *range(1000, 1200)]
    assert len(store) == len(again) == 1200
    assert again[1003].shape == (2, 3, 4)
    assert (again[1003] == 1003).all()


def test_foreign_clips_are_refused_whatever_is_asked(collator) -> None:
    batch = collator([Draw(1, True, 8)])
    labels = batch["branch_labels"]
    answers = {
        collator.processor.tokenizer.decode(row[row >= 0], skip_special_tokens=True).strip()
        for row in labels
    }
    assert answers == {FOREIGN_ANSWER}
    assert (batch["token_labels"] == 0).all()


def test_draws_are_of_both_kinds_and_each_its_own() -> None:
    stream = iter(DrawStream(100, 10, 7))
    draws = [next(stream) for _ in range(500)]
    assert [draw.seed for draw in draws] == list(range(7, 507))
    assert 0 < sum(draw.is_foreign for draw in draws) < 100
    assert max(draw.clip for draw in draws if draw.is_foreign) < 10


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


def test_every_line_after_a_list_repeats_one_of_its_lines() -> None:
    for text in lettered_lists(random.Random(3), 5):
        lines = text.split("\n")
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
