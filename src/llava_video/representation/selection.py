"""Which packed tokens the language model gets, exactly as many as the layout says.

A selection ranks the tokens of frames by how much they differ from what was shown before
(`dissimilarity`), and keeps the first ones that fit. Newlines and separators are not ranked: a row
keeps its newline, and a frame its newline or separator, if it keeps a token. They count, so that
the number of tokens is known before the video is. A frame without a predecessor is kept whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llava_video.errors import RepresentationError
from llava_video.representation.layout import Block, TokenLayout

_GOLDEN = (5**0.5 - 1) / 2

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TokenSelection:
    """The tokens of one video that the language model gets.

    Attributes:
        layout: of all of them.
        kept: (V,) their places among the packed tokens, ascending.
        holders: (packed tokens,) for each packed token the index in ``kept`` of the token that it
            is, or was merged into; -1 for those that were dropped.
    """

    layout: TokenLayout
    kept: Integers
    holders: Integers

    def __post_init__(self) -> None:
        layout, kept = self.layout, self.kept
        is_ascending = bool((np.diff(kept) > 0).all()) and kept[0] >= 0
        if len(kept) != layout.num_tokens or not is_ascending:
            raise RepresentationError(f"{len(kept)} tokens are kept, not {layout.num_tokens}")
        if len(self.holders) != layout.num_packed_tokens or kept[-1] >= len(self.holders):
            raise RepresentationError("the selection is of another layout")

    @property
    def num_tokens(self) -> int:
        """V."""
        return len(self.kept)

    def frame_of_token(self) -> Integers:
        """``(V,)`` the frame behind each token; of a merged one the first. See `TokenLayout`."""
        return self.layout.frame_of_token(self.kept)

    def is_kept(self, block: Block) -> NDArray[np.bool_]:
        """Which tokens of a frame are kept, newlines and separator included."""
        places = np.arange(block.first_token, block.first_token + block.num_tokens)
        return np.isin(places, self.kept, assume_unique=True)


@dataclass(frozen=True, slots=True, eq=False)
class TokenGroups:
    """The packed tokens of a layout by row and frame.

    Attributes:
        is_patch: (packed tokens,) whether a token shows something: not a newline or separator.
        row: (packed tokens,) the row of each, counted through the video; -1 for what ends a frame.
        block: (packed tokens,) the frame of each, in the order of the tokens; -1 for what ends the
            video.
        num_per_row: newlines of a row.
        num_per_block: newlines and separators of a frame, besides those of its rows.
    """

    is_patch: NDArray[np.bool_]
    row: Integers
    block: Integers
    num_per_row: int
    num_per_block: int


@lru_cache(maxsize=16)
def group_tokens(layout: TokenLayout) -> TokenGroups:
    """Rows and frames of the packed tokens."""
    representation = layout.representation
    num_packed = layout.num_packed_tokens
    is_patch = np.zeros(num_packed, bool)
    row, block_of = np.full(num_packed, -1), np.full(num_packed, -1)
    num_rows = 0
    for index, block in enumerate(layout.blocks()):
        tokens = slice(block.first_token, block.first_token + block.num_tokens)
        own_rows = row_of_token(layout, block.slow)
        is_patch[tokens] = patch_mask(layout, block.slow)
        row[tokens] = np.where(own_rows < 0, -1, own_rows + num_rows)
        block_of[tokens] = index
        num_rows += layout.grid(block.slow).rows
    for array in (is_patch, row, block_of):
        array.flags.writeable = False
    num_per_block = int(representation.newline == "frame") + int(representation.separator)
    return TokenGroups(
        is_patch, row, block_of, int(representation.newline == "grid"), num_per_block
    )


def row_of_token(layout: TokenLayout, slow: bool) -> Integers:
    """(tokens of a frame,) the row of each, its newline included; -1 for what ends the frame."""
    grid = layout.grid(slow)
    per_row = grid.columns + int(layout.representation.newline == "grid")
    rows = np.arange(layout.tokens_per_block(slow)) // per_row
    return np.where(rows < grid.rows, rows, -1)


def patch_mask(layout: TokenLayout, slow: bool) -> NDArray[np.bool_]:
    """(tokens of a frame,) True where one shows something: not a newline or separator."""
    grid = layout.grid(slow)
    per_row = grid.columns + int(layout.representation.newline == "grid")
    places = np.arange(layout.tokens_per_block(slow))
    return (places < grid.rows * per_row) & (places % per_row < grid.columns)


def choose_tokens(layout: TokenLayout, dissimilarity: NDArray[np.floating]) -> Integers:
    """Places of the tokens to keep: ``(V,)``, ascending.

    From the most to the least dissimilar each token is taken that fits with the newline of its row
    and what ends its frame, unless these are there already. Among equal ones a fixed order that
    spreads over the video decides. Where one or two places are left that no token fits, newlines
    or separators of dropped rows fill them.

    Args:
        layout: of the video.
        dissimilarity: (packed tokens,), of which only those of patches are read.
    """
    groups = group_tokens(layout)
    keep = np.zeros(len(groups.row), bool)
    for anchor in layout.anchors():
        keep[anchor.first_token : anchor.first_token + anchor.num_tokens] = True
    keep[groups.block < 0] = True
    num_left = layout.num_tokens - int(keep.sum())
    free = np.flatnonzero(groups.is_patch & ~keep)
    spread = np.arange(len(free)) * _GOLDEN % 1.0  # neighbours of one rank are far apart
    order = free[np.lexsort((spread, -dissimilarity[free]))]
    costs = 1 + groups.num_per_row * _is_first(groups.row[order])
    costs += groups.num_per_block * _is_first(groups.block[order])
    totals = np.cumsum(costs)
    num_taken = int(np.searchsorted(totals, num_left, side="right"))
    keep[order[:num_taken]] = True
    num_left -= int(totals[num_taken - 1]) if num_taken else 0
    order = order[num_taken:]
    while num_left and len(fitting := order[_costs(order, keep, groups) <= num_left]):
        num_left -= int(_costs(fitting[:1], keep, groups)[0])
        keep[fitting[0]] = True
        order = order[order != fitting[0]]
    keep |= _is_needed(keep, groups)
    dropped_specials = np.flatnonzero(~keep & ~groups.is_patch)
    keep[dropped_specials[:num_left]] = True
    return np.flatnonzero(keep)


def _is_first(values: Integers) -> NDArray[np.bool_]:
    """Where a value occurs for the first time."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def _costs(tokens: Integers, keep: NDArray[np.bool_], groups: TokenGroups) -> Integers:
    """How many places each token takes beside those that are kept."""
    opens_row = ~np.isin(groups.row[tokens], groups.row[keep & groups.is_patch])
    opens_block = ~np.isin(groups.block[tokens], groups.block[keep & groups.is_patch])
    return 1 + groups.num_per_row * opens_row + groups.num_per_block * opens_block


def _is_needed(keep: NDArray[np.bool_], groups: TokenGroups) -> NDArray[np.bool_]:
    """Newlines of rows and ends of frames that keep a token."""
    patches = keep & groups.is_patch
    in_kept_row = np.isin(groups.row, groups.row[patches]) & (groups.row >= 0)
    ends_kept_block = np.isin(groups.block, groups.block[patches]) & (groups.row < 0)
    return ~groups.is_patch & (in_kept_row | ends_kept_block)
