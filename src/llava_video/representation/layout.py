"""The token layout of one video, in integers only.

A layout is a few *runs*. A run is a regular pattern of frames of one kind, so that its tokens can
be written with one strided copy, however many frames there are:

    block (i, j) of a run shows frame   first_frame + i * frame_period + j
    and starts at token                 first_token + i * token_period + j * tokens_per_block
    for i < num_periods, j < frames_per_period

Interleaved SlowFast with s = 3 and T = 8 is two runs and a tail: slow frames 0, 3, 6, fast frames
(1, 2), (4, 5), and frame 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llava_video.errors import RepresentationError
from llava_video.representation.video_representation import FrameGrid, VideoRepresentation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Run:
    """Frames of one kind at regular places; see the module's docstring for the two formulas."""

    slow: bool
    num_periods: int
    frames_per_period: int
    first_frame: int
    frame_period: int
    first_token: int
    token_period: int

    @property
    def num_blocks(self) -> int:
        """Frames in this run."""
        return self.num_periods * self.frames_per_period

    def within(self, first_frame: int, last_frame: int, tokens_per_block: int) -> Run | None:
        """The part of this run that shows frames ``first_frame`` to before ``last_frame``.

        A run with several periods of several frames can only be cut between periods.
        """
        if self.num_periods == 1:
            skip = max(first_frame - self.first_frame, 0)
            count = min(last_frame - self.first_frame, self.frames_per_period) - skip
            if count <= 0:
                return None
            return replace(
                self,
                frames_per_period=count,
                first_frame=self.first_frame + skip,
                first_token=self.first_token + skip * tokens_per_block,
            )
        start = max(-(-(first_frame - self.first_frame) // self.frame_period), 0)
        stop = min(-(-(last_frame - self.first_frame) // self.frame_period), self.num_periods)
        if start >= stop:
            return None
        return replace(
            self,
            num_periods=stop - start,
            first_frame=self.first_frame + start * self.frame_period,
            first_token=self.first_token + start * self.token_period,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens of one frame: ``num_tokens`` from ``first_token`` on, newlines included."""

    frame: int
    slow: bool
    first_token: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """The video tokens of one video: which frames are slow, order, counts.

    Frames are packed into ``num_packed_tokens``. Where the representation selects among them, the
    language model gets ``num_tokens``: how many is known here, which ones with the features of the
    video (`selection.TokenSelection`). Blocks and runs speak of packed tokens.

    Attributes:
        representation: what it was made from.
        num_frames: frames sampled from the video, at most ``representation.max_frames``.
        runs: the regular patterns that together cover every token exactly once, but for the newline
            that ends the video where ``newline`` is ``end``.
    """

    representation: VideoRepresentation
    num_frames: int
    runs: tuple[Run, ...]

    @property
    def num_tokens(self) -> int:
        """V, the tokens that the language model gets, newlines and separators included.

        Of a selection ``keep_ratio`` of the packed tokens, rounded, but at least those of the
        `anchors`: the same for all videos of as many frames.
        """
        num_packed = self.num_packed_tokens
        if self.representation.selection == "all":
            return num_packed
        num_anchored = sum(block.num_tokens for block in self.anchors())
        num_anchored += int(self.representation.newline == "end")
        return max(num_anchored, round(self.representation.keep_ratio * num_packed))

    @property
    def num_packed_tokens(self) -> int:
        """Tokens that the frames are packed into, before a selection."""
        tokens = sum(run.num_blocks * self.tokens_per_block(run.slow) for run in self.runs)
        return tokens + int(self.representation.newline == "end")

    def anchors(self) -> tuple[Block, ...]:
        """The frames that every selection keeps whole: none before shows as much detail.

        These are the first slow frame, and frame 0 where it is a fast one.
        """
        first_slow = min((run.first_frame for run in self.runs if run.slow), default=None)
        return tuple(
            Block(run.first_frame, run.slow, run.first_token, self.tokens_per_block(run.slow))
            for run in self.runs
            if run.first_frame == (first_slow if run.slow else 0)
        )

    def grid(self, slow: bool) -> FrameGrid:
        """Rows and columns of a slow or a fast frame."""
        return self.representation.slow_grid if slow else self.representation.fast_grid

    def tokens_per_block(self, slow: bool) -> int:
        """Tokens of a slow or a fast frame with its newlines and its separator."""
        return _tokens_per_block(self.representation, slow)

    def blocks(self) -> Iterator[Block]:
        """A block for every frame, in the order of the tokens."""
        starts = [
            Block(
                run.first_frame + i * run.frame_period + j,
                run.slow,
                run.first_token + i * run.token_period + j * self.tokens_per_block(run.slow),
                self.tokens_per_block(run.slow),
            )
            for run in self.runs
            for i in range(run.num_periods)
            for j in range(run.frames_per_period)
        ]
        return iter(sorted(starts, key=lambda block: block.first_token))

    @property
    def num_slow(self) -> int:
        """Slow frames."""
        return sum(run.num_blocks for run in self.runs if run.slow)

    @property
    def num_fast(self) -> int:
        """Fast frames, the ones that are shown again as slow frames included."""
        return sum(run.num_blocks for run in self.runs if not run.slow)

    def frame_of_token(self, kept: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """``(V,)`` index of the frame behind each token, its newlines and separator included.

        The newline that ends the whole video belongs to no frame: -1.

        Args:
            kept: of the video, `selection.TokenSelection.kept`; needed where not all are.

        Raises:
            RepresentationError: it is missing.
        """
        import numpy as np  # counting needs none of it, and is often all

        if kept is None and self.num_tokens < self.num_packed_tokens:
            raise RepresentationError(
                f"which {self.num_tokens} of {self.num_packed_tokens} tokens are kept depends on "
                "the video; give those that `select_tokens` chose"
            )
        frames = np.full(self.num_packed_tokens, -1, dtype=np.int64)
        for block in self.blocks():
            frames[block.first_token : block.first_token + block.num_tokens] = block.frame
        return frames if kept is None else frames[kept]


def make_layout(representation: VideoRepresentation, num_frames: int) -> TokenLayout:
    """Lay out the tokens of a video with ``num_frames`` frames.

    Args:
        representation: how many tokens frames keep and how they are arranged.
        num_frames: frames sampled from the video, from 1 to ``representation.max_frames``. With
            fewer frames than the slow stride there is one slow frame (phase 0) or none (later
            phases).

    Raises:
        RepresentationError: no frame at all, or more than T.
    """
    if num_frames < 1:
        raise RepresentationError("a video needs at least one frame, got 0; check that it decodes")
    if num_frames > representation.max_frames:
        raise RepresentationError(
            f"{num_frames} frames are more than T = {representation.max_frames} of the "
            "representation; sample fewer frames or raise T"
        )
    if representation.arrangement == "interleaved":
        runs = _interleaved_runs(representation, num_frames)
    else:
        runs = _two_pass_runs(representation, num_frames)
    return TokenLayout(representation, num_frames, tuple(run for run in runs if run.num_blocks))


def _tokens_per_block(representation: VideoRepresentation, slow: bool) -> int:
    grid = representation.slow_grid if slow else representation.fast_grid
    newlines = {"grid": grid.rows, "frame": 1, "end": 0, "none": 0}[representation.newline]
    return grid.num_tokens + newlines + int(representation.separator)


def _interleaved_runs(representation: VideoRepresentation, num_frames: int) -> list[Run]:
    """Each frame once in time order: fast ones before the first slow one, periods, a tail."""
    stride = representation.slow_stride
    slow_tokens = _tokens_per_block(representation, slow=True)
    fast_tokens = _tokens_per_block(representation, slow=False) if stride > 1 else 0
    num_head = min(representation.slow_phase, num_frames)
    num_slow = -(-(num_frames - num_head) // stride)
    num_full_periods = (num_frames - num_head) // stride
    num_tail = max(num_frames - num_head - num_full_periods * stride - 1, 0)
    first_token = num_head * fast_tokens
    period = slow_tokens + (stride - 1) * fast_tokens
    tail_token = first_token + num_full_periods * period + slow_tokens
    tail_frame = num_head + num_full_periods * stride + 1
    return [
        Run(False, 1, num_head, 0, num_head, 0, first_token),
        Run(True, num_slow, 1, num_head, stride, first_token, period),
        Run(
            False,
            num_full_periods,
            stride - 1,
            num_head + 1,
            stride,
            first_token + slow_tokens,
            period,
        ),
        Run(False, 1, num_tail, tail_frame, num_tail, tail_token, num_tail * fast_tokens),
    ]


def _two_pass_runs(representation: VideoRepresentation, num_frames: int) -> list[Run]:
    """Every frame fast, and the slow ones once more, before or after."""
    stride, phase = representation.slow_stride, representation.slow_phase
    slow_tokens = _tokens_per_block(representation, slow=True)
    fast_tokens = _tokens_per_block(representation, slow=False)
    num_slow = max(-(-(num_frames - phase) // stride), 0)
    slow_first = representation.arrangement == "slow_then_fast"
    slow_start = 0 if slow_first else num_frames * fast_tokens
    fast_start = num_slow * slow_tokens if slow_first else 0
    return [
        Run(True, num_slow, 1, phase, stride, slow_start, slow_tokens),
        Run(False, 1, num_frames, 0, num_frames, fast_start, num_frames * fast_tokens),
    ]
