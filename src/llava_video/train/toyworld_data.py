"""Toyworld clips as training batches, made as they are needed.

Many questions are asked about each clip. The prompt up to the end of the video stands once for
each clip, and a branch for each question: what follows the video. A branch that is computed with
the keys and values of its clip has the loss that the whole conversation would have.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import IterableDataset, get_worker_info

from llava_video.model.processing import LlavaVideoProcessor
from llava_video.model.prompt import Message, Prompt, PromptRenderer, VideoSlot
from llava_video.representation import TokenLayout, make_layout
from llava_video.toyworld import (
    COLOURS,
    SHAPES,
    Question,
    Script,
    describe,
    generate_script,
    make_questions,
    render_at,
    times_of,
)
from llava_video.toyworld.ask.questions import LETTERS
from llava_video.toyworld.stage import perform
from llava_video.toyworld.words import DIRECTIONS
from llava_video.train.clip_store import ClipStore
from llava_video.train.encoding import label
from llava_video.train.foreign import FOREIGN_ANSWER
from llava_video.train.rows import LABEL_IGNORED
from llava_video.types import Frames

FIRST_TRAINING_SEED = 1_000_000
"""Seeds from here on are for training; smaller ones are held out."""

_WORDS = (*COLOURS, *SHAPES, *DIRECTIONS, *"01234", "yes", "no")

MOST_CHOICES = 8
MOST_OPEN_ENDED = 6
"""Questions about one clip at a time, with options and without."""

WORD_AND_LETTER_ENDING = "Answer in one word, with the letter."
WORD_AND_LETTER_SHARE = 0.4
"""Share of questions with options whose answer names the option before its letter: a model that can
say the answer learns from these which letter stands before it."""

FOREIGN_SHARE = 0.06
DESCRIBED_SHARE = 0.15
"""Shares of clips that are not toyworld's, and of batches in which clips are described."""

LISTS_PER_CLIP = 6
"""Lists of lettered words, see `lettered_lists`, beside each clip."""

_QUESTION_ROUNDS = 6
_QUERIES_PER_LIST = 8

DESCRIBE_PROMPTS = ("Describe the video.", "What happens in the video?")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and the answer to learn."""

    question: str
    answer: str


def exchanges(script: Script, seed: int, most: int) -> list[Exchange]:
    """A description and up to ``most - 1`` questions, open-ended ones first, for one clip."""
    rng = random.Random(seed)
    questions = make_questions(script, seed=seed)
    rng.shuffle(questions)
    questions.sort(key=lambda question: bool(question.options))
    found = [as_exchange(question, rng) for question in questions]
    text = describe(script, 0.0, script.duration_seconds, seed=seed)
    return [Exchange(rng.choice(DESCRIBE_PROMPTS), text), *found[: most - 1]]


def as_exchange(question: Question, rng: random.Random) -> Exchange:
    """A question as it is put to the model, and what it should say."""
    if question.options:
        return Exchange(question.prompt_multiple_choice(), f"{question.answer_letter}.")
    return Exchange(question.prompt_open_ended(one_word=rng.random() < 0.5), question.answer)


class ClipStream(IterableDataset[Script]):
    """Endless scripts of one level, each worker its own."""

    def __init__(self, level: str, first_seed: int) -> None:
        self._level = level
        self._first_seed = first_seed

    def __iter__(self) -> Iterator[Script]:
        for seed in _own_numbers(self._first_seed):
            yield generate_script(seed=seed, level=self._level)


def _own_numbers(first: int) -> Iterator[int]:
    """Endless numbers from ``first`` on, each to one worker."""
    worker = get_worker_info()
    return count(first + (worker.id if worker else 0), worker.num_workers if worker else 1)


@dataclass(frozen=True, slots=True)
class Draw:
    """A clip out of a store, toyworld's or foreign, and the seed of what is asked about it."""

    clip: int
    is_foreign: bool
    seed: int


class DrawStream(IterableDataset[Draw]):
    """Endless draws out of two stores, each worker its own.

    Args:
        num_clips: clips of toyworld to draw from.
        num_foreign: foreign clips to draw from.
        first_seed: of the first draw.
    """

    def __init__(self, num_clips: int, num_foreign: int, first_seed: int) -> None:
        self._num_clips = num_clips
        self._num_foreign = num_foreign
        self._first_seed = first_seed

    def __iter__(self) -> Iterator[Draw]:
        for seed in _own_numbers(self._first_seed):
            rng = random.Random(seed)
            is_foreign = rng.random() < FOREIGN_SHARE
            yield Draw(
                rng.randrange(self._num_foreign if is_foreign else self._num_clips),
                is_foreign,
                seed,
            )


def conversations_about(script: Script, seed: int) -> list[list[Exchange]]:
    """Questions with options, open-ended ones, and one that follows up on another.

    Half of the open-ended questions ask for one word.
    """
    rng = random.Random(seed)
    choices: dict[str, Exchange] = {}
    open_ended: dict[str, Exchange] = {}
    for number in range(_QUESTION_ROUNDS):
        for question in make_questions(script, seed=_QUESTION_ROUNDS * seed + number):
            asked = choices if question.options else open_ended
            exchange = as_exchange(question, rng)
            if question.options and rng.random() < WORD_AND_LETTER_SHARE:
                exchange = Exchange(
                    question.prompt_multiple_choice(ending=WORD_AND_LETTER_ENDING),
                    f"{question.answer} {question.answer_letter}.",
                )
            asked.setdefault(question.question, exchange)
    some_choices, some_open = list(choices.values()), list(open_ended.values())
    rng.shuffle(some_choices)
    rng.shuffle(some_open)
    found = [[one] for one in some_choices[:MOST_CHOICES] + some_open[:MOST_OPEN_ENDED]]
    if len(some_open) > 1:
        found.append(some_open[-2:])
    return found


@dataclass(frozen=True, slots=True)
class ClipCollator:
    """Makes a batch of clips and the questions about them; see the module's text.

    Attributes:
        processor: renders prompts.
        level: of the scripts.
        first_seed: of the script of clip 0.
        clips: features of toyworld's clips.
        foreign: features of clips that are none of toyworld's.
    """

    processor: LlavaVideoProcessor
    level: str
    first_seed: int
    clips: ClipStore
    foreign: ClipStore

    def __call__(self, draws: list[Draw]) -> dict[str, Tensor]:
        """A batch of B clips with N branches.

        Returns:
            ``features`` (B, T, M, C), ``prompt_ids`` (B, P) up to the end of the video,
            ``token_labels`` (B, V, 3), ``clip_of_branch`` (N,), ``branch_ids`` and
            ``branch_labels`` (N, L), and ``list_ids`` and ``list_mask`` of `lettered_lists`.
        """
        tokenizer, renderer = self.processor.tokenizer, self.processor.renderer
        representation = self.processor.representation
        layout = make_layout(representation, representation.max_frames)
        rng = random.Random(draws[0].seed)
        describes = rng.random() < DESCRIBED_SHARE
        prompts: list[list[int]] = []
        told: list[NDArray[np.int64]] = []
        branches: list[tuple[Tensor, Tensor]] = []
        clip_of_branch: list[int] = []
        for clip, draw in enumerate(draws):
            script = generate_script(seed=self.first_seed + draw.clip, level=self.level)
            asked = conversations_about(script, draw.seed)
            if describes:
                asked.append([exchanges(script, draw.seed, most=1)[0]])
            if draw.is_foreign:
                asked = [[Exchange(one.question, FOREIGN_ANSWER)] for one, *_ in asked[::3]]
            times = times_of(script, representation.max_frames)
            labels = token_labels(script, times, layout)
            told.append(np.zeros_like(labels) if draw.is_foreign else labels)
            for conversation in asked:
                prompt = render_exchanges(renderer, conversation, layout.num_tokens)
                ids, own = prompt.input_ids, label(prompt, "assistant", tokenizer)
                shared = len(ids) - ids[::-1].index(self.processor.video_token_id)
                branches.append((torch.tensor(ids[shared:]), torch.tensor(own[shared:])))
                clip_of_branch.append(clip)
            prompts.append(ids[:shared])
        lists = tokenizer(lettered_lists(rng, LISTS_PER_CLIP * len(draws)), padding=True)
        return {
            "features": torch.from_numpy(
                np.stack([(self.foreign if d.is_foreign else self.clips)[d.clip] for d in draws])
            ).float(),
            "prompt_ids": torch.tensor(prompts),
            "token_labels": torch.from_numpy(np.stack(told)),
            "clip_of_branch": torch.tensor(clip_of_branch),
            "branch_ids": pad_sequence(
                [ids for ids, _ in branches], batch_first=True, padding_value=tokenizer.pad_token_id
            ),
            "branch_labels": pad_sequence(
                [own for _, own in branches], batch_first=True, padding_value=LABEL_IGNORED
            ),
            "list_ids": torch.tensor(lists["input_ids"]),
            "list_mask": torch.tensor(lists["attention_mask"]),
        }


def render_exchanges(
    renderer: PromptRenderer, exchanges: Sequence[Exchange], num_tokens: int
) -> Prompt:
    """A video of so many tokens, questions and their answers as one conversation."""
    messages: list[Message] = []
    for number, exchange in enumerate(exchanges):
        text = {"type": "text", "text": exchange.question}
        messages += [
            {"role": "user", "content": [text] if number else [{"type": "video"}, text]},
            {"role": "assistant", "content": exchange.answer},
        ]
    return renderer.render(messages, [VideoSlot(num_tokens)], add_generation_prompt=False)


def lettered_lists(rng: random.Random, num_lists: int) -> list[str]:
    """Lists of lettered words, each followed by its lines again, or by its words and letters.

    Nothing can be guessed there but by looking the letter up, which choosing an option takes.
    """
    texts = []
    for _ in range(num_lists):
        lines = list(zip(LETTERS, rng.sample(_WORDS, 4), strict=False))
        text = "\n".join(f"{letter}. {word}" for letter, word in lines)
        for letter, word in rng.choices(lines, k=_QUERIES_PER_LIST):
            text += f"\n{letter}. {word}" if rng.random() < 0.5 else f"\n {word} {letter}"
        texts.append(text)
    return texts


@dataclass(frozen=True, slots=True)
class PatchCollator:
    """Single frames with what each patch shows: the first lesson of the vision encoder.

    Attributes:
        processor: prepares pixels.
        grid_side: patches per side.
        num_frames: random moments taken of each clip.
    """

    processor: LlavaVideoProcessor
    grid_side: int
    num_frames: int

    def __call__(self, scripts: list[Script]) -> dict[str, Tensor]:
        """Pixels (N, 3, S, S), colours and shapes (N, M) with 0 for none, offsets (N, M, 2)."""
        pixels, colours, shapes, offsets = [], [], [], []
        for script in scripts:
            rng = np.random.default_rng(script.seed)
            times = np.sort(rng.uniform(0.0, script.duration_seconds, self.num_frames))
            pictures = render_at(script, times, self.processor.image_size)
            pixels.append(self.processor.preprocess(Frames.from_array(pictures)))
            colour, shape, offset = patch_labels(script, times, self.grid_side)
            colours.append(colour)
            shapes.append(shape)
            offsets.append(offset)
        return {
            "pixel_values": torch.cat(pixels),
            "colour": torch.from_numpy(np.concatenate(colours)),
            "shape": torch.from_numpy(np.concatenate(shapes)),
            "offset": torch.from_numpy(np.concatenate(offsets)).float(),
        }


def patch_labels(
    script: Script, times: NDArray[np.float64], grid_side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Which actor each patch shows: colour and shape numbers from 1, and the way to its centre.

    Returns:
        Colours and shapes (T, M), 0 where there is nobody, and offsets (T, M, 2) in picture
        heights.
    """
    stage = perform(script, times)
    centres = (np.arange(grid_side) + 0.5) / grid_side
    patch_x, patch_y = np.meshgrid(centres, centres)  # square pictures: aspect 1
    dx = stage.x[:, :, None] - patch_x.ravel()  # (A, T, M)
    dy = stage.y[:, :, None] - patch_y.ravel()
    distance = np.hypot(dx, dy)
    here = (distance < stage.size[:, :, None] / 2) & (stage.opacity[:, :, None] > 0)
    nearest = np.where(here, distance, np.inf).argmin(axis=0)  # (T, M)
    covered = here.any(axis=0)
    colour_of = np.array([list(COLOURS).index(actor.colour) + 1 for actor in script.actors])
    shape_of = np.array([SHAPES.index(actor.shape) + 1 for actor in script.actors])
    pick = nearest[None]
    offset = np.stack(
        [np.take_along_axis(dx, pick, axis=0)[0], np.take_along_axis(dy, pick, axis=0)[0]], axis=-1
    )
    return (
        np.where(covered, colour_of[nearest], 0),
        np.where(covered, shape_of[nearest], 0),
        np.where(np.expand_dims(covered, -1), offset, 0.0),
    )


_LEAST_WAY = 0.04
"""Picture heights below which nobody counts as having moved."""


def token_labels(
    script: Script, times_seconds: NDArray[np.float64], layout: TokenLayout
) -> NDArray[np.int64]:
    """What each video token shows: (V, 3) colour, shape and direction, numbers from 1, 0 for none.

    A token shows the actor that is nearest to the middle of its cell and reaches into it. The
    direction is the way that the actor has come since it was first seen.
    """
    stage = perform(script, times_seconds)
    there = stage.opacity > 0  # (A, T)
    first = there.argmax(axis=1)[:, None]
    way_x = stage.x - np.take_along_axis(stage.x, first, axis=1)
    way_y = stage.y - np.take_along_axis(stage.y, first, axis=1)
    angles = np.arctan2(way_y, way_x)  # eight directions, in the order of the words
    direction = np.round(angles / (np.pi / 4)).astype(np.int64) % len(DIRECTIONS) + 1
    direction[np.hypot(way_x, way_y) < _LEAST_WAY] = 0
    colour = np.array([list(COLOURS).index(actor.colour) + 1 for actor in script.actors])
    shape = np.array([SHAPES.index(actor.shape) + 1 for actor in script.actors])
    labels = np.zeros((layout.num_tokens, 3), np.int64)
    for block in layout.blocks():
        side = layout.grid(block.slow).rows
        middles = (np.arange(side) + 0.5) / side
        cell_x, cell_y = np.meshgrid(middles, middles)
        dx = np.abs(stage.x[:, block.frame, None] - cell_x.ravel())  # (A, tokens)
        dy = np.abs(stage.y[:, block.frame, None] - cell_y.ravel())
        reach = (0.5 / side + stage.size[:, block.frame] / 4)[:, None]
        here = (dx < reach) & (dy < reach) & there[:, block.frame, None]
        who = np.where(here, np.hypot(dx, dy), np.inf).argmin(axis=0)
        found = np.stack([colour[who], shape[who], direction[who, block.frame]], axis=1)
        found[~here.any(axis=0)] = 0
        labels[block.first_token : block.first_token + len(found)] = found
    return labels
