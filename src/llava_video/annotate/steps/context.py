"""What every step that asks a model needs: the recipe and the way to call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from llava_video.annotate.recipe import Recipe
from llava_video.annotate.records import Rejection, VideoRecord
from llava_video.annotate.steps.prompts import Prompt, load_prompt
from llava_video.calls.ledger import Tries
from llava_video.calls.messages import Part, Reply, Request, Schema, Subject
from llava_video.errors import LlavaVideoError

Stage = Literal["level1", "level2", "level3", "open_ended", "multi_choice", "faithfulness", "blind"]
"""The steps that ask, as the ledger and prompts name them."""


class AnswerError(LlavaVideoError):
    """A model answered, and the answer cannot be used.

    Attributes:
        reason: one word for counting.
        raw_text: what the model wrote.
        before: the answers of the tries before, each with its reason.
    """

    def __init__(
        self, reason: str, message: str, raw_text: str, before: tuple[Rejection, ...] = ()
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.raw_text = raw_text
        self.before = before


_SAMPLES_PER_REDO = 1000


class WaitingError(LlavaVideoError):
    """An answer of a batch is not there yet; the video resumes in a later wave."""


class CanCall(Protocol):
    """`caller.Caller`, or one that collects requests for batch files."""

    async def call(self, request: Request) -> Reply:
        """The committed answer to a request."""
        ...


@dataclass(frozen=True, slots=True)
class StepContext:
    """Context of the steps: the recipe, and the caller of the annotator.

    Attributes:
        recipe: of the run.
        caller: sends requests and commits answers.
        tries: how often videos were asked about before, where it was more than once.
    """

    recipe: Recipe
    caller: CanCall
    tries: Mapping[str, Tries] = field(default_factory=dict)

    def prompt(self, name: str) -> Prompt:
        """A prompt of the recipe's folder, or of the package."""
        return load_prompt(name, self.recipe.prompts)

    def num_samples(self, record: VideoRecord, max_retries: int) -> int:
        """How many answers to one question may be tried, those of earlier runs included.

        Runs that ended without an answer that could be used have tried as many before, so that this
        one asks as often again.
        """
        rounds = self.tries.get(record.video_id, Tries()).num_rounds
        return (rounds + 1) * (max_retries + 1)

    def request(
        self,
        *,
        stage: Stage,
        record: VideoRecord,
        prompt: str,
        system: str,
        parts: tuple[Part, ...],
        subject: Subject,
        schema: Schema | None = None,
        sample: int = 0,
        model: str | None = None,
        is_trial: bool = False,
    ) -> Request:
        """A request with the recipe's model and parameters.

        Once a user had a video redone, its samples are other ones than before.
        """
        sample += _SAMPLES_PER_REDO * self.tries.get(record.video_id, Tries()).num_redos
        settings = self.recipe.endpoint
        params: dict[str, Any] = {"temperature": settings.temperature, "seed": settings.seed}
        if settings.seed is not None:
            params["seed"] = settings.seed + sample
        sent = {name: value for name, value in params.items() if value is not None}
        return Request(
            stage=stage,
            item_id=record.video_id,
            model=model or settings.model,
            prompt=prompt,
            system=system,
            parts=parts,
            params=tuple((sent | settings.extra_body).items()),
            max_output_tokens=settings.max_output_tokens,
            schema=schema,
            structured=settings.structured,
            sample=sample,
            subject=subject,
            is_trial=is_trial,
        )
