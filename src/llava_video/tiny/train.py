"""Train the embedded ``tiny`` model from scratch.

Run ``llava-video tiny train out=runs/tiny``. There are three stages, because joint training from
scratch learns counts and orders long before the binding of colours to shapes, and option letters
last of all:

1. seeing: the vision encoder is trained on dense labels of patches and then frozen; the features
   of many clips are cached on disk;
2. reading: the language model is trained on toyworld's texts, and on lists to look up the letter
   of an option;
3. watching: the model answers many questions about each clip. Auxiliary heads predict dense labels
   of the video tokens from the hidden states halfway through the language model, and noise clips
   are refused.

A run that is started again resumes from its newest checkpoint.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from safetensors.torch import load_model, save, save_model
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader, Dataset
from transformers import get_scheduler

from llava_video.checkpoints.load import TINY, load
from llava_video.errors import InputError
from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import VideoRepresentation
from llava_video.tiny.batches import (
    FIRST_TRAINING_SEED,
    FRAME_LEVELS,
    AlternatingCollator,
    ClipCollator,
    DrawStream,
    NumberStream,
    PatchCollator,
    TextCollator,
    training_script,
)
from llava_video.tiny.conversations import exchanges
from llava_video.tiny.feature_cache import ClipStore, fill_store
from llava_video.tiny.muon_adamw import WEIGHT_DECAY, MuonAdamW
from llava_video.tiny.objectives import (
    ClipObjective,
    PatchModel,
    PatchObjective,
    TextObjective,
    token_heads,
)
from llava_video.tiny.recipe import LEVELS, REPRESENTATION, TinyRecipe
from llava_video.tiny.tokenizer import VIDEO, train_tokenizer
from llava_video.toyworld import render
from llava_video.toyworld.draw.noise_clips import noise_clip
from llava_video.train.adapters import MODEL, write_model
from llava_video.train.attention import WRITTEN
from llava_video.train.checkpoints import newest_checkpoint, step_of
from llava_video.train.devices import make_accelerator
from llava_video.train.log import Log
from llava_video.train.loop import Loop, Objective
from llava_video.types import Frames

STORES = "features"
WATCHING = "watching"
"""Folders in the run folder: features of clips (with the number of frames), and the last stage."""

CLIPS_PER_NOISE_CLIP = 6
"""Toyworld clips in the cache per noise clip."""

VOCABULARY_SIZE = 768
VISION_RATE = 1e-3
LANGUAGE_RATE = 3e-3
"""Peak learning rates: AdamW's for the vision encoder, Muon's for the language model."""

TEXTS_PER_STEP = 8
LOG_STEPS = 50
SAVE_STEPS = 250
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

NUM_TOKENIZER_SCRIPTS = 2000
"""Scripts of toyworld whose questions and answers are the corpus of the tokenizer."""


def build(
    representation: VideoRepresentation = REPRESENTATION,
) -> tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]:
    """A model with random weights, and its processor with a tokenizer trained on toyworld."""
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
    for number in range(NUM_TOKENIZER_SCRIPTS):
        for exchange in exchanges(training_script(number, LEVELS), number, most=10):
            yield f"\n{exchange.question}"
            yield exchange.answer
    yield "assistant\n user\n system\nYou are a helpful assistant."


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage of training: folder in the run folder, steps, peak learning rate, batch size."""

    name: str
    num_steps: int
    rate: float
    batch: int


def _train_stage(
    objective: Objective,
    module: nn.Module,
    recipe: TinyRecipe,
    stage: _Stage,
    stream: Callable[[int], Dataset[Any]],
    collator: Any,
) -> None:
    """Train a stage; resume from its newest checkpoint with clips that were not drawn yet."""
    out = recipe.out / stage.name
    if not (out / _WEIGHTS_FILE).is_file():
        last = newest_checkpoint(out)
        done = 0 if last is None else step_of(last)
        accelerator = make_accelerator()
        prepared = accelerator.prepare_model(module)
        optimizer = _optimizer(module, stage.rate)
        scheduler = get_scheduler(
            "warmup_stable_decay",
            optimizer,
            num_warmup_steps=min(200, stage.num_steps // 10),
            num_training_steps=stage.num_steps,
            scheduler_specific_kwargs={"num_decay_steps": stage.num_steps * 3 // 10},
        )
        if last is not None:
            load_model(module, last / _WEIGHTS_FILE)
            optimizer.load_state_dict(torch.load(last / _OPTIMIZER_FILE, weights_only=True))
        loader = DataLoader(
            stream(done * stage.batch),
            batch_size=stage.batch,
            collate_fn=collator,
            num_workers=recipe.workers,
        )
        out.mkdir(parents=True, exist_ok=True)
        with Log(out, accelerator, bar=sys.stderr.isatty()) as log:
            loop = Loop(
                accelerator,
                prepared,
                objective,
                optimizer,
                scheduler,
                log,
                folder=out,
                num_steps=stage.num_steps,
                log_steps=LOG_STEPS,
                save_steps=SAVE_STEPS,
                autocast_dtype=torch.bfloat16,
                save=_save,
                step=done,
            )
            set_seed(recipe.seed)
            loop.run(loader, last)
        unfinished = out / f"{_WEIGHTS_FILE}.unfinished"
        save_model(module, str(unfinished))
        unfinished.rename(out / _WEIGHTS_FILE)
    load_model(module, out / _WEIGHTS_FILE)


def _optimizer(module: nn.Module, rate: float) -> Optimizer:
    if not isinstance(module, PatchModel):
        return MuonAdamW(module, rate)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def _save(folder: Path, module: nn.Module, optimizer: Optimizer) -> None:
    """Save all weights, and the optimizer's state, which for `MuonAdamW` is that of two."""
    save_model(module, str(folder / _WEIGHTS_FILE))
    torch.save(optimizer.state_dict(), folder / _OPTIMIZER_FILE)


_WEIGHTS_FILE = "model.safetensors"
_OPTIMIZER_FILE = "optimizer.pt"


def check_tiny(recipe: TinyRecipe) -> None:
    """Check what would stop a run before its first step.

    Raises:
        InputError: the run folder belongs to another recipe or holds a finished run, the vision
            encoder of ``vision_from`` has other sizes, or ``start_from`` is neither a finished
            run nor tiny.
    """
    recipe.check_folder(recipe.out)
    if (recipe.out / MODEL).is_dir():
        raise InputError(f"{recipe.out} holds a finished run; give another folder as out=DIR")
    if recipe.vision_from is not None:
        _load_vision_encoder(recipe.vision_from)
    if recipe.start_from is not None:
        is_named = not recipe.start_from.exists() and str(recipe.start_from) == TINY
        kept = recipe.start_from / WATCHING / _WEIGHTS_FILE
        if not is_named and not ((recipe.start_from / MODEL).is_dir() and kept.is_file()):
            raise InputError(
                f"start_from={recipe.start_from} holds no finished run of tiny; make one with "
                f"llava-video tiny train toyworld-base out={recipe.start_from}, or give "
                f"start_from={TINY}"
            )


def _load_vision_encoder(model_name: str) -> nn.Module:
    """Load the vision encoder of another model and check its sizes."""
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
    """Train tiny from scratch, or resume the run in ``recipe.out``.

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
        _load_weights(model, recipe.start_from)
    elif recipe.vision_from is not None:
        model.model.vision_encoder.load_state_dict(
            _load_vision_encoder(recipe.vision_from).state_dict()
        )
    else:
        _train_vision_encoder(model, processor, recipe)
    model.model.vision_encoder.requires_grad_(False)
    if recipe.start_from is None:
        _train_language_model(model, processor, recipe)
    _train_on_clips(model, processor, recipe, representations)
    del model.token_heads
    model.config.representation = representations[0]
    write_model(model, processor, target, torch.bfloat16)
    if recipe.clips is None:  # gigabytes that can be made again
        for folder in recipe.out.glob(f"{STORES}-*"):
            shutil.rmtree(folder)
    return target


def _load_weights(model: LlavaVideoForConditionalGeneration, start: Path) -> None:
    """Load the weights of a finished run, or those of the package, whose heads are not kept."""
    kept = start / WATCHING / _WEIGHTS_FILE
    if kept.is_file():
        load_model(model, kept)
        return
    package = load(TINY, dtype=torch.float32)[0].state_dict()
    missing, unexpected = model.load_state_dict(package, strict=False)
    assert not unexpected and all(name.startswith("token_heads.") for name in missing)


def _train_vision_encoder(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
) -> None:
    _train_stage(
        PatchObjective(),
        PatchModel(model),
        recipe,
        _Stage("seeing", recipe.seeing_steps, VISION_RATE, len(FRAME_LEVELS)),
        NumberStream,
        PatchCollator(processor, model.config.grid_side, num_frames=6),
    )


def _train_language_model(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
) -> None:
    objective = TextObjective()
    _train_stage(
        objective,
        model,
        recipe,
        _Stage("reading", recipe.reading_steps, LANGUAGE_RATE, TEXTS_PER_STEP),
        NumberStream,
        TextCollator(processor, recipe.levels, with_lists=recipe.options_after < 1),
    )
    objective.warn_of_letters(recipe.reading_steps)


def _train_on_clips(
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
        own = processor.with_representation(representation)
        clips, noise_clips = _fill_stores(model, own, recipe)
        collators.append(ClipCollator(own, recipe.levels, clips, noise_clips, options_from))
    _train_stage(
        ClipObjective(),
        model,
        recipe,
        _Stage(WATCHING, recipe.watching_steps, LANGUAGE_RATE, recipe.batch),
        lambda done: DrawStream(len(clips), len(noise_clips), first_draw + done),
        AlternatingCollator(tuple(collators)),
    )


def _fill_stores(
    model: LlavaVideoForConditionalGeneration,
    processor: LlavaVideoProcessor,
    recipe: TinyRecipe,
) -> tuple[ClipStore, ClipStore]:
    """Fill the feature caches of toyworld clips and of noise clips."""
    num_frames, size = processor.representation.max_frames, IMAGE_SIZE
    num_noise_clips = max(1, recipe.num_clips // CLIPS_PER_NOISE_CLIP)
    folder = (recipe.clips or recipe.out) / f"{STORES}-{num_frames}"
    encoder = save(dict(model.model.vision_encoder.state_dict()))
    made_by = f"{num_frames} frames, seen by {hashlib.sha256(encoder).hexdigest()}"

    def draw(number: int) -> Frames:
        return render(training_script(number, recipe.levels), num_frames=num_frames, size=size)

    @torch.no_grad()
    def encode(clips: Sequence[Frames]) -> Tensor:
        pixels = torch.cat([processor.preprocess(clip) for clip in clips])
        features_NMC = model.model.encode_frames(pixels.to(model.device))
        features: Tensor = features_NMC.unflatten(0, (-1, num_frames))  # (clips, T, M, C)
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
            folder / "foreign",  # as in caches of earlier versions
            f"{num_noise_clips}; {made_by}",
            num_noise_clips,
            lambda number: noise_clip(FIRST_TRAINING_SEED + number, num_frames, size),
            encode,
        ),
    )
