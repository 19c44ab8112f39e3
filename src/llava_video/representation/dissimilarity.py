"""How much the tokens of a video differ from what was shown before, and merging those that do not.

Needs torch. Both methods work on the features of the vision encoder, pooled to the grid of the
token, before anything is projected. What a token is compared with shows at least as much detail as
itself: a fast frame has the frame before, a slow frame the slow frame before. That a frame with few
tokens came between is no reason to drop the detail of the next.

- ``evs`` after Efficient Video Sampling (arXiv 2510.14624): a token is compared with the same place
  of the frame before, on one grid, and the least dissimilar of the whole video are dropped. The
  paper compares pixels of patches; features are compared here, which a cache holds and which do
  not flicker with the codec. Tokens that are kept move up, as text does: the language model of
  LLaVA-Video has seen no positions that are left out.
- ``tstm`` after tree-based spatiotemporal token merging of FlashVID (arXiv 2602.08024): a token is
  linked to the most similar one anywhere in the frame before, and the tokens of a tree of links
  become their mean, at the place of the first. FlashVID cuts links below a threshold and meets its
  budget by clustering; here the links of highest similarity are taken until as many tokens are left
  as the layout says. Left out are its selection of tokens by attention, its segments, and the
  pruning inside the language model.
- ``random`` drops any: the control.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from llava_video.representation.layout import TokenLayout
from llava_video.representation.pooling import pool_for
from llava_video.representation.selection import (
    Integers,
    TokenSelection,
    choose_tokens,
    patch_mask,
)

FRAMES_PER_STEP = 8
"""Frames that are pooled and compared at a time, so that they stay in the cache of a CPU."""

Floats = NDArray[np.float32]


@torch.no_grad()
def select_tokens(features_TMC: Tensor, layout: TokenLayout) -> TokenSelection:
    """Choose the tokens of a video that the language model gets.

    Args:
        features_TMC: ``(T, M, C)`` features of the vision encoder.
        layout: for T frames.
    """
    num_packed = layout.num_packed_tokens
    everything = np.arange(num_packed)
    if layout.num_tokens == num_packed:
        return TokenSelection(layout, everything, everything)
    links = None
    if layout.representation.selection == "random":
        seed = zlib.crc32(features_TMC[0, 0].float().cpu().numpy().tobytes())
        dissimilarity = np.random.default_rng(seed).random(num_packed, dtype=np.float32)
    elif layout.representation.selection == "evs":
        dissimilarity = compare_places(features_TMC, layout)
    else:
        dissimilarity, links = link_tokens(features_TMC, layout)
    kept = choose_tokens(layout, dissimilarity)
    holders = np.full(num_packed, -1)
    holders[kept] = np.arange(len(kept))
    if links is not None:
        holders = np.where(links >= 0, holders[_roots(links, holders >= 0)], holders)
    return TokenSelection(layout, kept, holders)


def keep_tokens(tokens_ND: Tensor, selection: TokenSelection) -> Tensor:
    """The tokens that a selection keeps, with those merged into them: (packed, D) -> (V, D)."""
    if selection.num_tokens == len(tokens_ND):
        return tokens_ND
    device = tokens_ND.device
    kept = tokens_ND[torch.from_numpy(selection.kept).to(device)]
    merged = selection.holders >= 0
    merged[selection.kept] = False
    if not merged.any():
        return kept
    places = torch.from_numpy(np.flatnonzero(merged)).to(device)
    holders = torch.from_numpy(selection.holders[merged]).to(device)
    sums = kept.float().index_add(0, holders, tokens_ND[places].float())
    counts = torch.bincount(holders, minlength=len(kept)) + 1
    return (sums / counts[:, None]).to(kept)


def compare_places(features_TMC: Tensor, layout: TokenLayout) -> Floats:
    """One minus the cosine similarity of each token and the same place before: (packed tokens,).

    0 at newlines, separators and in frames without a predecessor.
    """
    found = np.zeros(layout.num_packed_tokens, np.float32)
    for slow in (True, False):
        frames, places = _places(layout, slow)
        # A fast frame follows any frame, seen on the grid of a fast one.
        line = frames if slow else np.arange(layout.num_frames if len(frames) else 0)
        changes = [np.zeros((1, places.shape[1]), np.float32)]
        for first in range(0, len(line) - 1, FRAMES_PER_STEP):
            step = line[first : first + FRAMES_PER_STEP + 1]
            vectors = _unit_vectors(features_TMC, step, layout, slow)
            changes.append(_halved_squares(vectors[1:] - vectors[:-1]))
        if len(frames):
            found[places] = np.concatenate(changes)[np.searchsorted(line, frames)]
    return found


def link_tokens(features_TMC: Tensor, layout: TokenLayout) -> tuple[Floats, Integers]:
    """The most similar token of the frame before: how dissimilar it is, and its place.

    How dissimilar a token of a fast frame is to a slow one is told on the grid of the fast one:
    poolings of other sizes differ even where nothing changed.

    Returns:
        (packed tokens,) one minus the cosine similarity, and the places; 0 and -1 at newlines,
        separators and in frames without a predecessor.
    """
    found = np.zeros(layout.num_packed_tokens, np.float32)
    links = np.full(layout.num_packed_tokens, -1)
    shown: dict[tuple[int, bool], tuple[Integers, Tensor]] = {}
    for slow in (True, False):
        frames, places = _places(layout, slow)
        if len(frames):
            vectors = _unit_vectors(features_TMC, frames, layout, slow)
            for frame, own, own_vectors in zip(frames.tolist(), places, vectors, strict=True):
                shown[frame, slow] = own, own_vectors
    for (frame, slow), (places, vectors) in shown.items():
        before = _before(shown, layout, frame, slow)
        if before is None:
            continue
        nearest = (vectors @ before[1].T).argmax(dim=1)
        links[places] = before[0][nearest.cpu().numpy()]
        compared = before[1]
        if not slow and (frame - 1, False) not in shown:  # a slow frame on the grid of a fast one
            compared = _unit_vectors(features_TMC, np.array([frame - 1]), layout, slow)[0]
            nearest = (vectors @ compared.T).argmax(dim=1)
        found[places] = _halved_squares(vectors - compared[nearest])
    return found, links


def _before(
    shown: dict[tuple[int, bool], tuple[Integers, Tensor]],
    layout: TokenLayout,
    frame: int,
    slow: bool,
) -> tuple[Integers, Tensor] | None:
    """Places and vectors of the frame that a frame follows, if there is one."""
    if slow:
        return shown.get((frame - layout.representation.slow_stride, True))
    if (frame - 1, False) in shown or layout.representation.arrangement != "interleaved":
        return shown.get((frame - 1, False))
    return shown.get((frame - 1, True))


def _places(layout: TokenLayout, slow: bool) -> tuple[Integers, Integers]:
    """Slow or fast frames in order, (n,), and the places of their patches, (n, rows * columns)."""
    blocks = [block for block in layout.blocks() if block.slow == slow]
    blocks.sort(key=lambda block: block.frame)
    frames = np.array([block.frame for block in blocks], np.int64)
    starts = np.array([block.first_token for block in blocks], np.int64)
    if not blocks:
        return frames, np.zeros((0, 0), np.int64)
    return frames, starts[:, None] + np.flatnonzero(patch_mask(layout, slow))


def _unit_vectors(
    features_TMC: Tensor, frames: Integers, layout: TokenLayout, slow: bool
) -> Tensor:
    """The tokens of frames at length 1, (n, rows * columns, C) float32."""
    chosen = features_TMC[torch.from_numpy(frames).to(features_TMC.device)]
    return normalize(pool_for(chosen, layout, slow).flatten(1, 2).float(), dim=-1)


def _halved_squares(differences: Tensor) -> Floats:
    """(..., C) -> (...). Of unit vectors it is one minus their cosine, and exactly 0 for equal."""
    halved: Floats = (differences.square_().sum(dim=-1) / 2).cpu().numpy()
    return halved


def _roots(links: Integers, is_kept: NDArray[np.bool_]) -> Integers:
    """Where each token's links end: at the first token that is kept. All ends must be kept."""
    roots = np.where(is_kept | (links < 0), np.arange(len(links)), links)
    while not np.array_equal(further := roots[roots], roots):
        roots = further
    return roots
