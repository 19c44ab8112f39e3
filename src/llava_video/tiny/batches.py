"""Training batches of toyworld clips, drawn on the fly.

A batch holds many questions per clip. The prefix of the prompt, up to the end of the video, is
stored once per clip; each question adds a branch, the tokens after the video. A branch computed
with the cached keys and values of its prefix has the loss of the whole conversation.
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
    DESCRIBE_WORDINGS,
    Exchange,
    conversations_about,
    description,
    exchanges,
    lettered_lists,
)
from llava_video.tiny.dense_labels import PatchLabels, empty_labels, patch_labels, token_labels
from llava_video.tiny.feature_cache import ClipStore
from llava_video.toyworld import Script, generate_script, render_at, times_of
from llava_video.toyworld.draw.noise_clips import OUT_OF_DOMAIN_ANSWER, noise_clip
from llava_video.toyworld.questions.question import LETTERS
from llava_video.train.data.encode import label
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.types import Frames

FIRST_TRAINING_SEED = 1_000_000
"""Training uses seeds from here on; smaller ones are held out."""

FRAME_LEVELS = ("simple", "standard", "crowded", "simple", "standard", None)
"""Levels of the frames that train the vision encoder, in turn; None: a noise clip."""

NOISE_SHARE = 0.06
DESCRIBED_SHARE = 0.15
"""Share of noise clips, and of batches that ask for descriptions."""

LISTS_PER_TEXT = 8
LISTS_PER_CLIP = 2
"""Lists (see `lettered_lists`) per text and per clip."""


def training_script(number: int, levels: Sequence[str]) -> Script:
    """The script of a training clip; the levels take turns."""
    return generate_script(seed=FIRST_TRAINING_SEED + number, level=levels[number % len(levels)])


class NumberStream(IterableDataset[int]):
    """Endless clip numbers, split among the workers."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return _own_numbers(self._first)


def _own_numbers(first: int) -> Iterator[int]:
    """Endless numbers from ``first`` on; each goes to one worker."""
    worker = get_worker_info()
    return count(first + (worker.id if worker else 0), worker.num_workers if worker else 1)


@dataclass(frozen=True, slots=True)
class Draw:
    """A clip of a store, of toyworld or of noise, and the seed of its questions."""

    clip: int
    is_noise: bool
    seed: int


class DrawStream(IterableDataset[Draw]):
    """Endless draws from two stores, split among the workers.

    Args:
        num_clips: size of the store of toyworld clips.
        num_noise_clips: size of the store of noise clips.
        first_seed: seed of the first draw.
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
    """Collates clips and the questions about them; see the module's docstring.

    Attributes:
        processor: renders prompts.
        levels: levels of the clips, in turn.
        clips: features of toyworld clips.
        noise_clips: features of noise clips.
        options_from: seed of the first draw with multiple-choice questions; None: neither options
            nor lists.
    """

    processor: LlavaVideoProcessor
    levels: Sequence[str]
    clips: ClipStore
    noise_clips: ClipStore
    options_from: int | None = 0

    def __call__(self, draws: list[Draw]) -> dict[str, Any]:
        """Collate B clips and the questions about them.

        Returns:
            ``representation`` of the videos, ``features`` (B, T, M, C), ``prompt_ids`` (B, P) up
            to the end of the video, ``token_labels`` (B, V, 6), ``branches``: groups of similar
            length, each with ``clip`` and ``form`` (N,), an index of `FORMS`, ``ids`` and
            ``labels`` (N, L). With options also ``lists``: ``ids`` and ``mask`` (N, L) of
            `lettered_lists`.
        """
        tokenizer = self.processor.tokenizer
        representation = self.processor.representation
        layout = make_layout(representation, representation.max_frames)
        rng = random.Random(draws[0].seed)
        describes = rng.random() < DESCRIBED_SHARE
        prompts: list[list[int]] = []
        dense_labels: list[NDArray[np.int64]] = []
        branches: list[_Branch] = []
        for clip, draw in enumerate(draws):
            script = training_script(draw.clip, self.levels)
            with_options = self.options_from is not None and draw.seed >= self.options_from
            asked = conversations_about(script, draw.seed, with_options)
            if describes:
                asked.append([description(script, draw.seed)])
            if draw.is_noise:
                asked = [[Exchange(one.question, OUT_OF_DOMAIN_ANSWER)] for one, *_ in asked[::3]]
            times = times_of(script, representation.max_frames)
            labels = token_labels(script, times, layout)
            dense_labels.append(np.zeros_like(labels) if draw.is_noise else labels)  # (V, 6)
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
                np.stack([(self.noise_clips if d.is_noise else self.clips)[d.clip] for d in draws])
            ).float(),  # (B, T, M, C)
            "prompt_ids": torch.tensor(prompts),
            "token_labels": torch.from_numpy(np.stack(dense_labels)),  # (B, V, 6)
            "branches": _group_by_length(branches, tokenizer.pad_token_id),
        }
        if self.options_from is not None:
            batch["lists"] = _tokenize_lists(
                lettered_lists(rng, LISTS_PER_CLIP * len(draws)), tokenizer
            )
        return batch


@dataclass(frozen=True, slots=True)
class AlternatingCollator:
    """Passes each batch to the next of several collators, one per video representation."""

    collators: tuple[ClipCollator, ...]

    def __call__(self, draws: list[Draw]) -> dict[str, Any]:
        """A batch of `ClipCollator`."""
        return self.collators[draws[0].seed // len(draws) % len(self.collators)](draws)


FORMS = ("choices", "open_ended", "longer")
"""Multiple choice, open-ended, and descriptions or several turns."""

_BRANCHES_PER_GROUP = 12


def _form_of(conversation: Sequence[Exchange]) -> str:
    if len(conversation) > 1 or conversation[0].question in DESCRIBE_WORDINGS:
        return "longer"
    return "choices" if conversation[0].has_options else "open_ended"


class _Branch(NamedTuple):
    """A conversation without the prefix that it shares with the others about its clip."""

    clip: int
    form: int
    ids: Sequence[int]
    labels: Sequence[int]


def _group_by_length(branches: Iterable[_Branch], padding: int) -> list[dict[str, Tensor]]:
    """Group branches by length: grouped by form, two fifths of the tokens would be padding."""
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
    rows = [torch.tensor(row) for row in numbers]  # N of (L,)
    return pad_sequence(rows, batch_first=True, padding_value=padding)


def render_exchanges(
    renderer: PromptRenderer, exchanges: Sequence[Exchange], num_tokens: int
) -> Prompt:
    """Render a video of ``num_tokens`` tokens and its exchanges as one conversation."""
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
    """Collates lettered lists and conversations without their clips, for the second stage.

    Attributes:
        processor: tokenizes.
        levels: levels of the clips, in turn.
        with_lists: whether to add lists.
    """

    processor: LlavaVideoProcessor
    levels: Sequence[str]
    with_lists: bool = True

    def __call__(self, numbers: list[int]) -> dict[str, dict[str, Tensor]]:
        """``conversations``, and ``lists`` if asked for, each with ``ids`` and ``mask`` (N, L).

        Lists also have ``letter_mask`` (N, L): the letters that have to be looked up.
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
    """Tokenize lists; a letter after a space is one that has to be looked up."""
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
    """Collates single frames and their patch labels, for the first stage.

    Attributes:
        processor: preprocesses pixels.
        grid_side: patches per side.
        num_frames: frames per clip, at random times.
    """

    processor: LlavaVideoProcessor
    grid_side: int
    num_frames: int

    def __call__(self, numbers: list[int]) -> dict[str, Tensor]:
        """``pixel_values`` (N, 3, S, S) and the `patch_labels` of N frames."""
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
