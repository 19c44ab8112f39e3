"""Toyworld clips as training batches, made as they are needed.

All questions about one clip stand in one row: the prompt up to the end of the video, then a branch
per question. Each branch sees the video and itself, and counts its positions from the end of the
video, so that its loss is the one it would have alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
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
    render,
    render_at,
)
from llava_video.toyworld.ask.questions import LETTERS
from llava_video.toyworld.stage import perform
from llava_video.toyworld.words import DIRECTIONS
from llava_video.train.rows import LABEL_IGNORED, Row, join, stack
from llava_video.types import Frames

FIRST_TRAINING_SEED = 1_000_000
"""Seeds from here on are for training; smaller ones are held out."""

_WORDS = (*COLOURS, *SHAPES, *DIRECTIONS, *"01234", "yes", "no")

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
        worker = get_worker_info()
        start, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        seed = self._first_seed + start
        while True:
            yield generate_script(seed=seed, level=self._level)
            seed += step


@dataclass(frozen=True, slots=True)
class QuestionCollator:
    """Makes rows of clips and the questions about them; see the module's text.

    Attributes:
        processor: renders prompts, prepares pixels.
        most_questions: questions per clip, the description included; with 0 the rows end with the
            video.
    """

    processor: LlavaVideoProcessor
    most_questions: int

    def __call__(self, scripts: list[Script]) -> dict[str, Tensor]:
        """Rows for clips (see `rows.stack`), the frames, and ``token_labels`` (B, V, 3)."""
        size, num_frames = self.processor.image_size, self.processor.representation.max_frames
        layout = make_layout(self.processor.representation, num_frames)
        renderer = self.processor.renderer
        rows = [self._row(renderer, script, layout.num_tokens) for script in scripts]
        clips = [render(script, num_frames=num_frames, size=size) for script in scripts]
        told = [
            token_labels(script, clip.timestamps_seconds, layout)
            for script, clip in zip(scripts, clips, strict=True)
        ]
        return {
            **stack(rows, self.processor.tokenizer.pad_token_id),
            "pixel_values_videos": torch.cat([self.processor.preprocess(c) for c in clips]),
            "num_frames_per_video": torch.tensor([len(clip) for clip in clips]),
            "token_labels": torch.from_numpy(np.stack(told)),
        }

    def _row(self, renderer: PromptRenderer, script: Script, num_video_tokens: int) -> Row:
        asked = exchanges(script, script.seed, max(1, self.most_questions))
        prompts = [render_exchange(renderer, e, num_video_tokens) for e in asked]
        num_shared = _num_shared(prompts[0], self.processor.video_token_id)
        conversations = [_labelled(prompt) for prompt in prompts]
        if self.most_questions == 0:
            conversations = [(ids[:num_shared], lab[:num_shared]) for ids, lab in conversations]
        return join(conversations, num_shared)


def render_exchange(renderer: PromptRenderer, exchange: Exchange, num_tokens: int) -> Prompt:
    """A video of so many tokens, a question and its answer as one conversation."""
    text = {"type": "text", "text": exchange.question}
    messages: list[Message] = [
        {"role": "user", "content": [{"type": "video"}, text]},
        {"role": "assistant", "content": exchange.answer},
    ]
    return renderer.render(messages, [VideoSlot(num_tokens)], add_generation_prompt=False)


def _num_shared(prompt: Prompt, video_token_id: int) -> int:
    """Tokens up to the end of the video."""
    return len(prompt.input_ids) - prompt.input_ids[::-1].index(video_token_id)


def _labelled(prompt: Prompt) -> tuple[list[int], list[int]]:
    """Ids, and the same as labels where the assistant speaks."""
    pairs = zip(prompt.input_ids, prompt.supervised, strict=True)
    return prompt.input_ids, [i if wanted else LABEL_IGNORED for i, wanted in pairs]


@dataclass(frozen=True, slots=True)
class ListCollator:
    """Text alone: a list of lettered words, then its lines again, or its words with their letters.

    Nothing can be guessed there but by looking the letter up, so that the language model learns to
    find an option's letter before it has learnt what a video shows.

    Attributes:
        processor: its tokenizer is used.
        num_queries: lines after the list.
    """

    processor: LlavaVideoProcessor
    num_queries: int

    def __call__(self, scripts: list[Script]) -> dict[str, Tensor]:
        """One row per clip, of which only the seed is used: ids, labels and mask (B, L)."""
        tokenizer = self.processor.tokenizer
        texts = [self._text(random.Random(script.seed)) for script in scripts]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        padded = batch["attention_mask"] == 0
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": batch["attention_mask"],
            "labels": batch["input_ids"].masked_fill(padded, LABEL_IGNORED),
        }

    def _text(self, rng: random.Random) -> str:
        lines = list(zip(LETTERS, rng.sample(_WORDS, 4), strict=False))
        text = "\n".join(f"{letter}. {word}" for letter, word in lines)
        for letter, word in rng.choices(lines, k=self.num_queries):
            text += f"\n{letter}. {word}" if rng.random() < 0.5 else f"\n {word} {letter}"
        return text


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
