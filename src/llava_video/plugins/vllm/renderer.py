"""The renderer: conversations become token ids by `PromptRenderer`, not by a template of text.

Text of users therefore never becomes a control token, and media stand where their parts stand.
"""

from __future__ import annotations

from typing import Any

from vllm.config import VllmConfig
from vllm.renderers.base import BaseRenderer
from vllm.renderers.params import ChatParams
from vllm.utils.async_utils import make_async

from llava_video.errors import InputError
from llava_video.plugins.vllm.placement import Placement
from llava_video.plugins.vllm.representation import OPTION, representation_of

try:
    from vllm.renderers.chat_utils import parse_chat_messages, parse_chat_messages_async
except ImportError:  # 0.31
    from vllm.entrypoints.chat_utils import parse_chat_messages, parse_chat_messages_async

_NOT_THERE = ("tools", "documents")


class LlavaVideoRenderer(BaseRenderer[Any]):
    """vLLM's renderer of our models."""

    def __init__(self, config: VllmConfig, tokenizer: Any) -> None:
        super().__init__(config, tokenizer)
        placeholder = self.model_config.hf_config.video_token_id
        self._placement = Placement(self.get_tokenizer(), placeholder)
        self._render_async = make_async(self._render, executor=self._executor)

    def render_messages(
        self, messages: list[Any], params: ChatParams
    ) -> tuple[list[Any], dict[str, Any]]:
        conversation, data, uuids = parse_chat_messages(
            messages, self.model_config, **self._parsing(params)
        )
        return conversation, _prompt(self._render(conversation, params), data, uuids)

    async def render_messages_async(
        self, messages: list[Any], params: ChatParams
    ) -> tuple[list[Any], dict[str, Any]]:
        conversation, data, uuids = await parse_chat_messages_async(
            messages, self.model_config, **self._parsing(params)
        )
        return conversation, _prompt(await self._render_async(conversation, params), data, uuids)

    def _parsing(self, params: ChatParams) -> dict[str, Any]:
        """How the media of a request are loaded."""
        wanted = dict(params.mm_processor_kwargs or {})
        loading = dict(params.media_io_kwargs or {})
        own = self.model_config.multimodal_config.media_io_kwargs
        for kind in ("video", "image"):
            loading[kind] = {**own[kind], **loading.get(kind, {})}
        if OPTION in wanted:
            representation = representation_of(wanted, self.model_config.hf_config)
            loading["video"]["max_frames"] = representation.max_frames
        return {
            "content_format": "openai",
            "media_io_kwargs": loading,
            "mm_processor_kwargs": params.mm_processor_kwargs,
        }

    def _render(self, conversation: list[Any], params: ChatParams) -> list[int]:
        options = params.chat_template_kwargs or {}
        for name in _NOT_THERE:
            if options.get(name):
                raise InputError(f"this model was trained without {name}; leave them out")
        continues = bool(options.get("continue_final_message"))
        return self._placement.render(
            conversation,
            add_generation_prompt=options.get("add_generation_prompt", not continues),
            continue_final_message=continues,
        )


def _prompt(token_ids: list[int], data: Any, uuids: Any) -> dict[str, Any]:
    prompt: dict[str, Any] = {"prompt_token_ids": token_ids}
    if data is not None:
        prompt["multi_modal_data"] = data
    if uuids is not None:
        prompt["multi_modal_uuids"] = uuids
    return prompt
