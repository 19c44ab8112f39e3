"""Train the embedded ``tiny`` model from scratch.

Run ``llava-video tiny train out=runs/tiny``. Three lessons, because joint training from scratch
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

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from llava_video.checkpoints.load import load
from llava_video.errors import InputError
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation
from llava_video.tiny.batches import (
    FIRST_TRAINING_SEED,
    SEEN,
    ClipCollator,
    CollatorsInTurn,
    DrawStream,
    NumberStream,
    PatchCollator,
    TextCollator,
    training_script,
)
from llava_video.tiny.conversations import exchanges
from llava_video.tiny.feature_cache import ClipStore, fill_store
from llava_video.tiny.muon_adamw import MuonAdamWFactory
from llava_video.tiny.noise_clips import foreign_clip
from llava_video.tiny.objectives import ClipTeacher, PatchTeacher, TextTeacher, token_heads
from llava_video.tiny.recipe import LEVELS, REPRESENTATION, TinyRecipe
from llava_video.tiny.tokenizer import VIDEO, train_tokenizer
from llava_video.toyworld import render
from llava_video.train.adapters import MODEL, write_model
from llava_video.train.attention import WRITTEN
from llava_video.train.checkpoints import newest_checkpoint
from llava_video.types import Frames

STORES = "features"
WATCHING = "watching"
"""Folders in that of a run: of features of clips, by their number of frames, and of a lesson."""

CLIPS_PER_FOREIGN = 6
"""One foreign clip is drawn for so many of toyworld's."""

VOCABULARY_SIZE = 768
SEEING_RATE = 1e-3
LANGUAGE_RATE = 3e-3
"""Highest learning rates: AdamW's for the vision encoder, Muon's for the language model."""

TEXTS_PER_STEP = 8
_DRAWS_PER_SEED = 10_000_000

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
    load_model(module, out / _WEIGHTS_FILE)


_WEIGHTS_FILE = "model.safetensors"
_LAST_FILE = "training_args.bin"  # what the trainer writes after a model


def check_tiny(recipe: TinyRecipe) -> None:
    """Find what would keep a run from beginning.

    Raises:
        InputError: the run folder belongs to another recipe or holds a finished run, the model
            that the vision encoder comes from is none of the same sizes, or ``start_from`` is no
            finished run.
    """
    recipe.check_folder(recipe.out)
    if (recipe.out / MODEL).is_dir():
        raise InputError(f"{recipe.out} holds a finished run; give another folder as out=DIR")
    if recipe.vision_from is not None:
        _taught(recipe.vision_from)
    if recipe.start_from is not None and not (recipe.start_from / MODEL).is_dir():
        raise InputError(
            f"start_from={recipe.start_from} holds no finished run; make one with "
            f"llava-video tiny train toyworld-base out={recipe.start_from}"
        )


def _taught(model_name: str) -> nn.Module:
    """The vision encoder of another model."""
    model = load(model_name, dtype=torch.float32)[0]
    sizes = model.config.to_dict()["vision_config"]
    other = {key: sizes[key] for key, size in VISION.items() if sizes[key] != size}
    if other:
        raise InputError(
            f"vision_from={model_name}: its vision encoder has {other}, where tiny's has "
            f"{ {key: VISION[key] for key in other} }; take a model that `tiny train` made"
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
    representations = [VideoRepresentation.from_dict(values) for values in recipe.representations]
    model, processor = build(representations[0])
    model.token_heads = token_heads(TEXT["hidden_size"])
    if not torch.cuda.is_available():
        model.model.language_model.set_attn_implementation(WRITTEN)
    if recipe.start_from is not None:
        load_model(model, recipe.start_from / WATCHING / _WEIGHTS_FILE)
    elif recipe.vision_from is not None:
        model.model.vision_encoder.load_state_dict(_taught(recipe.vision_from).state_dict())
    else:
        _see(model, processor, recipe)
    model.model.vision_encoder.requires_grad_(False)
    if recipe.start_from is None:
        _read(model, processor, recipe)
    _watch(model, processor, recipe, representations)
    del model.token_heads
    model.config.representation = representations[0]
    write_model(model, processor, target, torch.bfloat16)
    if recipe.clips is None:  # gigabytes that can be made again
        for folder in recipe.out.glob(f"{STORES}-*"):
            shutil.rmtree(folder)
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


def _read(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
) -> None:
    _train(
        TextTeacher,
        model,
        _arguments(recipe, "reading", recipe.reading_steps, LANGUAGE_RATE, TEXTS_PER_STEP),
        NumberStream,
        TextCollator(processor, recipe.levels, with_lists=recipe.options_after < 1),
    )


def _watch(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
    representations: Sequence[VideoRepresentation],
) -> None:
    first_draw = recipe.seed * _DRAWS_PER_SEED
    asks_openly = round(recipe.options_after * recipe.watching_steps) * recipe.batch
    options_from = first_draw + asks_openly if recipe.options_after < 1 else None
    collators = []
    for representation in representations:
        shows = processor.with_representation(representation)
        clips, foreign = _remember(model, shows, recipe)
        collators.append(ClipCollator(shows, recipe.levels, clips, foreign, options_from))
    _train(
        ClipTeacher,
        model,
        _arguments(recipe, WATCHING, recipe.watching_steps, LANGUAGE_RATE, recipe.batch),
        lambda done: DrawStream(len(clips), len(foreign), first_draw + done),
        CollatorsInTurn(tuple(collators)),
    )


def _remember(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
) -> tuple[ClipStore, ClipStore]:
    """Features of clips of toyworld and of foreign ones."""
    num_frames, size = processor.representation.max_frames, IMAGE_SIZE
    num_foreign = max(1, recipe.num_clips // CLIPS_PER_FOREIGN)
    folder = (recipe.clips or recipe.out) / f"{STORES}-{num_frames}"
    encoder = save(dict(model.model.vision_encoder.state_dict()))
    made_by = f"{num_frames} frames, seen by {hashlib.sha256(encoder).hexdigest()}"

    def draw(number: int) -> Frames:
        return render(training_script(number, recipe.levels), num_frames=num_frames, size=size)

    @torch.no_grad()
    def encode(clips: Sequence[Frames]) -> Tensor:
        pixels = torch.cat([processor.preprocess(clip) for clip in clips])
        features_NMC = model.model.encode_frames(pixels.to(model.device))
        features: Tensor = features_NMC.unflatten(0, (-1, num_frames))
        return features

    return (
        fill_store(
            folder / "clips",
            f"{recipe.num_clips} of {', '.join(recipe.levels)}; {made_by}",
            recipe.num_clips,
            draw,
            encode,
        ),
        fill_store(
            folder / "foreign",
            f"{num_foreign}; {made_by}",
            num_foreign,
            lambda number: foreign_clip(FIRST_TRAINING_SEED + number, num_frames, size),
            encode,
        ),
    )
