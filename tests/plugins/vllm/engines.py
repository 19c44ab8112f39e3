"""vLLM beside our own model: the same conversations, and the ids of both."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from llava_video.chat.local.media import MediaLoader
from llava_video.chat.protocol import Sampling
from llava_video.checkpoints.load import load
from llava_video.plugins.vllm.requests import make_request
from llava_video.representation import VideoRepresentation
from llava_video.types import Frames

NUM_NEW = 16


@dataclass(frozen=True)
class Ids:
    """Of a prompt and of its answer; how many of the prompt's vLLM had kept."""

    prompt: list[int]
    answer: list[int]
    num_cached: int = field(default=0, compare=False)


@contextmanager
def engine(directory: Path, **options: Any) -> Iterator[Any]:
    """vLLM's ``LLM``, alone in this process."""
    from vllm import LLM
    from vllm.distributed import cleanup_dist_env_and_memory

    settings = {"dtype": "float32", "enforce_eager": True, "max_model_len": 1024, "seed": 0}
    llm = LLM(str(directory), **{**settings, **options})
    try:
        yield weakref.proxy(llm)  # what a test still holds must not outlive the engine
    finally:
        del llm
        gc.collect()
        cleanup_dist_env_and_memory()


def turn(text: str, *media: Any) -> list[dict[str, Any]]:
    """A question about frames (4 dimensions) and pictures (3 dimensions)."""
    parts: list[dict[str, Any]] = []
    for each in media:
        if isinstance(each, Frames) or each.ndim == 4:
            parts.append({"type": "video", "video": as_frames(each)})
        else:
            parts.append({"type": "image", "image": each})
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def as_frames(video: Any) -> Frames:
    return video if isinstance(video, Frames) else Frames.from_array(video, fps=2.0)


class Own:
    """Our own model."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.model, self.processor = load(directory, **{"dtype": torch.float32, **options})
        self.model.generation_config.eos_token_id = None

    def answer(
        self,
        conversations: Sequence[Any],
        representation: VideoRepresentation | None = None,
        **options: Any,
    ) -> list[Ids]:
        """Answers one by one."""
        default = self.model.config.representation
        processor = self.processor.with_representation(representation or default)
        self.model.config.representation = representation or default
        answers = []
        for conversation in conversations:
            inputs = processor.apply_chat_template(conversation)
            generated = self.model.generate(
                **inputs, **{"max_new_tokens": NUM_NEW, "do_sample": False, **options}
            )[0].tolist()
            length = inputs["input_ids"].shape[1]
            answers.append(Ids(generated[:length], generated[length:]))
        self.model.config.representation = default
        return answers

    def ask(
        self,
        llm: Any,
        conversations: Sequence[Any],
        representation: VideoRepresentation | None = None,
        lora: Any = None,
        **options: Any,
    ) -> list[Ids]:
        """The same conversations through vLLM, as one batch."""
        from vllm import SamplingParams

        processor = self.processor
        if representation is not None:
            processor = processor.with_representation(representation)
        loader = MediaLoader(0)
        prompts = [
            make_request(
                conversation,
                loader.load(conversation, processor, Sampling())[0],
                processor,
                is_default=representation is None,
            ).prompt
            for conversation in conversations
        ]
        params = SamplingParams(
            **{"temperature": 0.0, "max_tokens": NUM_NEW, "ignore_eos": True, **options}
        )
        outputs = llm.generate(prompts, params, use_tqdm=False, lora_request=lora)
        return [
            Ids(list(o.prompt_token_ids), list(o.outputs[0].token_ids), o.num_cached_tokens or 0)
            for o in outputs
        ]
