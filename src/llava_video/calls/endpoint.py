"""The settings of an endpoint, as recipes give them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from llava_video.recipes import Section


class Endpoint(Section):
    """The annotator: any OpenAI-compatible endpoint, or `toy`."""

    model: str = "gpt-4o-2024-05-13"
    """Model name, or ``toy``."""
    base_url: str | None = None
    """Address of an OpenAI-compatible endpoint; empty: `OPENAI_BASE_URL`, else OpenAI's."""
    query: dict[str, str] = Field(default_factory=dict)
    """Values of the query of every request, such as Azure's `api-version`."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Further headers of every request; `${NAME}` is the environment variable NAME."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key."""
    api_key_header: str | None = None
    """Header that carries the key; empty: `Authorization`, or `api-key` for Azure."""
    concurrency: int = Field(default=16, ge=1)
    """Calls at a time."""
    rpm: float | None = Field(default=None, gt=0)
    """Requests per minute; empty: as the endpoint's headers say."""
    tpm: float | None = Field(default=None, gt=0)
    """Tokens per minute; empty: as the endpoint's headers say."""
    timeout_seconds: float = Field(default=120.0, gt=0)
    """Longest wait for one answer."""
    attempts: int = Field(default=8, ge=1)
    """Attempts at one call."""
    max_wait_seconds: float = Field(default=60.0, ge=0)
    """Longest wait between two attempts, where the endpoint does not ask for another."""
    give_up_after_seconds: float = Field(default=120.0, ge=0)
    """The run stops when an endpoint that has answered before fails for this long."""
    temperature: float | None = None
    """Sampling temperature; empty: not sent."""
    seed: int | None = None
    """Sampling seed; empty: not sent."""
    max_output_tokens: int = Field(default=2048, ge=16)
    """Longest answer, thoughts of reasoning models included."""
    limit_field: Literal["auto", "max_completion_tokens", "max_tokens", "none"] = "auto"
    """The field that sends the longest answer; auto: the one that the endpoint does not refuse."""
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How JSON answers are requested."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields of every request, as they are sent."""
    probe: bool = True
    """Whether a run first sends one small call of each kind."""
    prices_file: str | None = None
    """A table of prices over the one in the package (JSON)."""
