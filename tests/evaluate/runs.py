"""Small evaluations for tests: own questions about drawn videos, answered by a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from inspect_ai.model import Model, get_model

from llava_video.chat.protocol import Conversation
from llava_video.chat.scripted import ScriptedModel
from llava_video.evaluate.harness import registry  # noqa: F401  registers the providers
from llava_video.toyworld import generate_script
from llava_video.toyworld.dataset import write_video

OPTIONS = ("cat", "dog", "owl")


def write_questions(folder: Path, num_videos: int = 4, per_video: int = 3) -> Path:
    """Videos ``v0.mp4`` ..., and questions ``v0 q0?`` ... about them; right are A, B, C in turn."""
    rows = []
    for video in range(num_videos):
        path = folder / f"v{video}.mp4"
        if not path.exists():
            write_video(generate_script(video, seconds=5), path, (64, 64), 2)
        rows += [
            {
                "id": f"v{video}-{n}", "video": path.name, "question": f"v{video} q{n}?",
                "options": list(OPTIONS), "answer": "ABC"[n % 3], "type": f"t{n % 2}",
            }
            for n in range(per_video)
        ]  # fmt: skip
    # Questions of one video are apart, as in real files.
    rows.sort(key=lambda row: row["id"][-1])
    file = folder / "questions.json"
    file.write_text(json.dumps(rows))
    return file


def text_of(conversation: Conversation) -> str:
    """The text of the last message."""
    return "".join(part.get("text", "") for part in conversation[-1]["content"])


def video_of(conversation: Conversation) -> object:
    """The video of the last message, or None."""
    parts = conversation[-1]["content"]
    return next((part["video"] for part in parts if part["type"] == "video"), None)


def scripted(answer: Callable[[str], str], **settings: object) -> tuple[Model, ScriptedModel]:
    """A model of inspect_ai that answers a prompt by a function."""
    script = ScriptedModel(lambda conversation, options: answer(text_of(conversation)))
    return get_model("llava_video/scripted", memoize=False, chat_model=script, **settings), script
