"""Preferences: questions about videos, each with the answer that was chosen and a rejected one.

Both answers stand in one row and share the tokens of video and question, which are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch.utils.data import Dataset

from llava_video.errors import InputError, VideoError
from llava_video.model.media_inputs import MEDIA_INPUTS
from llava_video.processing.prompt import Message
from llava_video.records.preference_rows import split_preference
from llava_video.records.row_keys import MEDIA_KEYS
from llava_video.train.data.encode import Encoded, Encoder, RowCollator, label
from llava_video.train.data.packing import join, pad_rows
from llava_video.train.data.samples import Folders, Sample, as_sample

CHOSEN, REJECTED = 1, 2
"""Branches of a row, see `packing.Row`."""

_MEDIA_KEYS = tuple(name for name in MEDIA_INPUTS if name != "mm_token_type_ids")


@dataclass(frozen=True, slots=True)
class Preference(Sample):
    """A question with the answer that was chosen, and the one that was rejected.

    Attributes:
        rejected: the conversation with the answer that was rejected.
    """

    rejected: tuple[Message, ...] = ()

    @property
    def other(self) -> Sample:
        """The sample with the answer that was rejected."""
        return replace(self, messages=self.rejected)


def as_preference(record: Any, name: str, folders: Folders) -> Preference:
    """A preference of a format that `preference_rows` knows as a sample.

    Raises:
        InputError: it cannot be used; the message says why.
    """
    rows = split_preference(record)
    if any(record.get(key) for key in MEDIA_KEYS["image"]):
        raise InputError("it shows images; preferences are about videos")
    keys = MEDIA_KEYS["video"]
    if any(key in record for key in keys) and not any(record.get(key) for key in keys):
        raise InputError("it shows no video")
    chosen, rejected = (as_sample(row, name, folders) for row in rows)
    if {medium.kind for medium in chosen.media} != {"video"}:
        raise InputError("it shows no video, or images beside it")
    if sum(message["role"] == "assistant" for message in chosen.messages) > 1:
        raise InputError("its question has several turns; a preference has one")
    values = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    return Preference(**values, rejected=rejected.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPair(Encoded):
    """Both conversations of a preference; the inherited fields are those of the chosen one.

    Attributes:
        other_ids: (L',) ids of the rejected conversation.
        other_labels: (L',) its labels.
        num_shared: tokens that both begin with; none of them is a label.
    """

    other_ids: list[int]
    other_labels: list[int]
    num_shared: int


@dataclass(frozen=True, slots=True)
class PairEncoder(Encoder):
    """Encodes preferences as tokens, labels and frames."""

    def encode(self, sample: Sample) -> EncodedPair:
        """Load the video of a preference and render both conversations."""
        assert isinstance(sample, Preference)
        chosen = Encoder.encode(self, sample)
        # The tokens of an answer do not depend on what was asked.
        alone = ({"role": "user", "content": "?"}, sample.rejected[-1])
        other = self.processor.renderer.render(alone, add_generation_prompt=False)
        other_labels = label(other, self.recipe.labels, self.processor.tokenizer)
        turn = self.processor.tokenizer.convert_tokens_to_ids("<|im_start|>")
        shared, own = _last(turn, chosen.input_ids), _last(turn, other.input_ids)
        values = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
        return EncodedPair(
            **values,
            other_ids=chosen.input_ids[:shared] + other.input_ids[own:],
            other_labels=chosen.labels[:shared] + other_labels[own:],
            num_shared=shared,
        )

    def measure(self, sample: Sample) -> int:
        """Tokens of the longer conversation."""
        assert isinstance(sample, Preference)
        return max(Encoder.measure(self, sample), Encoder.measure(self, sample.other))


def _last(value: int, values: Sequence[int]) -> int:
    return len(values) - 1 - values[::-1].index(value)


class PairDataset(Dataset[list[tuple[int, EncodedPair]]]):
    """Rows of one pair, each with the number of its sample.

    Args:
        samples: all preferences.
        rows: which of them stands in each row.
        encoder: encodes them.
    """

    def __init__(
        self, samples: Sequence[Sample], rows: Sequence[tuple[int, ...]], encoder: PairEncoder
    ) -> None:
        self._samples = samples
        self._rows = rows
        self._encoder = encoder

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> list[tuple[int, EncodedPair]]:
        pairs = []
        for number in self._rows[index]:
            sample = self._samples[number]
            try:
                pairs.append((number, self._encoder.encode(sample)))
            except (VideoError, InputError) as error:
                raise type(error)(f"{sample.name}: {error}") from error
        return pairs


class PairCollator:
    """Collates pairs.

    Args:
        collate: collates the chosen conversations with their media.
        padding_id: token of padding.
    """

    def __init__(self, collate: RowCollator, padding_id: int) -> None:
        self._collate = collate
        self._padding_id = padding_id

    def __call__(self, rows: list[list[tuple[int, EncodedPair]]]) -> dict[str, Any]:
        """Inputs of the model and, for the loss, ``answers`` and ``branches`` (B, L), ``pairs``."""
        pairs = [pair for row in rows for _, pair in row]
        chosen = self._collate([[pair] for pair in pairs])
        joined = [
            join([(p.input_ids, p.labels), (p.other_ids, p.other_labels)], p.num_shared)
            for p in pairs
        ]
        text = pad_rows(joined, self._padding_id)
        return {
            **{name: chosen[name] for name in _MEDIA_KEYS if name in chosen},
            "input_ids": text["input_ids"],
            "position_ids": text["position_ids"],
            "answers": text["labels"],
            "branches": text["branches"],
            "pairs": torch.tensor([number for row in rows for number, _ in row]),
            "sample_names": [pair.name for pair in pairs],
            "num_tokens": sum(len(row.input_ids) for row in joined),
        }
