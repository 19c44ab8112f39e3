"""What a run minimizes: the loss of the next token (SFT), or of preferences (DPO).

An objective says how records become samples and rows become batches, and what the loss of a batch
is. The loss of a pair of answers is ``-log sigmoid(beta * margin)``, where the margin is by how
much more the chosen answer has gained in log-probability over the model that the run began with
than the rejected one (Rafailov et al., Direct Preference Optimization, equation 7;
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
    """Supervised fine-tuning: what the assistant says becomes more likely, token by token.

    Args:
        recipe: of the run.
        processor: of the model.
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
        """Nothing has to be known before the first step."""

    def weight(self, batch: Batch) -> int:
        """The number of labels."""
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
    """Direct preference optimization: of two answers, the chosen one becomes more likely.

    Log-probabilities under the model that the run begins with are computed once, before the first
    step, and kept in the run folder.

    Args:
        recipe: of the run.
        processor: of the model.
        beta: how much a margin counts.
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
        """Compute log-probabilities of all pairs, each process its share, or read them again.

        Raises:
            InputError: steps are done, and the log-probabilities from before them are missing.
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
        """The mean loss of the pairs; all batches have as many."""
        logps_B2 = answer_logps(model, batch, self._dtype)
        loss, margins = preference_loss(logps_B2, self._reference_N2[batch["pairs"]], self._beta)
        return loss, {"margin": margins, "accuracy": (margins > 0).float()}

    @torch.no_grad()
    def _compute_reference(self, loop: Loop, samples: Sequence[Sample]) -> Tensor:
        processes = loop.accelerator
        per_process = math.ceil(len(samples) / processes.num_processes)
        # All processes compute as many, as sharded weights need; the last ones may do some again.
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
"""The objectives of runs on a mixture."""


def objective_of(recipe: Recipe, processor: LlavaVideoProcessor) -> RowObjective:
    """The objective that a recipe names."""
    if recipe.dpo is None:
        return Sft(recipe, processor)
    return Dpo(recipe, processor, recipe.dpo.beta)


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
    return -functional.logsigmoid(beta * margins).mean(), margins
