"""Train the embedded ``tiny`` model from scratch.

Run ``llava-video train tiny out=runs/tiny``. Three lessons, because joint training from scratch
learns to count and to order long before it learns which colour goes with which shape, and letters
of options last of all:

1. seeing: the vision encoder learns what each patch shows; after that it stays as it is, and the
   features of many clips are kept on disk;
2. reading: the language model learns toyworld's words, and from lists which letter stands before
   an option;
3. watching: questions about the clips are answered, many about each. Besides, halfway through the
   language model each video token tells who is there and what happens, and clips that are not
   toyworld's are refused.

A run that is started again continues from its newest checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from safetensors.torch import load_model
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import DynamicCache, Trainer, TrainingArguments

from llava_video.errors import InputError
from llava_video.model import (
    LlavaVideoConfig,
    LlavaVideoForConditionalGeneration,
    LlavaVideoProcessor,
)
from llava_video.model.loading import load
from llava_video.model.outputs import CACHE
from llava_video.representation import VideoRepresentation
from llava_video.toyworld import render
from llava_video.train.adapters import MODEL, write_model
from llava_video.train.attention import WRITTEN
from llava_video.train.checkpoints import newest_checkpoint
from llava_video.train.clip_store import ClipStore, fill_store
from llava_video.train.foreign import foreign_clip
from llava_video.train.optimizer import MuonAdamWFactory
from llava_video.train.recipe import Strict
from llava_video.train.rows import LABEL_IGNORED
from llava_video.train.tokenizer import VIDEO, train_tokenizer
from llava_video.train.toyworld_data import (
    FIRST_TRAINING_SEED,
    SEEN,
    ClipCollator,
    DrawStream,
    NumberStream,
    PatchCollator,
    TextCollator,
    exchanges,
    training_script,
)
from llava_video.train.toyworld_labels import NUM_MEASURES, PATCH_NAMES, TOKEN_NAMES
from llava_video.types import Frames

Level = Literal["simple", "standard", "crowded", "long"]

LEVELS: tuple[Level, ...] = ("simple", "standard")
"""Levels of the clips that tiny is asked about."""

CLIPS, FOREIGN = "clips", "foreign"
"""In the run folder: features of clips, while they are needed."""

CLIPS_PER_FOREIGN = 6
"""One foreign clip is drawn for so many of toyworld's."""

REPRESENTATION = VideoRepresentation(max_frames=12, grid_side=8, slow_stride=3, pool_stride=2)
VOCABULARY_SIZE = 768
SEEING_RATE = 1e-3
LANGUAGE_RATE = 3e-3
"""Highest learning rates: AdamW's for the vision encoder, Muon's for the language model."""

TEXTS_PER_STEP = 8

HALFWAY = 2
"""Layers of the language model after which a video token tells what it shows."""

IMAGE_SIZE = 64
VISION: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": IMAGE_SIZE,
    "patch_size": 8,
}
TEXT: dict[str, Any] = {
    "hidden_size": 192,
    "intermediate_size": 576,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


class TinyRecipe(Strict):
    """What can be changed about the training of tiny.

    Attributes:
        out: the run folder; a run found there is continued.
        levels: of toyworld, to which the clips belong in turn.
        representation: values of a `VideoRepresentation`; by default that of tiny.
        vision_from: a model of the same sizes whose vision encoder is taken, in place of the first
            lesson.
        seed: of the weights; clips and questions are the same for every seed.
        seeing_steps: steps of the first lesson.
        reading_steps: steps of the second lesson.
        num_clips: clips whose features are kept for the third.
        watching_steps: steps of the third lesson.
        batch: clips per step of the third.
        threads: threads of the processor.
        workers: processes that draw clips and questions.
    """

    out: Path
    levels: tuple[Level, ...] = LEVELS
    representation: dict[str, Any] = REPRESENTATION.to_dict()
    vision_from: str | None = None
    seed: int = 0
    seeing_steps: int = Field(15000, gt=0)
    reading_steps: int = Field(500, gt=0)
    num_clips: int = Field(gt=0)
    watching_steps: int = Field(gt=0)
    batch: int = Field(6, gt=0)
    threads: int = Field(1, gt=0)
    workers: int = Field(1, ge=0)


def build(
    representation: VideoRepresentation = REPRESENTATION,
) -> tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]:
    """A model with random weights, and its processor with a tokenizer of toyworld's words."""
    tokenizer = train_tokenizer(_texts(), VOCABULARY_SIZE)
    video_token_id = tokenizer.convert_tokens_to_ids(VIDEO)
    text = {
        **TEXT,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlavaVideoConfig(
        vision_config=VISION,
        text_config=text,
        video_token_id=video_token_id,
        video_representation=representation.to_dict(),
        has_newline=False,
        has_separator=False,
        add_time_instruction=False,
        tie_word_embeddings=True,
    )
    model = LlavaVideoForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    processor = LlavaVideoProcessor(
        tokenizer,
        image_size=IMAGE_SIZE,
        video_token_id=video_token_id,
        video_representation=representation.to_dict(),
        add_time_instruction=False,
        max_positions=text["max_position_embeddings"],
    )
    return model, processor


def _texts() -> Iterator[str]:
    for number in range(2000):
        for exchange in exchanges(training_script(number, LEVELS), number, most=10):
            yield f"\n{exchange.question}"
            yield exchange.answer
    yield "assistant\n user\n system\nYou are a helpful assistant."


class PatchTeacher(nn.Module):
    """The vision encoder with heads that say what each patch shows; see `patch_labels`."""

    def __init__(self, model: LlavaVideoForConditionalGeneration) -> None:
        super().__init__()
        self.vision_encoder = model.model.vision_encoder
        self.encode = model.model.encode_frames
        self.heads = nn.Linear(VISION["hidden_size"], sum(_PATCH_SCORES) + NUM_MEASURES + _PLACES)

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
            loss = loss + _loss_of_names(said.flatten(0, 1), name.flatten())
        loss = loss + functional.cross_entropy(placed.mean(dim=1), place)
        return {"loss": loss}


_PATCH_SCORES = [highest + 1 for highest in PATCH_NAMES.values()]
_PLACES = TOKEN_NAMES["place"] + 1


def _arguments(
    recipe: TinyRecipe, lesson: str, max_steps: int, rate: float, batch: int
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(recipe.out / lesson),
        max_steps=max_steps,
        per_device_train_batch_size=batch,
        learning_rate=rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": max_steps * 3 // 10},
        warmup_steps=min(200, max_steps // 10),
        weight_decay=0.05,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        logging_steps=50,
        save_steps=250,
        save_total_limit=2,
        dataloader_num_workers=recipe.workers,
        remove_unused_columns=False,
        ignore_data_skip=True,
        # Rows of a batch differ in length: frames of all clips stand in one tensor.
        accelerator_config={"dispatch_batches": False, "split_batches": False},
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        bf16=True,
        seed=recipe.seed,
    )


class TextTeacher(Trainer):
    """Teaches the language model alone."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """Loss of lettered lists and of conversations."""
        with self.accelerator.autocast():  # the trainer's own reaches only `model.forward`
            return _text_loss(model, inputs["lists"]) + _text_loss(model, inputs["conversations"])


class ClipTeacher(Trainer):
    """Asks many questions about each clip, and of every video token what it shows.

    Beside the loss it logs the parts of it and the share of answers that are right to the letter,
    of clips that nearly all are new.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen: list[ClipLosses] = []

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """The weighted sum of `clip_losses`."""
        with self.accelerator.autocast():  # see `TextTeacher`
            losses = clip_losses(model, inputs)
        self._seen.append(ClipLosses(*(value.detach() for value in losses)))
        return losses.answers + _SHARE_OF_TOKENS * losses.tokens + _SHARE_OF_LISTS * losses.lists

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add what was seen since the last time."""
        if self._seen:
            columns = zip(*self._seen, strict=True)
            for name, values in zip(ClipLosses._fields, columns, strict=True):
                logs[name] = round(float(torch.stack(values).nanmean()), 4)
            self._seen = []
        super().log(logs, *args, **kwargs)


class ClipLosses(NamedTuple):
    """What a batch of clips tells.

    Attributes:
        answers: loss of the answers.
        tokens: loss of what the video tokens show.
        lists: loss of lettered lists.
        right_choices: share of right answers to questions with options, word by word.
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
    words = {kind: _answer(model, cache, found) for kind, found in batch["branches"].items()}
    loss = torch.stack([told.loss for told in words.values()]).sum()
    num_words = torch.stack([told.num_words for told in words.values()]).sum()
    none = loss.new_tensor(float("nan"))
    return ClipLosses(
        loss / num_words,
        _loss_of_tokens(model.token_heads(halfway), batch["token_labels"].flatten(0, 1)),
        _text_loss(model, batch["lists"]),
        words["choices"].right if "choices" in words else none,
        words["open_ended"].right if "open_ended" in words else none,
    )


def _answer(model: Any, video: DynamicCache, branches: dict[str, Tensor]) -> _Words:
    """Read what follows the video of each branch's clip, given the clips' keys and values."""
    cache = DynamicCache()
    for number, layer in enumerate(video.layers):
        cache.update(layer.keys[branches["clip"]], layer.values[branches["clip"]], number)
    ids, first = branches["ids"], video.get_seq_length()
    positions = torch.arange(first, first + ids.shape[1], device=ids.device)[None]
    said = model.model.language_model(
        input_ids=ids, position_ids=positions, use_cache=True, **{CACHE: cache}
    )
    return _read(model, said.last_hidden_state, branches["labels"])


def _text_loss(model: Any, rows: dict[str, Tensor]) -> Tensor:
    """Mean loss of every next word of texts."""
    ids, mask = rows["ids"], rows["mask"]
    said = model.model.language_model(input_ids=ids, attention_mask=mask, use_cache=False)
    return _read(model, said.last_hidden_state, ids.masked_fill(mask == 0, LABEL_IGNORED)).mean


class _Words(NamedTuple):
    """Words that were asked for: summed loss, their number, and the share of rows all right."""

    loss: Tensor
    num_words: Tensor
    right: Tensor

    @property
    def mean(self) -> Tensor:
        return self.loss / self.num_words


def _read(model: Any, hidden_NLD: Tensor, labels_NL: Tensor) -> _Words:
    wanted_NL = labels_NL[:, 1:]
    asked_NL = wanted_NL != LABEL_IGNORED
    logits = model.lm_head(hidden_NLD[:, :-1][asked_NL]).float()
    wrong_NL = torch.zeros_like(asked_NL)
    wrong_NL[asked_NL] = logits.argmax(-1) != wanted_NL[asked_NL]
    loss = functional.cross_entropy(logits, wanted_NL[asked_NL], reduction="sum")
    return _Words(loss, asked_NL.sum(), (~wrong_NL.any(dim=1)).float().mean())


def _loss_of_tokens(scores: Tensor, labels_VK: Tensor) -> Tensor:
    """Loss of all that video tokens tell; see `token_labels`."""
    columns = zip(scores.split(_TOKEN_SCORES, -1), labels_VK.unbind(-1), strict=True)
    return torch.stack([_loss_of_names(said, names) for said, names in columns]).sum()


def _loss_of_names(scores: Tensor, names: Tensor) -> Tensor:
    """Mean loss of names, in which "none" counts less: it is by far the most frequent."""
    weight = scores.new_ones(scores.shape[-1], dtype=torch.float32)
    weight[0] = _WEIGHT_OF_NONE
    return functional.cross_entropy(scores.float(), names, weight)


def token_heads() -> nn.Linear:
    """What tells out of a video token who is there and what happens."""
    return nn.Linear(TEXT["hidden_size"], sum(_TOKEN_SCORES))


_TOKEN_SCORES = [highest + 1 for highest in TOKEN_NAMES.values()]
_WEIGHT_OF_NONE = 0.2
_SHARE_OF_TOKENS = 0.5
_SHARE_OF_LISTS = 0.7


def _train(
    trainer_class: type[Trainer],
    module: nn.Module,
    arguments: TrainingArguments,
    stream: Callable[[int], Dataset[Any]],
    collator: Any,
) -> None:
    """Train, or go on from the newest checkpoint with clips that were not drawn yet."""
    out = Path(str(arguments.output_dir))
    last = newest_checkpoint(out)
    done = int(last.name.rsplit("-", 1)[1]) if last else 0
    if not (out / _LAST_FILE).is_file():
        first = done * arguments.per_device_train_batch_size
        muon = (MuonAdamWFactory, {"lr": arguments.learning_rate})
        trainer = trainer_class(
            module,
            arguments,
            train_dataset=stream(first),
            data_collator=collator,
            optimizer_cls_and_kwargs=None if isinstance(module, PatchTeacher) else muon,
        )
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        trainer.save_model(str(out))
    load_model(module, out / "model.safetensors")


_LAST_FILE = "training_args.bin"  # what the trainer writes after a model


def check_tiny(recipe: TinyRecipe) -> None:
    """Find what would keep a run from beginning.

    Raises:
        InputError: the run folder belongs to another recipe or holds a finished run, or the model
            that the vision encoder comes from is none of the same sizes.
    """
    recipe.check_folder(recipe.out)
    if (recipe.out / MODEL).is_dir():
        raise InputError(f"{recipe.out} holds a finished run; give another folder as out=DIR")
    if recipe.vision_from is not None:
        _taught(recipe.vision_from)


def _taught(model_name: str) -> nn.Module:
    """The vision encoder of another model."""
    model = load(model_name, dtype=torch.float32)[0]
    sizes = model.config.to_dict()["vision_config"]
    other = {key: sizes[key] for key, size in VISION.items() if sizes[key] != size}
    if other:
        raise InputError(
            f"vision_from={model_name}: its vision encoder has {other}, where tiny's has "
            f"{ {key: VISION[key] for key in other} }; take a model that `train tiny` made"
        )
    encoder: nn.Module = model.model.vision_encoder
    return encoder


def train_tiny(recipe: TinyRecipe) -> Path:
    """Train tiny from scratch, or go on where ``recipe.out`` stopped.

    Returns:
        The directory of the model, in bfloat16.

    Raises:
        InputError: as `check_tiny`.
    """
    check_tiny(recipe)
    recipe.keep_in(recipe.out)
    target = recipe.out / MODEL
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    model, processor = build(VideoRepresentation.from_dict(recipe.representation))
    if not torch.cuda.is_available():
        model.model.language_model.set_attn_implementation(WRITTEN)
    if recipe.vision_from is None:
        _see(model, processor, recipe)
    else:
        model.model.vision_encoder.load_state_dict(_taught(recipe.vision_from).state_dict())
    model.model.vision_encoder.requires_grad_(False)
    _train(
        TextTeacher,
        model,
        _arguments(recipe, "reading", recipe.reading_steps, LANGUAGE_RATE, TEXTS_PER_STEP),
        NumberStream,
        TextCollator(processor, recipe.levels),
    )
    collator = ClipCollator(processor, recipe.levels, *_remember(model, processor, recipe))
    model.token_heads = token_heads()
    _train(
        ClipTeacher,
        model,
        _arguments(recipe, "watching", recipe.watching_steps, LANGUAGE_RATE, recipe.batch),
        lambda seed: DrawStream(len(collator.clips), len(collator.foreign), seed),
        collator,
    )
    del model.token_heads
    write_model(model, processor, target, torch.bfloat16)
    for name in (CLIPS, FOREIGN):  # gigabytes that can be made again
        shutil.rmtree(recipe.out / name)
    return target


def _see(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
) -> None:
    _train(
        Trainer,
        PatchTeacher(model),
        _arguments(recipe, "seeing", recipe.seeing_steps, SEEING_RATE, len(SEEN)),
        NumberStream,
        PatchCollator(processor, model.config.grid_side, num_frames=6),
    )


def _remember(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
) -> tuple[ClipStore, ClipStore]:
    """Features of clips of toyworld and of foreign ones."""
    num_frames, size = processor.representation.max_frames, IMAGE_SIZE

    def draw(number: int) -> Frames:
        return render(training_script(number, recipe.levels), num_frames=num_frames, size=size)

    @torch.no_grad()
    def encode(clips: Sequence[Frames]) -> Tensor:
        pixels = torch.cat([processor.preprocess(clip) for clip in clips])
        features_NMC = model.model.encode_frames(pixels.to(model.device))
        features: Tensor = features_NMC.unflatten(0, (-1, num_frames))
        return features

    return (
        fill_store(recipe.out / CLIPS, recipe.num_clips, draw, encode),
        fill_store(
            recipe.out / FOREIGN,
            max(1, recipe.num_clips // CLIPS_PER_FOREIGN),
            lambda number: foreign_clip(FIRST_TRAINING_SEED + number, num_frames, size),
            encode,
        ),
    )
