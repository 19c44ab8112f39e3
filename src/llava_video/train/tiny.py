"""Train the embedded ``tiny`` model from scratch.

Run ``python -m llava_video.train.tiny --out runs/tiny``. Four lessons, because joint training from
scratch learns to count and to order long before it learns which colour goes with which shape:

1. seeing: the vision encoder learns what each patch shows;
2. reading: the language model finds words and letters in lists, which choosing an option takes;
3. following: halfway through the language model, each video token tells who is there and which way
   it has moved; the vision encoder stays as it is from here on;
4. watching: the same, and questions about the clips are answered.

A run that is started again continues from its newest checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from llava_video.model import (
    LlavaVideoConfig,
    LlavaVideoForConditionalGeneration,
    LlavaVideoProcessor,
)
from llava_video.representation import VideoRepresentation
from llava_video.toyworld import COLOURS, SHAPES, generate_script
from llava_video.toyworld.words import DIRECTIONS
from llava_video.train.optimizer import MuonAdamWFactory
from llava_video.train.rows import LABEL_IGNORED
from llava_video.train.tokenizer import VIDEO, train_tokenizer
from llava_video.train.toyworld_data import (
    FIRST_TRAINING_SEED,
    ClipStream,
    ListCollator,
    PatchCollator,
    QuestionCollator,
    exchanges,
)

LEVEL = "simple"
REPRESENTATION = VideoRepresentation(max_frames=12, grid_side=8, slow_stride=3, pool_stride=2)
VOCABULARY_SIZE = 768
SEEING_RATE = 1e-3
"""Highest learning rate of the first lesson, which AdamW gives."""

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
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def build() -> tuple[LlavaVideoForConditionalGeneration, LlavaVideoProcessor]:
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
        video_representation=REPRESENTATION.to_dict(),
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
        video_representation=REPRESENTATION.to_dict(),
        add_time_instruction=False,
        max_positions=text["max_position_embeddings"],
    )
    return model, processor


def _texts() -> Iterator[str]:
    for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 2000):
        for exchange in exchanges(generate_script(seed=seed, level=LEVEL), seed, most=8):
            yield f"\n{exchange.question}"
            yield exchange.answer
    yield "assistant\n user\n system\nYou are a helpful assistant."


class PatchTeacher(nn.Module):
    """The vision encoder with three heads that say what each patch shows: colour, shape, offset."""

    def __init__(self, model: LlavaVideoForConditionalGeneration) -> None:
        super().__init__()
        self.vision_encoder = model.model.vision_encoder
        self.encode = model.model.encode_frames
        self.heads = nn.Linear(VISION["hidden_size"], len(COLOURS) + 1 + len(SHAPES) + 1 + 2)

    def forward(
        self, pixel_values: Tensor, colour: Tensor, shape: Tensor, offset: Tensor
    ) -> dict[str, Tensor]:
        """Loss over patches; the offset counts where somebody is."""
        scores = self.heads(self.encode(pixel_values))
        colours, shapes, offsets = scores.split([len(COLOURS) + 1, len(SHAPES) + 1, 2], dim=-1)
        occupied = (colour > 0).unsqueeze(-1)
        where = functional.smooth_l1_loss(offsets, offset, reduction="none", beta=0.05)
        loss = functional.cross_entropy(colours.flatten(0, 1), colour.flatten())
        loss = loss + functional.cross_entropy(shapes.flatten(0, 1), shape.flatten())
        loss = loss + 4 * (where * occupied).sum() / occupied.sum().clamp(min=1)
        seen = colour > 0
        right = (colours.argmax(-1) == colour) & (shapes.argmax(-1) == shape)
        return {"loss": loss, "right": right[seen].float().mean().detach()}


def _arguments(
    out: Path, max_steps: int, batch: int, rate: float, workers: int
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(out),
        max_steps=max_steps,
        per_device_train_batch_size=batch,
        learning_rate=rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": max_steps // 4},
        warmup_steps=min(200, max_steps // 10),
        weight_decay=0.05,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        logging_steps=50,
        save_steps=250,
        save_total_limit=2,
        dataloader_num_workers=workers,
        remove_unused_columns=False,
        ignore_data_skip=True,
        # Rows of a batch differ in length: frames of all clips stand in one tensor.
        accelerator_config={"dispatch_batches": False, "split_batches": False},
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        bf16=True,
        seed=0,
    )


class TokenTeacher(Trainer):
    """Asks of every video token, halfway through the language model, what it shows."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """Loss of what the tokens show, and of the answers where there are questions."""
        told = inputs.pop("token_labels")
        outputs = model(**inputs, output_hidden_states=True)
        halfway = outputs.hidden_states[TEXT["num_hidden_layers"] // 2]
        is_video = inputs["input_ids"] == model.config.video_token_id
        scores = model.token_heads(halfway[is_video]).split(_NUM_SCORES, dim=-1)
        losses = [
            functional.cross_entropy(
                score, label, score.new_tensor([_WEIGHT_OF_NONE] + [1.0] * size)
            )
            for score, label, size in zip(
                scores, told.flatten(0, 1).unbind(-1), _NUM_SHOWN, strict=True
            )
        ]
        asks = bool((inputs["labels"] != LABEL_IGNORED).any())
        return torch.stack([*losses, outputs.loss] if asks else losses).sum()


_NUM_SHOWN = [len(COLOURS), len(SHAPES), len(DIRECTIONS)]
_NUM_SCORES = [num + 1 for num in _NUM_SHOWN]
_WEIGHT_OF_NONE = 0.2  # most tokens show nobody, and most of the others somebody who stays


def _train(
    trainer_class: type[Trainer], module: nn.Module, arguments: TrainingArguments, collator: Any
) -> None:
    """Train, or go on from the newest checkpoint with clips that were not seen yet."""
    out = Path(str(arguments.output_dir))
    last = get_last_checkpoint(str(out)) if out.is_dir() else None
    done = int(last.rsplit("-", 1)[1]) if last else 0
    if done < arguments.max_steps:
        first_seed = FIRST_TRAINING_SEED + done * arguments.per_device_train_batch_size
        muon = (MuonAdamWFactory, {"lr": arguments.learning_rate})
        trainer = trainer_class(
            module,
            arguments,
            train_dataset=ClipStream(LEVEL, first_seed),
            data_collator=collator,
            optimizer_cls_and_kwargs=None if isinstance(module, PatchTeacher) else muon,
        )
        trainer.train(resume_from_checkpoint=last)
        trainer.save_model(str(out))
    load_model(module, out / "model.safetensors")


def main(
    out: Annotated[Path, typer.Option(help="Run folder; a run found there is continued.")],
    seeing_steps: Annotated[int, typer.Option(help="Steps of the first lesson.")] = 3800,
    reading_steps: Annotated[int, typer.Option(help="Steps of the second lesson.")] = 900,
    following_steps: Annotated[int, typer.Option(help="Steps of the third lesson.")] = 800,
    watching_steps: Annotated[int, typer.Option(help="Steps of the fourth lesson.")] = 5000,
    batch: Annotated[int, typer.Option(help="Clips per step.")] = 8,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 3e-3,
    questions: Annotated[int, typer.Option(help="Questions per clip and step.")] = 5,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    workers: Annotated[int, typer.Option(help="Processes that draw clips.")] = 1,
) -> None:
    """Train tiny from scratch and write it to OUT/tiny in bf16."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    model, processor = build()
    if not torch.cuda.is_available():
        model.model.language_model.set_attn_implementation("eager")  # faster than sdpa in bf16 here
    teacher = PatchTeacher(model)
    ask = QuestionCollator(processor, questions)
    see = PatchCollator(processor, model.config.grid_side, num_frames=6)
    model.token_heads = nn.Linear(TEXT["hidden_size"], sum(_NUM_SCORES))
    lessons: list[tuple[str, int, int, type[Trainer], nn.Module, Any]] = [
        ("seeing", seeing_steps, batch, Trainer, teacher, see),
        ("reading", reading_steps, 6 * batch, Trainer, model, ListCollator(processor, 8)),
        ("following", following_steps, batch, TokenTeacher, model, QuestionCollator(processor, 0)),
        ("watching", watching_steps, batch, TokenTeacher, model, ask),
    ]
    for name, steps, rows, trainer_class, module, collator in lessons:
        model.model.vision_encoder.requires_grad_(name == "seeing")
        highest = SEEING_RATE if name == "seeing" else rate
        arguments = _arguments(out / name, steps, rows, highest, workers)
        _train(trainer_class, module, arguments, collator)
    del model.token_heads
    model.model.language_model.set_attn_implementation("sdpa")
    model.to(torch.bfloat16).save_pretrained(out / "tiny")
    processor.save_pretrained(out / "tiny")


if __name__ == "__main__":
    typer.run(main)
