"""Open all media of a mixture, and count the tokens of every sample."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.progress import track

from llava_video.errors import InputError, VideoError
from llava_video.processing.media import Medium
from llava_video.train.data.encode import Encoder
from llava_video.train.data.samples import Sample

_NUM_THREADS = 8  # more than there are cores: files are waited for


def measure(encoder: Encoder, samples: Sequence[Sample]) -> list[int | str]:
    """Tokens of each sample, or why it cannot be used.

    Every video and image is opened once, however many samples show it.
    """
    media = list(dict.fromkeys(medium for sample in samples for medium in sample.media))
    bar: dict[str, Any] = {
        "console": Console(stderr=True),
        "transient": True,
        "disable": not sys.stderr.isatty(),
    }

    def fault(medium: Medium) -> str | None:
        try:
            encoder.open(medium)
        except (VideoError, InputError) as error:
            return str(error)
        return None

    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        opened = pool.map(fault, media)
        faults = list(track(opened, "opening videos and images", len(media), **bar))
    broken = {medium: why for medium, why in zip(media, faults, strict=True) if why is not None}

    def length_of(sample: Sample) -> int | str:
        why = next((broken[medium] for medium in sample.media if medium in broken), None)
        try:
            return why or encoder.measure(sample)
        except InputError as error:
            return str(error)

    return [length_of(sample) for sample in track(samples, "counting tokens", **bar)]
