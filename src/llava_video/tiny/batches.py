"""Toyworld clips as training batches, made as they are needed.

Many questions are asked about each clip. The prompt up to the end of the video stands once for
each clip, and a branch for each question: what follows the video. A branch that is computed with
the keys and values of its clip has the loss that the whole conversation would have.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import IterableDataset, get_worker_info

from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.processing.prompt import Message, Prompt, PromptRenderer, VideoSlot
from llava_video.representation import make_layout
from llava_video.tiny.conversations import (
    DESCRIBE_PROMPTS,
    Exchange,
    conversations_about,
    exchanges,
    lettered_lists,
)
from llava_video.tiny.dense_labels import PatchLabels, empty_labels, patch_labels, token_labels
from llava_video.tiny.feature_cache import ClipStore
from llava_video.tiny.noise_clips import OUT_OF_DOMAIN_ANSWER, noise_clip
from llava_video.toyworld import Script, generate_script, render_at, times_of
from llava_video.toyworld.questions.question import LETTERS
from llava_video.train.data.encode import label
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.types import Frames

FIRST_TRAINING_SEED = 1_000_000
"""Seeds from here on are for training; smaller ones are held out."""

FRAME_LEVELS = ("simple", "standard", "crowded", "simple", "standard", None)
"""Levels of the frames that the vision encoder learns from, in turn; None is not toyworld."""

NOISE_SHARE = 0.06
DESCRIBED_SHARE = 0.15
"""Shares of clips that are not toyworld's, and of batches in which clips are described."""

LISTS_PER_TEXT = 8
LISTS_PER_CLIP = 2
"""Lists, see `lettered_lists`, beside each text to read and beside each clip."""


def training_script(number: int, levels: Sequence[str]) -> Script:
    """The script of one of the clips that are learnt from, of each level in turn."""
    return generate_script(seed=FIRST_TRAINING_SEED + number, level=levels[number % len(levels)])


class NumberStream(IterableDataset[int]):
    """Endless numbers of clips, each worker its own."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return _own_numbers(self._first)


def _own_numbers(first: int) -> Iterator[int]:
    """Endless numbers from ``first`` on, each to one worker."""
    worker = get_worker_info()
    return count(first + (worker.id if worker else 0), worker.num_workers if worker else 1)


@dataclass(frozen=True, slots=True)
class Draw:
    """A clip out of a store, toyworld's or foreign, and the seed of what is asked about it."""

    clip: int
    is_noise: bool
    seed: int


class DrawStream(IterableDataset[Draw]):
    """Endless draws out of two stores, each worker its own.

    Args:
        num_clips: clips of toyworld to draw from.
        num_noise_clips: foreign clips to draw from.
        first_seed: of the first draw.
    """

    def __init__(self, num_clips: int, num_noise_clips: int, first_seed: int) -> None:
        self._num_clips = num_clips
        self._num_noise_clips = num_noise_clips
        self._first_seed = first_seed

    def __iter__(self) -> Iterator[Draw]:
        for seed in _own_numbers(self._first_seed):
            rng = random.Random(seed)
            is_noise = rng.random() < NOISE_SHARE
            yield Draw(
                rng.randrange(self._num_noise_clips if is_noise else self._num_clips),
                is_noise,
                seed,
            )


@dataclass(frozen=True, slots=True)
class ClipCollator:
    """Makes a batch of clips and the questions about them; see the module's text.

    Attributes:
        processor: renders prompts.
        levels: of the clips, in turn.
        clips: features of toyworld's clips.
        foreign: features of clips that are none of toyworld's.
        options_from: seed of the first draw that is asked with options, too. With None there are
            no options at all, and no lists.
    """

    processor: LlavaVideoProcessor
    levels: Sequence[str]
    clips: ClipStore
    foreign: ClipStore
    options_from: int | None = 0

    def __call__(self, draws: list[Draw]) -> dict[str, Any]:
        """A batch of B clips and what is asked about them.

        Returns:
            ``representation`` of its videos, ``features`` (B, T, M, C), ``prompt_ids`` (B, P) up
            to the end of the video, ``token_labels`` (B, V, 6), ``branches``: groups of about one
            length, each with ``clip`` and ``form`` (N,), an index of `FORMS`, ``ids`` and
            ``labels`` (N, L), and perhaps ``lists``: ``ids`` and ``mask`` of `lettered_lists`.
        """
        tokenizer = self.processor.tokenizer
        representation = self.processor.representation
        layout = make_layout(representation, representation.max_frames)
        rng = random.Random(draws[0].seed)
        describes = rng.random() < DESCRIBED_SHARE
        prompts: list[list[int]] = []
        told: list[NDArray[np.int64]] = []
        branches: list[_Branch] = []
        for clip, draw in enumerate(draws):
            script = training_script(draw.clip, self.levels)
            with_options = self.options_from is not None and draw.seed >= self.options_from
            asked = conversations_about(script, draw.seed, with_options)
            if describes:
                asked.append([exchanges(script, draw.seed, most=1)[0]])
            if draw.is_noise:
                asked = [[Exchange(one.question, OUT_OF_DOMAIN_ANSWER)] for one, *_ in asked[::3]]
            times = times_of(script, representation.max_frames)
            labels = token_labels(script, times, layout)
            told.append(np.zeros_like(labels) if draw.is_noise else labels)
            for conversation in asked:
                prompt = render_exchanges(self.processor.renderer, conversation, layout.num_tokens)
                ids, own = prompt.input_ids, label(prompt, "assistant", tokenizer)
                shared = len(ids) - ids[::-1].index(self.processor.video_token_id)
                form = FORMS.index(_form_of(conversation))
                branches.append(_Branch(clip, form, ids[shared:], own[shared:]))
            prompts.append(ids[:shared])
        batch = {
            "representation": representation,
            "features": torch.from_numpy(
                np.stack([(self.foreign if d.is_noise else self.clips)[d.clip] for d in draws])
            ).float(),
            "prompt_ids": torch.tensor(prompts),
            "token_labels": torch.from_numpy(np.stack(told)),
            "branches": _group_by_length(branches, tokenizer.pad_token_id),
        }
        if self.options_from is not None:
            batch["lists"] = _tokenize_lists(
                lettered_lists(rng, LISTS_PER_CLIP * len(draws)), tokenizer
            )
        return batch


@dataclass(frozen=True, slots=True)
class AlternatingCollator:
    """Gives each batch to the next of some collators, which show videos in other ways."""

    collators: tuple[ClipCollator, ...]

    def __call__(self, draws: list[Draw]) -> dict[str, Any]:
        """As `ClipCollator`."""
        return self.collators[draws[0].seed // len(draws) % len(self.collators)](draws)


FORMS = ("choices", "open_ended", "longer")
"""Questions with options, without, and longer conversations."""

_BRANCHES_PER_GROUP = 12


def _form_of(conversation: Sequence[Exchange]) -> str:
    if len(conversation) > 1 or conversation[0].question in DESCRIBE_PROMPTS:
        return "longer"
    return "choices" if conversation[0].has_options else "open_ended"


class _Branch(NamedTuple):
    """A conversation without the part that those of a clip share."""

    clip: int
    form: int
    ids: Sequence[int]
    labels: Sequence[int]


def _group_by_length(branches: Iterable[_Branch], padding: int) -> list[dict[str, Tensor]]:
    """Branches of about one length together: by form, two fifths of them would be padding."""
    groups = []
    by_length = sorted(branches, key=lambda branch: len(branch.ids))
    for first in range(0, len(by_length), _BRANCHES_PER_GROUP):
        clips, forms, ids, labels = zip(
            *by_length[first : first + _BRANCHES_PER_GROUP], strict=True
        )
        groups.append(
            {
                "clip": torch.tensor(clips),
                "form": torch.tensor(forms),
                "ids": _pad(ids, padding),
                "labels": _pad(labels, LABEL_IGNORED),
            }
        )
    return groups


def _pad(numbers: Iterable[Sequence[int]], padding: int) -> Tensor:
    rows = [torch.tensor(row) for row in numbers]
    return pad_sequence(rows, batch_first=True, padding_value=padding)


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


@dataclass(frozen=True, slots=True)
class TextCollator:
    """Lettered lists, and conversations about clips that are not shown: the second lesson.

    Attributes:
        processor: renders conversations.
        levels: of the clips, in turn.
        with_lists: whether there are lists, too.
    """

    processor: LlavaVideoProcessor
    levels: Sequence[str]
    with_lists: bool = True

    def __call__(self, numbers: list[int]) -> dict[str, dict[str, Tensor]]:
        """``conversations`` and perhaps ``lists``, each with ``ids`` and ``mask`` (N, L).

        With lists comes where in them a letter is ``letter_mask`` (N, L).
        """
        tokenizer = self.processor.tokenizer
        rng = random.Random(numbers[0])
        texts = []
        for number in numbers:
            asked = exchanges(training_script(number, self.levels), number, most=3)
            texts.append("\n".join(f"{one.question}\n{one.answer}" for one in asked))
        batch = {"conversations": _tokenize(texts, tokenizer)}
        if self.with_lists:
            batch["lists"] = _tokenize_lists(
                lettered_lists(rng, LISTS_PER_TEXT * len(numbers)), tokenizer
            )
        return batch


def _tokenize_lists(texts: list[str], tokenizer: Any) -> dict[str, Tensor]:
    """Rows of lists, and where in them a letter stands that had to be looked up: after a space."""
    rows = _tokenize(texts, tokenizer)
    space, *letters = (tokenizer.convert_tokens_to_ids(token) for token in ("Ġ", *LETTERS))
    is_letter = torch.isin(rows["ids"], torch.tensor(letters))
    after_space = functional.pad(rows["ids"][:, :-1] == space, (1, 0))
    return {**rows, "letter_mask": is_letter & after_space}


def _tokenize(texts: list[str], tokenizer: Any) -> dict[str, Tensor]:
    rows = tokenizer(texts, padding=True)
    return {
        "ids": torch.tensor(rows["input_ids"]),
        "mask": torch.tensor(rows["attention_mask"]),
    }


@dataclass(frozen=True, slots=True)
class PatchCollator:
    """Single frames with what each patch shows: the first lesson, of the vision encoder.

    Attributes:
        processor: prepares pixels.
        grid_side: patches per side.
        num_frames: random moments taken of each clip.
    """

    processor: LlavaVideoProcessor
    grid_side: int
    num_frames: int

    def __call__(self, numbers: list[int]) -> dict[str, Tensor]:
        """``pixel_values`` (N, 3, S, S) and the labels of `patch_labels` about N frames."""
        pixels, labels = [], []
        for number in numbers:
            frames, label = self._show(number)
            pixels.append(self.processor.preprocess(frames))
            labels.append(label)
        return {
            "pixel_values": torch.cat(pixels),
            "classes": torch.from_numpy(np.concatenate([label.classes for label in labels])),
            "measures": torch.from_numpy(
                np.concatenate([label.measures for label in labels])
            ).float(),
            "place": torch.from_numpy(np.concatenate([label.place for label in labels])),
        }

    def _show(self, number: int) -> tuple[Frames, PatchLabels]:
        size = self.processor.image_size
        level = FRAME_LEVELS[number % len(FRAME_LEVELS)]
        if level is None:
            frames = noise_clip(FIRST_TRAINING_SEED + number, self.num_frames, size)
            return frames, empty_labels(self.num_frames, self.grid_side**2)
        script = training_script(number, [level])
        rng = np.random.default_rng(script.seed)
        times = np.sort(rng.uniform(0.0, script.duration_seconds, self.num_frames))
        pictures = render_at(script, times, size)
        return Frames.from_array(pictures), patch_labels(script, times, self.grid_side)
