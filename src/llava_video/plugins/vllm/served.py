"""A checkpoint that vLLM runs, as ``llava-video serve`` needs it."""

from __future__ import annotations

import sys
from typing import Any

import torch

from llava_video.budget.planner import planner_of
from llava_video.checkpoints.load import find_checkpoint, load_config, load_processor
from llava_video.plugins.vllm.chat_model import VllmModel, check_vllm
from llava_video.representation import VideoRepresentation
from llava_video.serve.engine.served import ServedModel, name_for_clients
from llava_video.web.errors import HttpError

UNBOUNDED = 1 << 40
"""vLLM takes the memory, shares it out itself, and lets requests wait for it."""


class ServedByVllm(ServedModel):
    """See `ServedModel`; vLLM starts with `load`.

    Args:
        checkpoint: see `llava_video.load`.
        alias: what clients call it; by default its name.
        num_batches_at_once: requests that join vLLM's batch at a time.
        representation: use this one instead of the checkpoint's.
        options: of `VllmModel.load`.

    Raises:
        LlavaVideoError: vLLM or the checkpoint cannot be used.
    """

    def __init__(
        self,
        checkpoint: str,
        *,
        alias: str | None = None,
        num_batches_at_once: int = 16,
        representation: VideoRepresentation | str | None = None,
        **options: Any,
    ) -> None:
        check_vllm()
        directory = find_checkpoint(checkpoint)
        config = load_config(directory, representation)
        super().__init__(
            checkpoint,
            name_for_clients(checkpoint, alias),
            config,
            load_processor(directory, config),
            planner_of(config, directory, torch.device("cpu"), sys.maxsize),
            batch_tokens=UNBOUNDED,
            num_batches_at_once=num_batches_at_once,
        )
        self._directory = directory
        self._options = {**options, "representation": representation}
        self._model: VllmModel | None = None

    @property
    def num_positions(self) -> int:
        """The longest prompt and answer together, in tokens."""
        if self._model is not None:
            return self._model.num_positions
        wanted = self._options.get("max_model_len")
        most = super().num_positions
        return min(wanted, most) if isinstance(wanted, int) and wanted > 0 else most

    def load(self) -> None:
        """Start vLLM."""
        self._model = VllmModel.load(self._directory, **self._options)

    def close(self) -> None:
        """End vLLM."""
        if self._model is not None:
            self._model.close()

    @property
    def is_alive(self) -> bool:
        """Whether vLLM's engine has not failed."""
        return self._model is None or self._model.is_alive

    @property
    def can_measure_influence(self) -> bool:
        """It cannot; see `VllmModel.influence`."""
        return False

    @property
    def model(self) -> VllmModel:
        """Which answers.

        Raises:
            HttpError: 503, vLLM is not started yet.
        """
        if self._model is None:
            raise HttpError(
                503, "vLLM is being started; ask again in 30 s", headers={"retry-after": "30"}
            )
        return self._model
