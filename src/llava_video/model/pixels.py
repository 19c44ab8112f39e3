"""Normalisation of pixels for the vision encoder."""

from __future__ import annotations

import torch
from torch import Tensor

PIXEL_MEAN = PIXEL_STD = 0.5
"""SigLIP's normalisation: pixels from 0..255 to -1..1."""


def normalise(pixels: Tensor) -> Tensor:
    """From 0..255 to -1..1: uint8 of any shape -> float32 of the same; others stay as they are."""
    if pixels.dtype != torch.uint8:
        return pixels
    return pixels.to(torch.float32).mul_(1 / 255).sub_(PIXEL_MEAN).div_(PIXEL_STD)
