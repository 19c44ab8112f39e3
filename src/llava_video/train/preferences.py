"""Preferences: of two answers about a video, the better one becomes more likely (DPO).

The loss of a pair is ``-log sigmoid(beta * margin)``, where the margin is by how much more the
chosen answer has gained in log-probability over the model that the run began with than the rejected
one (Rafailov et al., Direct Preference Optimization, equation 7; ``trl_dpo_trainer.py`` of the
official code with ``dpo_alpha=1`` and ``gamma=0``). Both answers stand in one row and share the
tokens of video and question, which are computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from transformers import TrainerCallback

from llava_video.errors import InputError, VideoError
from llava_video.model.modeling import MEDIA_INPUTS
from llava_video.processing.prompt import Message
from llava_video.train.data.encode import Encoded, Encoder, RowCollator, label
from llava_video.train.data.packing import LABEL_IGNORED, branch_mask, join, stack
from llava_video.train.data.samples import Folders, Sample, as_sample
from llava_video.train.trainer import RowTrainer

REFERENCE_FILE = "reference.safetensors"
"""In the run folder: log-probabilities of both answers of each pair before the first step."""

CHOSEN, REJECTED = 1, 2
"""Branches of a row, see `train.rows.Row`."""

_SEEN = tuple(name for name in MEDIA_INPUTS if name != "mm_token_type_ids")


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
    """A record ``{"video", "prompt", "chosen", "rejected"}`` as a sample.

    Raises:
        InputError: it cannot be used; the message says why.
    """
    if not isinstance(record, dict):
        raise InputError("it has no 'prompt', 'chosen' and 'rejected'")
    for key in ("prompt", "chosen", "rejected"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise InputError(f"it has no {key!r} that is text")
    if record["chosen"].strip() == record["rejected"].strip():
        raise InputError("both of its answers are the same")
    if not record.get("video"):
        raise InputError("it shows no video")
    chosen, rejected = (
        as_sample(
            {
                "video": record["video"],
                "conversations": [
                    {"from": "human", "value": record["prompt"]},
                    {"from": "gpt", "value": record[key]},
                ],
            },
            name,
            folders,
        )
        for key in ("chosen", "rejected")
    )
    values = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    return Preference(**values, rejected=rejected.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPair(Encoded):
    """Both conversations of a preference; the inherited fields are those of the chosen one.

    Attributes:
        other_ids: (L',) ids of the rejected conversation.
        other_labels: (L',) what is learnt of them.
        num_shared: tokens that both begin with; none of them is a label.
    """

    other_ids: list[int]
    other_labels: list[int]
    num_shared: int


@dataclass(frozen=True, slots=True)
class PairEncoder(Encoder):
    """Makes tokens, labels and frames of preferences."""

    def encode(self, sample: Sample) -> EncodedPair:
        """Read the video of a preference and render both of its conversations."""
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
        encoder: reads them.
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
    """Makes batches of pairs.

    Args:
        collate: makes what the model sees of the chosen conversations.
        padding_id: token of padding.
    """

    def __init__(self, collate: RowCollator, padding_id: int) -> None:
        self._collate = collate
        self._padding_id = padding_id

    def __call__(self, rows: list[list[tuple[int, EncodedPair]]]) -> dict[str, Any]:
        """Inputs of the model and, for the loss, ``answers`` and ``branches`` (B, L), ``pairs``."""
        pairs = [pair for row in rows for _, pair in row]
        seen = self._collate([[pair] for pair in pairs])
        joined = [
            join([(p.input_ids, p.labels), (p.other_ids, p.other_labels)], p.num_shared)
            for p in pairs
        ]
        text = stack(joined, self._padding_id)
        return {
            **{name: seen[name] for name in _SEEN if name in seen},
            "input_ids": text["input_ids"],
            "position_ids": text["position_ids"],
            "answers": text["labels"],
            "branches": text["branches"],
            "pairs": torch.tensor([number for row in rows for number, _ in row]),
            "names": [pair.name for pair in pairs],
            "num_tokens": sum(len(row.input_ids) for row in joined),
        }


def answer_logps(
    model: nn.Module, inputs: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Log-probabilities of the chosen and the rejected answer of each row: (B, 2), float32.

    Args:
        model: computes on the device where the inputs are.
        inputs: of `PairCollator`, but what is for the log.
        dtype: that attention computes in.
    """
    asked = {k: v for k, v in inputs.items() if k not in ("answers", "branches", "pairs")}
    # Made here: of L x L numbers, it would be the largest thing that a data loader hands over.
    asked["attention_mask"] = branch_mask(inputs["branches"], dtype)
    answers, branches = inputs["answers"][:, 1:], inputs["branches"][:, 1:]
    positions = (answers != LABEL_IGNORED).any(0).nonzero().squeeze(1)
    logits_BKV = model(**asked, logits_to_keep=positions).logits.float()
    answers, branches = answers[:, positions], branches[:, positions]
    is_answer = answers != LABEL_IGNORED
    logps = logits_BKV.log_softmax(-1).gather(-1, answers.clamp(min=0)[..., None]).squeeze(-1)
    return torch.stack(
        [(logps * (is_answer & (branches == branch))).sum(1) for branch in (CHOSEN, REJECTED)], 1
    )


def preference_loss(logps_B2: Tensor, reference_B2: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The loss, and the margin of each pair (B,)."""
    gained = logps_B2 - reference_B2
    margins = gained[:, 0] - gained[:, 1]
    return -nn.functional.logsigmoid(beta * margins).mean(), margins


class PreferenceTrainer(RowTrainer):
    """Trains on pairs of answers.

    Log-probabilities under the model that the run begins with are computed once, before the first
    step, and kept in the run folder.

    Args:
        *args: of `RowTrainer`.
        beta: how much a margin counts.
        every_pair: all pairs of the plan, in order.
        folder: the run folder.
        **kwargs: of `RowTrainer`.
    """

    def __init__(
        self, *args: Any, beta: float, every_pair: PairDataset, folder: Path, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._beta = beta
        self._dtype = torch.bfloat16 if self.args.bf16 else torch.float32
        self._every_pair = every_pair
        self._path = folder / REFERENCE_FILE
        self.add_callback(_AtBegin(self._remember_reference))

    def loss_of(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None
    ) -> tuple[Tensor, Any]:
        """The mean loss of the pairs of a batch."""
        reference_B2 = self._reference_N2[inputs["pairs"].cpu()].to(self.args.device)
        logps_B2 = answer_logps(model, inputs, self._dtype)
        loss, margins = preference_loss(logps_B2, reference_B2, self._beta)
        self.watch.note("margin", margins)
        self.watch.note("accuracy", (margins > 0).float())
        return loss, None

    def _remember_reference(self) -> None:
        """Compute log-probabilities of all pairs, each process its share, or read them again."""
        if not self._path.is_file():
            if self.state.global_step:
                raise InputError(f"{self._path} is missing; begin the run anew in another folder")
            values_N2 = self._compute_reference()
            if self.args.should_save:
                unfinished = self._path.with_suffix(".unfinished")
                save_file({"logps": values_N2}, unfinished)
                unfinished.rename(self._path)
            self.accelerator.wait_for_everyone()
        self._reference_N2 = load_file(self._path)["logps"]

    @torch.no_grad()
    def _compute_reference(self) -> Tensor:
        processes = self.accelerator
        num_pairs = len(self._every_pair)
        per_process = math.ceil(num_pairs / processes.num_processes)
        # All processes compute as many, as sharded weights need; the last ones may do some again.
        first = min(processes.process_index * per_process, num_pairs - per_process)
        loader: DataLoader[Any] = DataLoader(
            Subset(self._every_pair, range(first, first + per_process)),
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
        )
        self.model_wrapped.eval()
        found = [
            answer_logps(
                self.model_wrapped,
                {
                    name: value
                    for name, value in self._prepare_inputs(batch).items()
                    if name not in ("names", "num_tokens")
                },
                self._dtype,
            )
            for batch in self.watch.track("reference", loader, per_process)
        ]
        gathered: Any = processes.gather(torch.cat(found))
        shares = gathered.cpu().split(per_process)
        values_N2 = torch.zeros(num_pairs, 2)
        for index, share in enumerate(shares):
            start = min(index * per_process, num_pairs - per_process)
            values_N2[start : start + per_process] = share
        return values_N2


class _AtBegin(TrainerCallback):
    """Does something when the model is ready and no step is done."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Do it."""
        self._act()
