"""Muon for the weight matrices and AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

WEIGHT_DECAY = 0.05


class MuonAdamW(Optimizer):
    """Steps both optimizers together; schedulers reach the parameter groups of both.

    With Muon small language models form the attention patterns that copy a word (from an option
    to its letter, say) in a fraction of the steps that AdamW alone takes. Embeddings, biases and
    norms stay with AdamW, as Muon's authors advise.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate; Muon's updates are scaled to the RMS of AdamW's.
    """

    def __init__(self, model: nn.Module, lr: float) -> None:
        tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim == 2 and id(p) not in tables]
        inside = {id(p) for p in matrices}
        rest = [p for p in trained if id(p) not in inside]
        self._parts: tuple[Optimizer, ...] = (
            Muon(matrices, lr=lr, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
            AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY),
        )
        super().__init__([{"params": matrices}, {"params": rest}], {"lr": lr})
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both optimizers."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()
