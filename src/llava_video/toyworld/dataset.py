"""Make a folder of videos with scripts, and questions about them in the LLaVA JSON format.

OUT/settings.json            with what the folder was made
OUT/videos/NAME.mp4          a video
OUT/videos/NAME.script.txt   its whole truth, written last: a video with a script is complete
OUT/toyworld_cap.json        descriptions          LLaVA format, one record per video
OUT/toyworld_oe.json         open-ended questions  LLaVA format, one record per video
OUT/toyworld_mc.json         multiple choice       LLaVA format, one record per video
OUT/questions.jsonl          all questions with type, kind and needs, one a line
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np

from llava_video.errors import InputError
from llava_video.records.duration_buckets import bucket_of
from llava_video.records.files import write_whole, writing
from llava_video.records.json_lines import dump_json, dump_lines
from llava_video.records.llava_format import make_record
from llava_video.records.options import (
    LETTER_ENDING,
    OPTION_ENDING,
    answer_by_letter,
    answer_by_option,
)
from llava_video.toyworld.captions.captions import describe
from llava_video.toyworld.draw.render import num_frames_of, render_at
from llava_video.toyworld.entry import generate_script, make_questions
from llava_video.toyworld.questions.question import Question
from llava_video.toyworld.script import Script, format_script, script_path_of

_CHUNK = 32  # frames drawn together
_DESCRIBE_PROMPTS = (
    "Describe the video.",
    "What happens in the video?",
    "Please tell what this video shows.",
)


@dataclass(frozen=True, slots=True)
class DatasetSettings:
    """What the videos of a folder have in common.

    Attributes:
        seed: the first script's seed; the others follow.
        level: one of `llava_video.toyworld.LEVELS`.
        width: columns of the pictures, even.
        height: rows, even.
        fps: frames per second.
        seconds: length of the videos, or None for what the level likes.
    """

    seed: int = 0
    level: str = "standard"
    width: int = 224
    height: int = 224
    fps: float = 10.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or min(self.width, self.height) < 32:
            raise InputError(
                f"videos of {self.width} x {self.height} cannot be written; use even sides from 32"
            )
        if not 1 <= self.fps <= 120:
            raise InputError(f"{self.fps} frames per second cannot be made; use 1 to 120")

    def script(self, number: int) -> Script:
        """The script of one video of the folder."""
        return generate_script(
            self.seed + number,
            self.level,
            aspect=self.width / self.height,
            seconds=self.seconds,
        )

    def video(self, number: int) -> str:
        """Path of one video in the folder."""
        return f"videos/toyworld_{self.level}_{self.seed + number:07d}.mp4"


def make_dataset(
    folder: Path, num_videos: int, settings: DatasetSettings, *, num_workers: int = 1
) -> Iterator[bool]:
    """Make or complete a folder. Nothing happens unless the result is iterated over.

    Args:
        folder: where to; may hold a part of the same videos already.
        num_videos: how many.
        settings: what the videos are like.
        num_workers: processes that draw.

    Yields:
        For each video, in order, whether it had to be made; the JSON files are written at the end.

    Raises:
        InputError: the folder was made with other settings.
    """
    _claim(folder, settings)
    make = partial(_make_video, folder, settings)
    if num_workers > 1:
        with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
            yield from pool.map(make, range(num_videos))
    else:
        yield from map(make, range(num_videos))
    _write_json(folder, num_videos, settings)


def _claim(folder: Path, settings: DatasetSettings) -> None:
    """Note the settings in the folder, or compare them with those noted before."""
    path = folder / "settings.json"
    text = json.dumps(asdict(settings), indent=2) + "\n"
    try:
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise InputError(f"{path}: the folder was made with other settings; choose another one")
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror}") from error


def _make_video(folder: Path, settings: DatasetSettings, number: int) -> bool:
    path = folder / settings.video(number)
    if script_path_of(path).exists():
        return False
    script = settings.script(number)
    with writing(path) as unfinished:
        write_video(script, unfinished, (settings.width, settings.height), settings.fps)
    write_whole(script_path_of(path), format_script(script))
    return True


def write_video(script: Script, path: Path, size: tuple[int, int], fps: float) -> None:
    """Draw a script into an H.264 file.

    Args:
        script: what happens.
        path: the file, an mp4.
        size: width and height in pixels, both even.
        fps: frames per second.
    """
    num_frames = num_frames_of(script, fps)
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        stream.codec_context.thread_count = 1  # so that the file is the same on every machine
        for start in range(0, num_frames, _CHUNK):
            numbers = np.arange(start, min(start + _CHUNK, num_frames), dtype=np.int64)
            for picture in render_at(script, numbers / fps, size, frame_numbers=numbers):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _write_json(folder: Path, num_videos: int, settings: DatasetSettings) -> None:
    records: dict[str, list[dict[str, Any]]] = {"cap": [], "oe": [], "mc": []}
    lines: list[dict[str, Any]] = []
    for number in range(num_videos):
        script, video = settings.script(number), settings.video(number)
        questions = make_questions(script)
        turns = {
            "cap": [_caption_turn(script)],
            "oe": [(q.prompt_open_ended(), q.answer) for q in questions if not q.options],
            "mc": [_choice_turn(q, script.seed) for q in questions if q.options],
        }
        for kind, pairs in turns.items():
            if pairs:
                records[kind].append(_record(video, script, pairs))
        lines += [{"video": video, **question.to_dict()} for question in questions]
    for kind, entries in records.items():
        write_whole(folder / f"toyworld_{kind}.json", dump_json(entries, indent=1) + "\n")
    write_whole(folder / "questions.jsonl", dump_lines(lines))


def _record(video: str, script: Script, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    source = f"{bucket_of(script.duration_seconds)}_toyworld"
    return make_record(Path(video).stem, pairs, data_source=source, video=video)


def _caption_turn(script: Script) -> tuple[str, str]:
    prompt = random.Random(f"caption {script.seed}").choice(_DESCRIBE_PROMPTS)
    return prompt, describe(script, 0.0, script.duration_seconds, script.seed, level=3)


def _choice_turn(question: Question, seed: int) -> tuple[str, str]:
    """Half of the turns want the letter alone, half the letter with the option."""
    letter = question.answer_letter
    if random.Random(f"ending {seed} {question.question}").random() < 0.5:
        return question.prompt_multiple_choice(ending=LETTER_ENDING), answer_by_letter(letter)
    answer = answer_by_option(letter, question.answer)
    return question.prompt_multiple_choice(ending=OPTION_ENDING), answer
