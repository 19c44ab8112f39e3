"""The lessons of models of toyworld: what is asked of them, and how far off they are.

`PatchModel` asks the vision encoder what each patch of a frame shows, `TextObjective` lets the
language model read, and `ClipObjective` asks about clips; see `tiny`.
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
"""Layers of the language model after which a video token tells what it shows."""

_PATCH_SCORES = [highest + 1 for highest in PATCH_CLASSES.values()]
_TOKEN_SCORES = [highest + 1 for highest in TOKEN_CLASSES.values()]
_PLACES = TOKEN_CLASSES["place"] + 1

_LETTER_ACCURACY = 0.95
_LETTER_WINDOW_STEPS = 20
_NONE_WEIGHT = 0.2
_DENSE_LABEL_WEIGHT = 0.5
_LIST_WEIGHT = 0.7


class PatchModel(nn.Module):
    """The vision encoder with heads that say what each patch shows; see `patch_labels`."""

    def __init__(self, model: LlavaVideoForConditionalGeneration) -> None:
        super().__init__()
        self.vision_encoder = model.model.vision_encoder
        self.encode = model.model.encode_frames
        num_scores = sum(_PATCH_SCORES) + NUM_MEASURES + _PLACES
        self.heads = nn.Linear(model.model.projector.linear_1.in_features, num_scores)

    def forward(
        self, pixel_values: Tensor, names: Tensor, measures: Tensor, place: Tensor
    ) -> dict[str, Tensor]:
        """Loss over patches; measures count where somebody is."""
        scores = self.heads(self.encode(pixel_values))
        named, measured, placed = scores.split([sum(_PATCH_SCORES), NUM_MEASURES, _PLACES], dim=-1)
        says = named.split(_PATCH_SCORES, dim=-1)
        told = names.unbind(-1)
        occupied = (told[0] > 0).unsqueeze(-1)
        apart = functional.smooth_l1_loss(measured, measures, reduction="none", beta=0.05)
        loss = 4 * (apart * occupied).sum() / occupied.sum().clamp(min=1)
        for said, name in zip(says, told, strict=True):
            loss = loss + _class_loss(said.flatten(0, 1), name.flatten())
        loss = loss + functional.cross_entropy(placed.mean(dim=1), place)
        return {"loss": loss}


class PatchObjective(Objective):
    """Asks the vision encoder what patches show: the loss of `PatchModel`."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Notes]:
        """The loss of a batch of frames."""
        return model(**batch)["loss"], {}


class TextObjective(Objective):
    """Teaches the language model alone; it is reached as soon as letters of lists are found.

    That comes all at once, and not after the same number of steps for all weights to begin with.
    """

    def __init__(self) -> None:
        self._right_letters: deque[float] = deque(maxlen=_LETTER_WINDOW_STEPS)

    @property
    def is_reached(self) -> bool:
        """Whether the letters of the last steps are found."""
        is_sure = len(self._right_letters) == self._right_letters.maxlen
        return is_sure and fmean(self._right_letters) > _LETTER_ACCURACY

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Notes]:
        """Loss of lettered lists and of conversations."""
        read = {name: _score_text(model, rows) for name, rows in batch.items()}
        loss = torch.stack([words.mean for words in read.values()]).sum()
        if "lists" not in read:
            return loss, {}
        is_wrong = read["lists"].wrong[batch["lists"]["letter_mask"][:, 1:]]
        right_letters = 1 - is_wrong.float().mean()
        self._right_letters.append(float(right_letters))
        return loss, {"right_letters": right_letters}

    def warn_of_letters(self, num_steps: int) -> None:
        """Say so where letters were not found in all steps."""
        if self._right_letters and fmean(self._right_letters) <= _LETTER_ACCURACY:
            _LOGGER.warning(
                f"reading ended after {num_steps} steps with {fmean(self._right_letters):.0%} of "
                "letters right: options will be guessed; set reading_steps higher"
            )


class ClipObjective(Objective):
    """Asks many questions about each clip, and of every video token what it shows.

    Beside the loss it logs the parts of it and the share of answers that are right to the letter,
    of clips that nearly all are new.
    """

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Notes]:
        """The weighted sum of `clip_losses`."""
        losses = clip_losses(model, batch)
        loss = losses.answers + _DENSE_LABEL_WEIGHT * losses.tokens + _LIST_WEIGHT * losses.lists
        return loss, losses._asdict()


class ClipLosses(NamedTuple):
    """What a batch of clips tells.

    Attributes:
        answers: loss of the answers.
        tokens: loss of what the video tokens show.
        lists: loss of lettered lists; 0 without any.
        right_choices: share of answers to questions with options that are right word by word; NaN
            where none was asked, as below.
        right_open: share of right answers to the others.
    """

    answers: Tensor
    tokens: Tensor
    lists: Tensor
    right_choices: Tensor
    right_open: Tensor


def clip_losses(model: Any, batch: dict[str, Any]) -> ClipLosses:
    """What the model makes of a batch of `ClipCollator`."""
    inner, language_model = model.model, model.model.language_model
    model.config.representation = batch["representation"]
    prompt_ids = batch["prompt_ids"]
    video_tokens = [inner.tokens_of(features) for features in batch["features"]]
    cache = DynamicCache()
    seen = language_model(
        inputs_embeds=inner.embed(prompt_ids, video_tokens),
        output_hidden_states=True,
        use_cache=True,
        **{CACHE: cache},
    )
    halfway = seen.hidden_states[HALFWAY][prompt_ids == model.config.video_token_id]
    words = [_score_branches(model, cache, group) for group in batch["branches"]]
    forms = torch.cat([group["form"] for group in batch["branches"]])
    num_words = torch.stack([told.num_words for told in words]).sum()
    is_right = torch.cat([told.is_right for told in words]).float()
    return ClipLosses(
        torch.stack([told.loss for told in words]).sum() / num_words,
        _dense_label_loss(model.token_heads(halfway), batch["token_labels"].flatten(0, 1)),
        _score_text(model, batch["lists"]).mean if "lists" in batch else is_right.new_zeros(()),
        is_right[forms == FORMS.index("choices")].mean(),
        is_right[forms == FORMS.index("open_ended")].mean(),
    )


def _score_branches(model: Any, video: DynamicCache, branches: dict[str, Tensor]) -> _Predictions:
    """Read what follows the video of each branch's clip, given the clips' keys and values."""
    cache = DynamicCache()
    for number, layer in enumerate(video.layers):
        cache.update(layer.keys[branches["clip"]], layer.values[branches["clip"]], number)
    ids, first = branches["ids"], video.get_seq_length()
    positions = torch.arange(first, first + ids.shape[1], device=ids.device)[None]
    said = model.model.language_model(
        input_ids=ids, position_ids=positions, use_cache=True, **{CACHE: cache}
    )
    return _score(model, said.last_hidden_state, branches["labels"])


def _score_text(model: Any, rows: dict[str, Tensor]) -> _Predictions:
    """Every next word of texts."""
    ids, mask = rows["ids"], rows["mask"]
    said = model.model.language_model(input_ids=ids, attention_mask=mask, use_cache=False)
    return _score(model, said.last_hidden_state, ids.masked_fill(mask == 0, LABEL_IGNORED))


class _Predictions(NamedTuple):
    """Words that were asked for: summed loss, their number, which were wrong (N, L - 1)."""

    loss: Tensor
    num_words: Tensor
    wrong: Tensor

    @property
    def is_right(self) -> Tensor:
        """(N,) whether the row is all right."""
        return ~self.wrong.any(dim=1)

    @property
    def mean(self) -> Tensor:
        return self.loss / self.num_words


def _score(model: Any, hidden_NLD: Tensor, labels_NL: Tensor) -> _Predictions:
    wanted_NL = labels_NL[:, 1:]
    asked_NL = wanted_NL != LABEL_IGNORED
    logits = model.lm_head(hidden_NLD[:, :-1][asked_NL]).float()
    wrong_NL = torch.zeros_like(asked_NL)
    wrong_NL[asked_NL] = logits.argmax(-1) != wanted_NL[asked_NL]
    loss = functional.cross_entropy(logits, wanted_NL[asked_NL], reduction="sum")
    return _Predictions(loss, asked_NL.sum(), wrong_NL)


def _dense_label_loss(scores: Tensor, labels_VK: Tensor) -> Tensor:
    """Loss of all that video tokens tell; see `token_labels`."""
    columns = zip(scores.split(_TOKEN_SCORES, -1), labels_VK.unbind(-1), strict=True)
    return torch.stack([_class_loss(said, names) for said, names in columns]).sum()


def _class_loss(scores: Tensor, names: Tensor) -> Tensor:
    """Mean loss of names, in which "none" counts less: it is by far the most frequent."""
    weight = scores.new_ones(scores.shape[-1], dtype=torch.float32)
    weight[0] = _NONE_WEIGHT
    return functional.cross_entropy(scores.float(), names, weight)


def token_heads(hidden_size: int) -> nn.Linear:
    """What tells out of a video token, halfway through, who is there and what happens."""
    return nn.Linear(hidden_size, sum(_TOKEN_SCORES))
