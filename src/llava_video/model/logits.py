"""Logits processors of ``generate`` beside those that transformers' options add."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.generation import LogitsProcessor, RepetitionPenaltyLogitsProcessor

from llava_video.errors import CheckpointError


def answer_processors(
    repetition_penalty: float | None, num_prompt_tokens: int, dtype: torch.dtype
) -> list[LogitsProcessor]:
    """Processors for one call of ``generate``.

    Args:
        repetition_penalty: for tokens of the answer only, as in the official code, which never
            shows its prompts to the penalty; 1 or None for none.
        num_prompt_tokens: index of the first token of the answer.
        dtype: of the model; overflow is checked in float16.
    """
    processors: list[LogitsProcessor] = []
    if dtype == torch.float16:
        processors.append(OverflowGuard())
    if repetition_penalty not in (None, 1.0):
        processors.append(
            RepetitionPenaltyLogitsProcessor(float(repetition_penalty), num_prompt_tokens)
        )
    return processors


class OverflowGuard(LogitsProcessor):
    """Refuses logits that are not finite; generation would turn them into exclamation marks."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(B, vocabulary) scores, unchanged.

        Raises:
            CheckpointError: a row has no finite maximum.
        """
        if not torch.isfinite(scores.amax(-1)).all():
            raise CheckpointError(
                "the model overflows in float16, as models trained in bfloat16 may; load it with "
                "dtype='bfloat16' or dtype='float32'"
            )
        return scores
