"""The settings of an endpoint, as recipes give them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Endpoint(BaseModel):
    """The annotator: any OpenAI-compatible endpoint, or `toy`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "gpt-4o-2024-05-13"
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = Field(default=16, ge=1)
    rpm: float | None = Field(default=None, gt=0)
    tpm: float | None = Field(default=None, gt=0)
    timeout_seconds: float = Field(default=120.0, gt=0)
    attempts: int = Field(default=8, ge=1)
    max_wait_seconds: float = Field(default=60.0, ge=0)
    give_up_after_seconds: float = Field(default=120.0, ge=0)
    temperature: float | None = None
    seed: int | None = None
    max_output_tokens: int = Field(default=2048, ge=16)
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    extra_body: dict[str, Any] = Field(default_factory=dict)
    prices_file: str | None = None
