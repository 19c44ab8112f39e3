"""inspect_ai's provider ``llava_video_judge/MODEL``: every call is in a ledger, under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput
from inspect_ai.tool import ToolChoice, ToolInfo

from llava_video.calls.caller import ENDS_THE_RUN, Caller
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.ledger import Ledger
from llava_video.calls.make_annotator import check_endpoint, make_annotator
from llava_video.calls.messages import Request
from llava_video.calls.pricing import load_prices
from llava_video.errors import LlavaVideoError

ATTEMPT = "llava_video_attempt"
"""Key of ``extra_body`` for the number of the attempt: the same question, asked again."""


class JudgeAPI(ModelAPI):
    """A judge behind an OpenAI-compatible endpoint.

    Args:
        model_name: as the endpoint knows it.
        base_url: address of the endpoint; OpenAI's by default.
        api_key: not used; the key is in the environment.
        config: of inspect_ai.
        ledger: SQLite file that keeps every call.
        max_usd: what all calls together may cost.
        attempts: at one call.

    Attributes:
        error: why no call can be made any more, such as a budget that is spent.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        ledger: str = "judge.sqlite",
        max_usd: float | None = None,
        attempts: int = 8,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self.settings = Endpoint(
            model=model_name, base_url=base_url, temperature=0.0, attempts=attempts
        )
        check_endpoint(self.settings)
        self.error: LlavaVideoError | None = None
        Path(ledger).parent.mkdir(parents=True, exist_ok=True)
        self._ledger = Ledger(Path(ledger), max_usd)
        self._caller = Caller(
            make_annotator(self.settings), self._ledger, self.settings, load_prices()
        )

    def max_connections(self) -> int:
        """Calls at a time."""
        return self.settings.concurrency

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """One judgement, from the ledger if it is there."""
        texts = {message.role: message.text for message in input}
        params: tuple[tuple[str, Any], ...] = (("temperature", config.temperature or 0.0),)
        request = Request(
            stage="judge",
            item_id="judge",
            model=self.model_name,
            prompt="judge",
            system=texts.get("system", ""),
            parts=(texts["user"],),
            params=params,
            max_output_tokens=config.max_tokens or 64,
            sample=(config.extra_body or {}).get(ATTEMPT, 0),
        )
        try:
            reply = await self._caller.call(request)
        except ENDS_THE_RUN as error:
            self.error = error
            raise
        return ModelOutput.from_content(self.model_name, reply.text)

    def should_retry(self, ex: BaseException) -> bool:
        """Never: the caller has its own attempts."""
        return False

    def close(self) -> None:
        """Close the ledger, which one process uses at a time."""
        self._ledger.close()
