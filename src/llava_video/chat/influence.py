"""How much frames of a video mattered for an answer: how likely it is without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llava_video.chat.local.media import Loaded, LoadedVideo
from llava_video.chat.local.prefill import MAX_TOKENS_TOGETHER, Prefiller, PromptState
from llava_video.chat.local.rows import Row, common_length
from llava_video.chat.protocol import Influence, SpanInfluence
from llava_video.errors import InputError
from llava_video.model.modeling import LlavaVideoForConditionalGeneration


@dataclass(frozen=True, slots=True)
class _Span:
    video: int
    medium: int
    first_frame: int
    num_frames: int


def measure_influence(
    network: LlavaVideoForConditionalGeneration,
    prefiller: Prefiller,
    prompt: Row,
    answer_ids: Sequence[int],
    frames_of: Callable[[Loaded], NDArray[np.int64]],
    span_frames: int,
) -> Influence:
    """Score an answer with all frames of the videos, and once without each span of them.

    The tokens of a span are taken out of the prompt and those after it move up, as in a video that
    was sampled without these frames; the time instruction stays as it is.

    Args:
        network: the model.
        prefiller: of the representation; what it holds of the prompt is used.
        prompt: up to where the answer begins.
        answer_ids: at least one.
        frames_of: the (V,) frame behind each token of a video; of a merged one the first.
        span_frames: frames of a span; the last one of a video may have fewer.

    Raises:
        InputError: the span is empty, or the conversation shows no video.
    """
    if span_frames < 1:
        raise InputError(f"a span has at least 1 frame, got {span_frames}")
    spans = list(_spans_of(prompt, span_frames))
    if not spans:
        raise InputError("the conversation shows no video, so no frame can have mattered")
    whole = prompt.followed_by(answer_ids)
    (state,) = prefiller.match([whole.only(np.arange(len(prompt)))])
    prefiller.advance([state], [len(prompt) - 1])
    prefiller.encode(whole, 0)
    (likelihood,) = _score(network, prefiller, [whole], state, len(answer_ids))
    without = [whole.only(_kept(whole, span, frames_of)) for span in spans]
    likelihoods: list[float] = []
    # In the order of the frames, each begins later than the one before like the whole prompt.
    while len(likelihoods) < len(spans):
        rest = without[len(likelihoods) :]
        start = _first_difference(rest[0], whole)
        fitting = max(1, MAX_TOKENS_TOGETHER // max(1, len(whole) - start))
        likelihoods += _score(network, prefiller, rest[:fitting], state, len(answer_ids))
    return Influence(
        round(likelihood, 6),
        tuple(
            _influence(span, prompt, likelihood, value)
            for span, value in zip(spans, likelihoods, strict=True)
        ),
    )


def _spans_of(prompt: Row, span_frames: int) -> list[_Span]:
    videos = [i for i, medium in enumerate(prompt.loaded) if isinstance(medium, LoadedVideo)]
    return [
        _Span(video, medium, first, min(span_frames, len(prompt.loaded[medium].pixels) - first))
        for video, medium in enumerate(videos)
        for first in range(0, len(prompt.loaded[medium].pixels), span_frames)
    ]


def _kept(
    row: Row, span: _Span, frames_of: Callable[[Loaded], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Positions of a row without the tokens of a span, newlines and separators included."""
    frames = frames_of(row.loaded[span.medium])
    is_own = row.media == span.medium
    frame = np.where(is_own, frames[np.where(is_own, row.offsets, 0)], -1)
    is_left_out = (span.first_frame <= frame) & (frame < span.first_frame + span.num_frames)
    return np.flatnonzero(~is_left_out)


def _score(
    network: LlavaVideoForConditionalGeneration,
    prefiller: Prefiller,
    rows: Sequence[Row],
    prompt: PromptState,
    num_answer_tokens: int,
) -> list[float]:
    """Log-probabilities of the answers at the ends of rows, in one batch."""
    start = min(prompt.length, *(_first_difference(row, prompt.row) for row in rows))
    states = [PromptState(row, 0, []) for row in rows]
    for state in states:
        state.take(prompt, start)
    hidden = prefiller.advance(states, [len(row) - 1 for row in rows], hold=False)
    likelihoods = []
    for row, hidden_LD in zip(rows, hidden, strict=True):
        logits: Tensor = network.lm_head(hidden_LD[-num_answer_tokens:]).float()
        ids = torch.from_numpy(row.ids[-num_answer_tokens:]).to(logits.device)
        chosen = logits.log_softmax(-1).gather(1, ids[:, None])
        likelihoods.append(float(chosen.sum()))
    return likelihoods


def _first_difference(row: Row, other: Row) -> int:
    """The first position whose token, or token of a medium, is another one."""
    return min(common_length(row.keys, other.keys), common_length(row.offsets, other.offsets))


def _influence(span: _Span, prompt: Row, likelihood: float, without: float) -> SpanInfluence:
    medium = prompt.loaded[span.medium]
    assert isinstance(medium, LoadedVideo)
    times = medium.frames.timestamps_seconds
    return SpanInfluence(
        span.video,
        span.first_frame,
        span.num_frames,
        float(times[span.first_frame]),
        float(times[span.first_frame + span.num_frames - 1]),
        round(without, 6),
        round(likelihood - without, 6),
    )
