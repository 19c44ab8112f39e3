"""``generate``: continuing prompts with videos and images in them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin

from llava_video.errors import InputError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.decoding import RecordedDecoding, fixed_cache
from llava_video.model.logits import answer_processors
from llava_video.model.media_inputs import MEDIA_INPUTS
from llava_video.model.outputs import CACHE

_ASSISTANTS = ("assistant_model", "assistant_early_exit", "use_mtp")
"""Options that let another network propose tokens; it would not see the video."""

_STOPPING = ("stop_strings", "stopping_criteria")
"""Conditions that transformers looks at once for all tokens that prompt lookup found right."""


class AnswerGeneration(GenerationMixin):
    """``generate`` of a model that embeds its videos and images before decoding starts."""

    config: LlavaVideoConfig
    model: Any
    get_input_embeddings: Callable[[], Any]

    @torch.no_grad()
    def generate(
        self, inputs: Tensor | None = None, *, input_ids: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Continue prompts, with what `LlavaVideoProcessor` returns and transformers' options.

        Each video and image is encoded once, before decoding starts, whatever the number of beams
        or samples. ``repetition_penalty``, which the released generation_config.json sets to 1.05,
        applies to generated tokens only, as in the official code; 1.0 switches it off.
        On a GPU decoding is recorded as one graph (see `decoding`), unless a cache is chosen. With
        a cache that holds the media, ``input_ids`` may be what follows them.

        Values that are not given are those of the ``generation_config`` that is given, then those
        of the model's. ``prompt_lookup_num_tokens`` gives the tokens of greedy decoding.

        Returns:
            ``(B, L + new)`` ids: the prompt, placeholders included, and what follows it.

        Raises:
            InputError: an option that this model cannot follow; see `_refuse`.
        """
        input_ids = inputs if input_ids is None else input_ids
        media = {name: kwargs.pop(name) for name in MEDIA_INPUTS if name in kwargs}
        option = self.option_lookup(kwargs)
        _refuse(option, num_rows=0 if input_ids is None else len(input_ids))
        mask = kwargs.get("attention_mask")
        if mask is not None and mask.ndim == 2 and not mask[:, -1].all():
            raise InputError(
                "rows are padded on the right, where their answers begin; make them with "
                "padding_side='left'"
            )
        continues = not media and kwargs.get(CACHE) is not None
        if input_ids is not None and "inputs_embeds" not in kwargs and not continues:
            types = media.get("mm_token_type_ids")
            kwargs["inputs_embeds"] = self.model.embed(
                input_ids, *self.model.encode_media(**media), types
            )
        # A placeholder stands for a video that was given; the model cannot write one.
        suppressed = {self.config.video_token_id, *(option("suppress_tokens") or ())}
        kwargs["suppress_tokens"] = sorted(suppressed)
        kwargs["logits_processor"] = [
            *answer_processors(
                option("repetition_penalty"),
                num_prompt_tokens=0 if input_ids is None else input_ids.shape[1],
                dtype=self.dtype,
            ),
            *(kwargs.get("logits_processor") or ()),
        ]
        kwargs["repetition_penalty"] = 1.0  # transformers' own applies to the prompt too
        prompt = kwargs["inputs_embeds"] if input_ids is None else input_ids
        cache = fixed_cache(self, prompt.shape[1], option)
        if cache is not None:
            kwargs[CACHE] = cache
        return super().generate(input_ids, **kwargs)

    def option_lookup(self, given: dict[str, Any]) -> Callable[[str], Any]:
        """Looks up options: as given, of the configuration that is given, of the model's."""
        configurations = [given.get("generation_config"), self.generation_config]

        def option(name: str) -> Any:
            if given.get(name) is not None:
                return given[name]
            values = (getattr(settings, name, None) for settings in configurations)
            return next((value for value in values if value is not None), None)

        return option

    # transformers takes the names of valid options from the signature, which differs by version.
    @functools.wraps(GenerationMixin.prepare_inputs_for_generation)
    def prepare_inputs_for_generation(
        self, input_ids: Tensor, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Inputs of one forward pass.

        Prompt lookup proposes tokens behind the prompt already in the first one; transformers would
        leave them out where the prompt comes embedded.
        """
        if inputs_embeds is not None and kwargs.get("is_first_iteration"):
            proposed = input_ids[:, inputs_embeds.shape[1] :]
            if proposed.shape[1]:
                embeddings = self.get_input_embeddings()(proposed)
                inputs_embeds = torch.cat([inputs_embeds, embeddings.to(inputs_embeds)], dim=1)
        return super().prepare_inputs_for_generation(
            input_ids, *args, inputs_embeds=inputs_embeds, **kwargs
        )

    def get_compiled_call(self, compile_config: Any) -> Any:
        """What ``generate`` calls for each token of a cache with fixed addresses."""
        records = compile_config is None and self.device.type == "cuda"
        return RecordedDecoding(self) if records else super().get_compiled_call(compile_config)


def _refuse(option: Callable[[str], Any], *, num_rows: int) -> None:
    """Refuse options that would give other tokens than the same decoding without them.

    Raises:
        InputError: there is one.
    """
    for name in _ASSISTANTS:
        if option(name):
            raise InputError(
                f"{name} cannot be followed: an assistant does not see the video; leave it out, or "
                "give prompt_lookup_num_tokens, which needs no second model"
            )
    if not option("prompt_lookup_num_tokens"):
        return
    if num_rows != 1:
        raise InputError(
            f"prompt_lookup_num_tokens looks into the input_ids of one prompt, not of {num_rows}; "
            "give prompts one by one"
        )
    for name in _STOPPING:
        if option(name):
            raise InputError(
                f"{name} stops later with prompt_lookup_num_tokens; give one of the two"
            )
