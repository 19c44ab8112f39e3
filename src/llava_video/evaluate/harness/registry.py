"""What inspect_ai finds here by its entry point: a task per benchmark, and two providers.

inspect eval llava_video/nextqa --model llava_video/DIR -T videos=DIR -T annotations=FILE
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.model import ModelAPI, modelapi

from llava_video.evaluate.asked import ask_all
from llava_video.evaluate.extraction import OWN
from llava_video.evaluate.harness.build import build_task
from llava_video.evaluate.harness.kept_answers import KeptAnswers
from llava_video.evaluate.source import load_questions
from llava_video.evaluate.tasks import BENCHMARKS


@modelapi(name="llava_video")
def llava_video() -> type[ModelAPI]:
    """Models of this project."""
    from llava_video.evaluate.harness.provider import LlavaVideoAPI

    return LlavaVideoAPI


@modelapi(name="llava_video_judge")
def llava_video_judge() -> type[ModelAPI]:
    """Judges whose calls are in a ledger."""
    from llava_video.evaluate.harness.judge_provider import JudgeAPI

    return JudgeAPI


def _register(name: str) -> Callable[..., Task]:
    @task(name=name.replace("-", "_"))
    def make(
        videos: str | None = None,
        annotations: str | None = None,
        prompts: str | None = None,
        limit: int | None = None,
        extraction: str = OWN,
        answers: str | None = None,
        wordnet: str | None = None,
    ) -> Task:
        benchmark = BENCHMARKS[name]
        loaded = load_questions(
            benchmark,
            annotations=Path(annotations) if annotations else None,
            videos=Path(videos) if videos else None,
            limit=limit,
            made_in=Path(f"{name}-made"),
        )
        asked = ask_all(benchmark, loaded.questions, loaded.folder, prompts=prompts)
        return build_task(
            benchmark,
            asked,
            extraction=extraction,
            kept=KeptAnswers(Path(answers)) if answers else None,
            wordnet=wordnet,
        )

    return make


TASKS = {name: _register(name) for name in BENCHMARKS}
"""By name on the command line; inspect_ai's names have ``_`` where these have ``-``."""
