"""Out-of-domain clips as video files, with questions that only toyworld could answer.

OUT/videos/noise_NNNNNNN.mp4    a clip drawn from noise
OUT/questions.jsonl             questions about toyworld's videos, put to these clips
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from llava_video.errors import InputError
from llava_video.records.files import write_whole, writing
from llava_video.records.json_lines import dump_lines
from llava_video.toyworld.draw.noise_clips import noise_clip
from llava_video.toyworld.entry import generate_script, make_questions

FILE = "questions.jsonl"
NUM_FRAMES = 24
FPS = 2
SIDE = 224
_REPEATABLE = "rc-lookahead=0:mbtree=0"  # looking ahead, x264 encodes noise otherwise each time


def make_noise_dataset(folder: Path, num_videos: int, level: str) -> Path:
    """Make clips and questions, or complete them.

    Args:
        folder: where to.
        num_videos: how many clips; their seeds are held out, as training takes others.
        level: of the scripts that the questions are about.

    Returns:
        The file of questions.

    Raises:
        InputError: the folder cannot be written to.
    """
    lines = []
    try:
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        for number in range(num_videos):
            name = f"videos/noise_{number:07d}.mp4"
            if not (folder / name).exists():
                with writing(folder / name) as unfinished:
                    _write_clip(number, unfinished)
            asked = make_questions(generate_script(number, level))
            lines += [{"video": name, **question.to_dict()} for question in asked]
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror}") from error
    write_whole(folder / FILE, dump_lines(lines))
    return folder / FILE


def _write_clip(seed: int, path: Path) -> None:
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "x264-params": _REPEATABLE}
        stream.codec_context.thread_count = 1  # so that the file is the same on every machine
        for picture in noise_clip(seed, NUM_FRAMES, SIDE).pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
