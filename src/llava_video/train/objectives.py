"""Training objectives: next-token prediction (SFT) and preferences (DPO).

An objective defines how records are parsed and rows collated, and the loss of a batch. The loss of
a pair of answers is ``-log sigmoid(beta * margin)``. The margin is the log-ratio of the chosen
answer to the reference model minus that of the rejected one, where the reference model is the one
that the run starts from (Rafailov et al., Direct Preference Optimization, equation 7;
``trl_dpo_trainer.py`` of the official code with ``dpo_alpha=1`` and ``gamma=0``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from llava_video.errors import InputError
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.records.files import writing
from llava_video.train.attention import PACKED
from llava_video.train.data.encode import Encoder, RowCollator, RowDataset
from llava_video.train.data.packing import LABEL_IGNORED, branch_mask
from llava_video.train.data.preferences import (
    CHOSEN,
    REJECTED,
    PairCollator,
    PairDataset,
    PairEncoder,
    as_preference,
)
from llava_video.train.data.samples import Sample, as_sample
from llava_video.train.devices import BlackFrameCollator
from llava_video.train.loop import Batch, Loop, Notes, Objective
from llava_video.train.recipe import Recipe

REFERENCE_FILE = "reference.safetensors"
"""In the run folder: log-probabilities of both answers of each pair before the first step."""


class Sft(Objective):
    """Supervised fine-tuning: cross entropy of the assistant's tokens.

    Args:
        recipe: recipe of the run.
        processor: processor of the model.
    """

    parse = staticmethod(as_sample)
    can_pack = True

    def __init__(self, recipe: Recipe, processor: LlavaVideoProcessor) -> None:
        self.encoder = Encoder(processor, recipe)
        self.collate = BlackFrameCollator(RowCollator(processor), processor)
        self.attention = PACKED if recipe.attention == "sdpa" else recipe.attention
        self._skips = recipe.on_bad_video == "skip_and_report"

    def dataset(
        self, samples: Sequence[Sample], rows: Sequence[tuple[int, ...]], skipped: Path
    ) -> Dataset[Any]:
        """Rows of samples; ``skipped`` is the file for those whose video fails."""
        return RowDataset(samples, rows, self.encoder, skipped if self._skips else None)

    def begin(self, loop: Loop, samples: Sequence[Sample]) -> None:
        """Do nothing: SFT needs no reference."""

    def weight(self, batch: Batch) -> int:
        """The number of labels in the batch."""
        return int((batch["shift_labels"] != LABEL_IGNORED).sum())

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Notes]:
        """The sum of the cross entropies of all labels."""
        labels = batch.pop("shift_labels")  # (1, K)
        del batch["labels"]
        logits = model(**batch).logits  # (1, K, vocabulary)
        summed = functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), reduction="sum"
        )
        return summed, {}


class Dpo(Objective):
    """Direct preference optimization.

    Reference log-probabilities, those of the model that the run starts from, are computed once
    before the first step and kept in the run folder.

    Args:
        recipe: recipe of the run.
        processor: processor of the model.
        beta: factor of the margin.
    """

    parse = staticmethod(as_preference)
    can_pack = False  # a row is one pair

    def __init__(self, recipe: Recipe, processor: LlavaVideoProcessor, beta: float) -> None:
        self.encoder = PairEncoder(processor, recipe)
        self.collate = PairCollator(RowCollator(processor), int(processor.tokenizer.pad_token_id))
        self.attention = recipe.attention
        self._beta = beta
        self._dtype = getattr(torch, recipe.dtype)
        self._workers = recipe.workers
        self._path = recipe.out / REFERENCE_FILE

    def dataset(
        self, samples: Sequence[Sample], rows: Sequence[tuple[int, ...]], skipped: Path
    ) -> Dataset[Any]:
        """Rows of one pair; a video that fails is an error."""
        return PairDataset(samples, rows, self.encoder)

    def begin(self, loop: Loop, samples: Sequence[Sample]) -> None:
        """Compute the reference log-probabilities, each process its share, or load them.

        Raises:
            InputError: a resumed run lacks the file of its reference log-probabilities.
        """
        if not self._path.is_file():
            if loop.step:
                raise InputError(f"{self._path} is missing; begin the run anew in another folder")
            values_N2 = self._compute_reference(loop, samples)
            if loop.accelerator.is_main_process:
                with writing(self._path) as unfinished:
                    save_file({"logps": values_N2}, unfinished)
            loop.accelerator.wait_for_everyone()
        self._reference_N2 = load_file(self._path)["logps"].to(loop.accelerator.device)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Notes]:
        """The mean loss of the pairs; all batches have the same number."""
        logps_B2 = answer_logps(model, batch, self._dtype)
        loss, margins = preference_loss(logps_B2, self._reference_N2[batch["pairs"]], self._beta)
        return loss, {"margin": margins, "accuracy": (margins > 0).float()}

    @torch.no_grad()
    def _compute_reference(self, loop: Loop, samples: Sequence[Sample]) -> Tensor:
        processes = loop.accelerator
        per_process = math.ceil(len(samples) / processes.num_processes)
        # Sharded weights need the same number of forward passes everywhere: shares may overlap.
        starts = [
            min(index * per_process, len(samples) - per_process)
            for index in range(processes.num_processes)
        ]
        start = starts[processes.process_index]
        rows = [(number,) for number in range(start, start + per_process)]
        loader: DataLoader[Any] = DataLoader(
            PairDataset(samples, rows, self.encoder),
            collate_fn=self.collate,
            num_workers=self._workers,
        )
        loop.model.eval()
        with loop.autocast():
            found = [
                answer_logps(loop.model, loop.inputs_of(batch), self._dtype)
                for batch in loop.log.track("reference", loader, per_process)
            ]
        gathered: Any = processes.gather(torch.cat(found))
        values_N2 = torch.zeros(len(samples), 2)
        for start, share in zip(starts, gathered.cpu().split(per_process), strict=True):
            values_N2[start : start + per_process] = share
        return values_N2


RowObjective: TypeAlias = Sft | Dpo
"""An objective of a run on a mixture."""


def objective_of(recipe: Recipe, processor: LlavaVideoProcessor) -> RowObjective:
    """The objective of a recipe."""
    if recipe.dpo is None:
        return Sft(recipe, processor)
    return Dpo(recipe, processor, recipe.dpo.beta)


def answer_logps(
    model: nn.Module, inputs: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Log-probabilities of the chosen and the rejected answer of each row: (B, 2), float32.

    Args:
        model: on the device of the inputs.
        inputs: a batch of `PairCollator` without what is for the log.
        dtype: dtype of the attention.
    """
    kwargs = {k: v for k, v in inputs.items() if k not in ("answers", "branches", "pairs")}
    # Made here, as L x L numbers would be the largest tensor that a data loader hands over.
    kwargs["attention_mask"] = branch_mask(inputs["branches"], dtype)
    answers, branches = inputs["answers"][:, 1:], inputs["branches"][:, 1:]  # (B, L - 1)
    positions = (answers != LABEL_IGNORED).any(0).nonzero().squeeze(1)  # (K,)
    logits_BKV = model(**kwargs, logits_to_keep=positions).logits.float()
    answers, branches = answers[:, positions], branches[:, positions]  # (B, K)
    is_answer = answers != LABEL_IGNORED
    logps = logits_BKV.log_softmax(-1).gather(-1, answers.clamp(min=0)[..., None]).squeeze(-1)
    return torch.stack(
        [(logps * (is_answer & (branches == branch))).sum(1) for branch in (CHOSEN, REJECTED)], 1
    )


def preference_loss(logps_B2: Tensor, reference_B2: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The loss, and the margin of each pair (B,)."""
    log_ratios_B2 = logps_B2 - reference_B2
    margins = log_ratios_B2[:, 0] - log_ratios_B2[:, 1]
    return -functional.logsigmoid(beta * margins).mean(), margins
