"""The training objectives of toyworld models, one per stage.

`PatchObjective` trains the vision encoder on dense labels of patches, `TextObjective` the language
model on text, `ClipObjective` both together on questions and dense labels of video tokens.
"""

from __future__ import annotations

from collections import deque
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache
from transformers.utils import logging

from llava_video.model import LlavaVideoForConditionalGeneration
from llava_video.model.outputs import CACHE
from llava_video.tiny.batches import FORMS
from llava_video.tiny.dense_labels import NUM_MEASURES, PATCH_CLASSES, TOKEN_CLASSES
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.train.loop import Batch, Notes, Objective

_LOGGER = logging.get_logger(__name__)

HALFWAY = 2
"""Layers of the language model after which the dense labels of video tokens are predicted."""

_PATCH_SCORES = [highest + 1 for highest in PATCH_CLASSES.values()]
_TOKEN_SCORES = [highest + 1 for highest in TOKEN_CLASSES.values()]
_PLACES = TOKEN_CLASSES["place"] + 1

_LETTER_ACCURACY = 0.95
_LETTER_WINDOW_STEPS = 20
_NONE_WEIGHT = 0.2
_DENSE_LABEL_WEIGHT = 0.5
_LIST_WEIGHT = 0.7


class PatchModel(nn.Module):
    """The vision encoder with heads that predict the labels of each patch; see `patch_labels`."""

    def __init__(self, model: LlavaVideoForConditionalGeneration) -> None:
        super().__init__()
        self.vision_encoder = model.model.vision_encoder
        self.encode = model.model.encode_frames
        num_scores = sum(_PATCH_SCORES) + NUM_MEASURES + _PLACES
        self.heads = nn.Linear(model.model.projector.linear_1.in_features, num_scores)

    def forward(
        self, pixel_values: Tensor, classes: Tensor, measures: Tensor, place: Tensor
    ) -> dict[str, Tensor]:
        """The loss over all patches; the regression counts on patches with an actor.

        Args:
            pixel_values: (N, 3, S, S).
            classes: (N, M, 4).
            measures: (N, M, `NUM_MEASURES`).
            place: (N,).
        """
        scores = self.heads(self.encode(pixel_values))  # (N, M, num_scores)
        class_logits, measured, place_logits = scores.split(
            [sum(_PATCH_SCORES), NUM_MEASURES, _PLACES], dim=-1
        )
        targets = classes.unbind(-1)  # 4 of (N, M)
        occupied = (targets[0] > 0).unsqueeze(-1)  # (N, M, 1)
        distance = functional.smooth_l1_loss(measured, measures, reduction="none", beta=0.05)
        loss = 4 * (distance * occupied).sum() / occupied.sum().clamp(min=1)
        for logits, target in zip(class_logits.split(_PATCH_SCORES, dim=-1), targets, strict=True):
            loss = loss + _class_loss(logits.flatten(0, 1), target.flatten())  # (N * M, classes)
        loss = loss + functional.cross_entropy(place_logits.mean(dim=1), place)
        return {"loss": loss}


class PatchObjective(Objective):
    """The loss of `PatchModel`."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Notes]:
        return model(**batch)["loss"], {}


class TextObjective(Objective):
    """Trains the language model on text; reached as soon as the letters of lists are right.

    That skill emerges abruptly, after a number of steps that depends on the initial weights.
    """

    def __init__(self) -> None:
        self._right_letters: deque[float] = deque(maxlen=_LETTER_WINDOW_STEPS)

    @property
    def is_reached(self) -> bool:
        """Whether the letters of the last steps are right."""
        is_sure = len(self._right_letters) == self._right_letters.maxlen
        return is_sure and fmean(self._right_letters) > _LETTER_ACCURACY

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Notes]:
        """The sum of the mean losses of lettered lists and of conversations."""
        found = {name: _score_text(model, rows) for name, rows in batch.items()}
        loss = torch.stack([predictions.mean for predictions in found.values()]).sum()
        if "lists" not in found:
            return loss, {}
        is_wrong = found["lists"].wrong[batch["lists"]["letter_mask"][:, 1:]]
        right_letters = 1 - is_wrong.float().mean()
        self._right_letters.append(float(right_letters))
        return loss, {"right_letters": right_letters}

    def warn_of_letters(self, num_steps: int) -> None:
        """Warn if the stage ended before the letters were right."""
        if self._right_letters and fmean(self._right_letters) <= _LETTER_ACCURACY:
            _LOGGER.warning(
                f"reading ended after {num_steps} steps with {fmean(self._right_letters):.0%} of "
                "letters right: options will be guessed; set reading_steps higher"
            )


class ClipObjective(Objective):
    """The weighted sum of `clip_losses`: answers, dense labels of video tokens, lists.

    Its parts are logged, and the share of exact answers; as nearly all clips are new, that is an
    estimate of held-out accuracy.
    """

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Notes]:
        losses = clip_losses(model, batch)
        loss = losses.answers + _DENSE_LABEL_WEIGHT * losses.tokens + _LIST_WEIGHT * losses.lists
        return loss, losses._asdict()


class ClipLosses(NamedTuple):
    """Losses and accuracies of a batch of clips, each a scalar.

    Attributes:
        answers: loss of the answers.
        tokens: loss of the dense labels of video tokens.
        lists: loss of lettered lists; 0 without lists.
        right_choices: share of multiple-choice answers with every token right; NaN if there are
            none.
        right_open: the same for open-ended answers.
    """

    answers: Tensor
    tokens: Tensor
    lists: Tensor
    right_choices: Tensor
    right_open: Tensor


def clip_losses(model: Any, batch: dict[str, Any]) -> ClipLosses:
    """Compute the losses of a batch of `ClipCollator`."""
    inner, language_model = model.model, model.model.language_model
    model.config.representation = batch["representation"]
    prompt_ids = batch["prompt_ids"]
    video_tokens = [inner.tokens_of(features) for features in batch["features"]]
    cache = DynamicCache()
    prefix = language_model(
        inputs_embeds=inner.embed(prompt_ids, video_tokens),
        output_hidden_states=True,
        use_cache=True,
        **{CACHE: cache},
    )
    is_video = prompt_ids == model.config.video_token_id  # (B, P)
    halfway = prefix.hidden_states[HALFWAY][is_video]  # (B, P, D) -> (B * V, D)
    found = [_score_branches(model, cache, group) for group in batch["branches"]]
    forms = torch.cat([group["form"] for group in batch["branches"]])  # (all N,)
    num_labels = torch.stack([group.num_labels for group in found]).sum()
    is_right = torch.cat([group.is_right for group in found]).float()
    return ClipLosses(
        torch.stack([group.loss for group in found]).sum() / num_labels,
        _dense_label_loss(model.token_heads(halfway), batch["token_labels"].flatten(0, 1)),
        _score_text(model, batch["lists"]).mean if "lists" in batch else is_right.new_zeros(()),
        is_right[forms == FORMS.index("choices")].mean(),
        is_right[forms == FORMS.index("open_ended")].mean(),
    )


def _score_branches(model: Any, video: DynamicCache, branches: dict[str, Tensor]) -> _Predictions:
    """Score branches given the cached keys and values of their clips."""
    cache = DynamicCache()
    for number, layer in enumerate(video.layers):  # (B, heads, P, d) -> (N, heads, P, d)
        cache.update(layer.keys[branches["clip"]], layer.values[branches["clip"]], number)
    ids, first = branches["ids"], video.get_seq_length()
    positions = torch.arange(first, first + ids.shape[1], device=ids.device)[None]
    output = model.model.language_model(
        input_ids=ids, position_ids=positions, use_cache=True, **{CACHE: cache}
    )
    return _score(model, output.last_hidden_state, branches["labels"])


def _score_text(model: Any, rows: dict[str, Tensor]) -> _Predictions:
    """Score every next token of texts."""
    ids, mask = rows["ids"], rows["mask"]
    output = model.model.language_model(input_ids=ids, attention_mask=mask, use_cache=False)
    return _score(model, output.last_hidden_state, ids.masked_fill(mask == 0, LABEL_IGNORED))


class _Predictions(NamedTuple):
    """Predictions of labels: summed loss, number of labels, which are wrong (N, L - 1)."""

    loss: Tensor
    num_labels: Tensor
    wrong: Tensor

    @property
    def is_right(self) -> Tensor:
        """(N,) whether all labels of the row are predicted."""
        return ~self.wrong.any(dim=1)

    @property
    def mean(self) -> Tensor:
        return self.loss / self.num_labels


def _score(model: Any, hidden_NLD: Tensor, labels_NL: Tensor) -> _Predictions:
    targets_NL = labels_NL[:, 1:]
    is_label_NL = targets_NL != LABEL_IGNORED
    # The output layer sees labelled positions only: (N, L - 1, D) -> (K, D) -> (K, vocabulary).
    logits = model.lm_head(hidden_NLD[:, :-1][is_label_NL]).float()
    wrong_NL = torch.zeros_like(is_label_NL)
    wrong_NL[is_label_NL] = logits.argmax(-1) != targets_NL[is_label_NL]
    loss = functional.cross_entropy(logits, targets_NL[is_label_NL], reduction="sum")
    return _Predictions(loss, is_label_NL.sum(), wrong_NL)


def _dense_label_loss(scores: Tensor, labels_VK: Tensor) -> Tensor:
    """The summed loss of the columns of `token_labels`."""
    columns = zip(scores.split(_TOKEN_SCORES, -1), labels_VK.unbind(-1), strict=True)
    return torch.stack([_class_loss(logits, targets) for logits, targets in columns]).sum()


def _class_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy in which "none" weighs less: it is by far the most frequent class."""
    weight = scores.new_ones(scores.shape[-1], dtype=torch.float32)
    weight[0] = _NONE_WEIGHT
    return functional.cross_entropy(scores.float(), targets, weight)


def token_heads(hidden_size: int) -> nn.Linear:
    """Linear heads that predict the dense labels of video tokens from the hidden states."""
    return nn.Linear(hidden_size, sum(_TOKEN_SCORES))
