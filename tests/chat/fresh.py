"""Answers of a model that keeps nothing: what `LocalModel` is compared with."""

from typing import Any

import torch

from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import AnswerOptions, Conversation

TIE = 1e-4
"""Two tokens whose scores are closer may change places where sums are taken in another order."""


def fresh_answer(
    model: LocalModel, conversation: Conversation, options: AnswerOptions
) -> tuple[str, int, float]:
    """Text, number of tokens, and the smallest margin between the two best tokens of any step."""
    network, processor = model.network, model.processor
    own = network.config.representation
    choices: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
    if options.temperature > 0:
        choices = {
            "do_sample": True,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": options.top_k or 0,
        }
        torch.manual_seed(options.seed or 0)
    if options.repetition_penalty is not None:
        choices["repetition_penalty"] = options.repetition_penalty
    try:
        if options.representation is not None:
            processor = processor.with_representation(options.representation)
            network.config.representation = options.representation
        inputs = processor.apply_chat_template(conversation)
        output = network.generate(
            **inputs,
            **choices,
            max_new_tokens=options.max_new_tokens,
            output_scores=True,
            return_dict_in_generate=True,
        )
    finally:
        network.config.representation = own
    num_prompt_tokens = inputs["input_ids"].shape[1]
    best = torch.stack(output.scores).topk(2, -1).values
    margin = (best[..., 0] - best[..., 1]).min()
    ids = output.sequences[0]
    return processor.decode_answer(ids, num_prompt_tokens), len(ids) - num_prompt_tokens, margin


def user(*parts: Any) -> dict[str, Any]:
    """A turn of the user: texts, and parts of media."""
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": "user", "content": content}


def assistant(text: str) -> dict[str, Any]:
    """A turn of the assistant."""
    return {"role": "assistant", "content": text}


def video(source: Any) -> dict[str, Any]:
    """A video part."""
    return {"type": "video", "video": source}
