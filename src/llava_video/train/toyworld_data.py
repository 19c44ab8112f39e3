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
from llava_video.representation import make_layout
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
    """A description and up to ``most - 1`` questions with answers, for one clip."""
    rng = random.Random(seed)
    found = [as_exchange(question, rng) for question in make_questions(script, seed=seed)]
    rng.shuffle(found)
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
        most_questions: questions per clip, the description included.
    """

    processor: LlavaVideoProcessor
    most_questions: int

    def __call__(self, scripts: list[Script]) -> dict[str, Tensor]:
        """Rows for clips: ids, positions, labels (B, L), a mask (B, 1, L, L), and the frames."""
        representation = self.processor.representation
        renderer = self.processor.renderer
        num_tokens = make_layout(representation, representation.max_frames).num_tokens
        rows = []
        for script in scripts:
            asked = exchanges(script, script.seed, self.most_questions)
            prompts = [render_exchange(renderer, exchange, num_tokens) for exchange in asked]
            rows.append(_join(prompts, _num_shared(prompts[0], self.processor.video_token_id)))
        batch = _stack(rows, self.processor.tokenizer.pad_token_id)
        size, num_frames = self.processor.image_size, representation.max_frames
        clips = [render(script, num_frames=num_frames, size=size) for script in scripts]
        batch["pixel_values_videos"] = torch.cat([self.processor.preprocess(c) for c in clips])
        batch["num_frames_per_video"] = torch.tensor([len(clip) for clip in clips])
        return batch


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


def _join(prompts: list[Prompt], num_shared: int) -> _Row:
    """One row of prompts whose first ``num_shared`` tokens are the same."""
    ids = prompts[0].input_ids[:num_shared]
    labels = [-100] * num_shared
    positions = list(range(num_shared))
    branch = [0] * num_shared
    for number, prompt in enumerate(prompts, start=1):
        own, supervised = prompt.input_ids[num_shared:], prompt.supervised[num_shared:]
        ids = ids + own
        labels += [i if wanted else -100 for i, wanted in zip(own, supervised, strict=True)]
        positions += range(num_shared, num_shared + len(own))
        branch += [number] * len(own)
    return _Row(*(torch.tensor(values) for values in (ids, labels, positions, branch)))


def _stack(rows: list[_Row], padding: int) -> dict[str, Tensor]:
    """Pad rows to one length; what is padding sees only itself."""
    length = max(len(row.input_ids) for row in rows)
    batch = {
        "input_ids": torch.full((len(rows), length), padding),
        "position_ids": torch.zeros(len(rows), length, dtype=torch.long),
        "labels": torch.full((len(rows), length), -100),
        "attention_mask": _additive(torch.eye(length, dtype=torch.bool)).repeat(len(rows), 1, 1, 1),
    }
    for index, row in enumerate(rows):
        size = len(row.input_ids)
        batch["input_ids"][index, :size] = row.input_ids
        batch["position_ids"][index, :size] = row.position_ids
        batch["labels"][index, :size] = row.labels
        batch["attention_mask"][index, 0, :size, :size] = _additive(_visible(row.branch))
    return batch


@dataclass(frozen=True, slots=True)
class _Row:
    """One clip's tokens; ``branch`` is 0 for the shared video, then counts the questions."""

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor
    branch: Tensor


def _visible(branch_L: Tensor) -> Tensor:
    """(L, L): earlier tokens of the same branch, and the whole shared part."""
    same = branch_L[:, None] == branch_L[None, :]
    return (same | (branch_L == 0)[None, :]).tril()


def _additive(visible: Tensor) -> Tensor:
    """0 where attention may look; every implementation of attention takes this form."""
    return torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)


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
            "labels": batch["input_ids"].masked_fill(padded, -100),
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
