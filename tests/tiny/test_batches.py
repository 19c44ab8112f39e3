"""Many questions about a clip cost less than single conversations, and have the same loss."""

import random
import re
from dataclasses import replace

import pytest
import torch

from llava_video.errors import InputError
from llava_video.model import LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import make_layout
from llava_video.tiny.batches import (
    FORMS,
    LISTS_PER_TEXT,
    ClipCollator,
    Draw,
    DrawStream,
    NumberStream,
    PatchCollator,
    TextCollator,
    render_exchanges,
    training_script,
)
from llava_video.tiny.conversations import Exchange, conversations_about, exchanges, lettered_lists
from llava_video.tiny.feature_cache import ClipStore, fill_store
from llava_video.tiny.objectives import clip_losses, token_heads
from llava_video.tiny.tokenizer import END, START
from llava_video.tiny.train import LEVELS, TEXT, build
from llava_video.toyworld import generate_script, render
from llava_video.toyworld.draw.noise_clips import OUT_OF_DOMAIN_ANSWER, noise_clip
from llava_video.train.attention import WRITTEN
from llava_video.train.data.packing import LABEL_IGNORED

Built = tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]


@pytest.fixture(scope="module")
def built() -> Built:
    torch.manual_seed(0)
    model, processor = build()
    model.token_heads = token_heads(TEXT["hidden_size"])
    return model, processor


def toy_clip(number: int):
    return render(training_script(number, LEVELS), num_frames=12, size=64)


@pytest.fixture(scope="module")
def collator(built, tmp_path_factory) -> ClipCollator:
    model, processor = built

    @torch.no_grad()
    def encode(clips):
        pixels = torch.cat([processor.preprocess(clip) for clip in clips])
        return model.model.encode_frames(pixels).unflatten(0, (-1, 12))

    folder = tmp_path_factory.mktemp("clips")
    clips = fill_store(folder / "toyworld", "clips", 3, toy_clip, encode)
    noise_clips = fill_store(
        folder / "foreign", "noise", 2, lambda n: noise_clip(n, 12, 64), encode
    )
    return ClipCollator(processor, LEVELS, clips, noise_clips)


@pytest.mark.parametrize("attention", ["sdpa", WRITTEN])
@torch.no_grad()
def test_questions_about_clips_have_the_loss_that_they_have_one_by_one(
    built, collator, attention
) -> None:
    model, processor = built
    batch = collator([Draw(0, False, 5), Draw(1, False, 6)])  # one of each level
    num_tokens = make_layout(processor.representation, 12).num_tokens
    total, count = 0.0, 0
    for clip, seed in ((0, 5), (1, 6)):
        pixels = processor.preprocess(toy_clip(clip))
        for conversation in conversations_about(training_script(clip, LEVELS), seed):
            prompt = render_exchanges(processor.renderer, conversation, num_tokens)
            ids = torch.tensor([prompt.input_ids])
            labels = ids.masked_fill(~torch.tensor([prompt.supervised]), LABEL_IGNORED)
            loss = model(input_ids=ids, labels=labels, pixel_values_videos=pixels).loss
            total += float(loss) * sum(prompt.supervised)
            count += sum(prompt.supervised)
    model.set_attn_implementation({"text_config": attention})
    together = clip_losses(model, batch).answers
    model.set_attn_implementation({"text_config": "sdpa"})
    assert float(together) == pytest.approx(total / count, rel=1e-3)  # features rest in float16


def clips_asked(batch, form: int) -> list[int]:
    return [int(c) for group in batch["branches"] for c in group["clip"][group["form"] == form]]


@torch.no_grad()
def test_options_and_their_lists_begin_with_a_draw_or_never(built, collator) -> None:
    model, _ = built
    for options_from, has_lists, has_options in (
        (6, True, True),
        (7, True, False),
        (None, False, False),
    ):
        batch = replace(collator, options_from=options_from)([Draw(0, False, 5), Draw(1, False, 6)])
        assert ("lists" in batch) == has_lists
        asked_about = {name: clips_asked(batch, form) for form, name in enumerate(FORMS)}
        if has_options:
            assert set(asked_about["choices"]) == {1}
        else:
            assert not asked_about["choices"]
            assert sorted(asked_about["open_ended"]) == [0] * 9 + [1] * 9
        losses = clip_losses(model, batch)
        assert bool(losses.lists > 0) == has_lists
        assert losses.answers > 0


def test_a_store_of_other_clips_is_refused(tmp_path) -> None:
    fill_store(tmp_path, "red", 1, lambda n: n, lambda numbers: torch.zeros(len(numbers), 1, 1, 1))
    with pytest.raises(InputError, match=r"holds features of other clips .*contents.txt.; remove"):
        fill_store(tmp_path, "blue", 1, lambda n: n, lambda numbers: torch.ones(1, 1, 1, 1))


def test_a_store_is_finished_where_a_run_before_stopped(tmp_path) -> None:
    drawn = []

    def draw(number: int):
        drawn.append(number)
        return number

    def encode(numbers):
        return torch.tensor(numbers).view(-1, 1, 1, 1).expand(-1, 2, 3, 4)

    store = fill_store(tmp_path, "numbers", 1200, draw, encode)
    (tmp_path / "0001000.npy").unlink()
    again: ClipStore = fill_store(tmp_path, "numbers", 1200, draw, encode)
    assert drawn == [*range(1200), *range(1000, 1200)]
    assert len(store) == len(again) == 1200
    assert again[1003].shape == (2, 3, 4)
    assert (again[1003] == 1003).all()


def test_noise_clips_are_refused_whatever_is_asked(collator) -> None:
    batch = collator([Draw(1, True, 8)])
    answers = {
        collator.processor.tokenizer.decode(row[row >= 0], skip_special_tokens=True).strip()
        for branches in batch["branches"]
        for row in branches["labels"]
    }
    assert answers == {OUT_OF_DOMAIN_ANSWER}
    assert (batch["token_labels"] == 0).all()


def test_draws_are_of_both_kinds_and_each_its_own() -> None:
    stream = iter(DrawStream(100, 10, 7))
    draws = [next(stream) for _ in range(500)]
    assert [draw.seed for draw in draws] == list(range(7, 507))
    assert 0 < sum(draw.is_noise for draw in draws) < 100
    assert max(draw.clip for draw in draws if draw.is_noise) < 10


def test_texts_for_the_language_model_are_lists_and_conversations(built) -> None:
    _, processor = built
    batch = TextCollator(processor, LEVELS)([0, 1])
    ids, mask = batch["conversations"].values()
    assert ids.shape == mask.shape
    texts = [processor.tokenizer.decode(row[own > 0]) for row, own in zip(ids, mask, strict=True)]
    for number, text in enumerate(texts):
        asked = exchanges(training_script(number, LEVELS), number, most=3)
        assert all(one.question in text and one.answer in text for one in asked)
    assert len(batch["lists"]["ids"]) == 2 * LISTS_PER_TEXT


def test_frames_for_the_vision_encoder_are_of_all_levels_and_noise(built) -> None:
    _, processor = built
    batch = PatchCollator(processor, grid_side=8, num_frames=3)([0, 1, 2, 5])
    assert batch["pixel_values"].shape == (12, 3, 64, 64)
    assert batch["classes"].shape == (12, 64, 4)
    assert batch["measures"].shape == (12, 64, 6)
    assert (batch["place"][:9] > 0).all()
    assert (batch["place"][9:] == 0).all()
    assert (batch["classes"][9:] == 0).all()


def test_training_never_draws_held_out_seeds() -> None:
    stream = iter(NumberStream(0))
    scripts = [training_script(next(stream), LEVELS) for _ in range(3)]
    assert [script.seed for script in scripts] == [1_000_000, 1_000_001, 1_000_002]
    assert [script.level for script in scripts] == ["simple", "standard", "simple"]


def test_every_clip_is_described_and_asked_about() -> None:
    script = generate_script(seed=6, level="simple")
    asked = exchanges(script, 0, most=5)
    assert len(asked) == 5
    assert asked == exchanges(script, 0, most=5)
    assert script.actors[0].name in asked[0].answer


def test_whatever_follows_a_list_repeats_one_of_its_lines() -> None:
    for text in lettered_lists(random.Random(3), 20):
        lines = text.replace(f"{END}\n{START}assistant\n", "\n").split("\n")
        letter_of = {option: letter for letter, option in (line.split(". ") for line in lines[:4])}
        assert sorted(letter_of.values()) == list("ABCD")
        for line in lines[4:]:
            letter, option = line.split(". ") if ". " in line else line.rsplit(" ", 1)[::-1]
            assert letter_of[option.strip()] == letter.rstrip(".")


def test_letters_to_look_up_stand_behind_options(built) -> None:
    _, processor = built
    lists = TextCollator(processor, LEVELS)([4])["lists"]
    for text, ids, letter_mask in zip(
        lettered_lists(random.Random(4), LISTS_PER_TEXT),
        lists["ids"],
        lists["letter_mask"],
        strict=True,
    ):
        found = "".join(processor.tokenizer.decode(ids[letter_mask]).split())
        assert found == "".join(re.findall(r" ([A-D])(?=[\n<.]|$)", text))


def test_lists_are_answered_with_the_tokens_of_questions(built) -> None:
    """They are not those of the option in its list: there a space comes before."""
    _, processor = built
    asked = Exchange("Which?\nA. red\nB. pink", "pink B.")
    prompt = render_exchanges(processor.renderer, [asked], num_tokens=1)
    answer = f"{START}assistant\n{asked.answer}"
    assert any(answer in text for text in lettered_lists(random.Random(0), 200))
    ids = processor.tokenizer(answer)["input_ids"]
    start = len(prompt.input_ids) - prompt.input_ids[::-1].index(ids[0]) - 1
    assert prompt.input_ids[start : start + len(ids)] == ids


def test_no_question_about_a_clip_comes_twice() -> None:
    for number in range(1, 20, 2):
        script = training_script(number, LEVELS)
        alone = [one for one, *more in conversations_about(script, number) if not more]
        choices = [one for one in alone if one.has_options]
        assert len({one.question for one in choices}) == len(choices)


def test_any_question_may_follow_any_other() -> None:
    followed = set()
    for number in range(40):
        for one in conversations_about(training_script(number, LEVELS), number):
            if len(one) > 1:
                before, after = one
                assert before.question != after.question
                followed.add((before.has_options, after.has_options))
    assert followed == {(a, b) for a in (True, False) for b in (True, False)}
