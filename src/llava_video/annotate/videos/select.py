"""Which videos are worth annotating: the paper's dynamic-video filter, and near-duplicates."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray
from pydantic import TypeAdapter

from llava_video.annotate.recipe import Recipe, Selection
from llava_video.annotate.records import Facts, VideoRecord
from llava_video.annotate.videos.near_duplicates import (
    HASH_FRAMES,
    HASH_SIDE,
    Notice,
    near_duplicates,
)
from llava_video.calls.ledger import Ledger
from llava_video.errors import LlavaVideoError, VideoError
from llava_video.video import probe_video, read_video

logging.getLogger("pyscenedetect").addHandler(logging.NullHandler())

# One wrong timestamp can make a short file years long, with a call for every ten seconds.
_LEAST_FPS = 1 / 60
FACTS = TypeAdapter(Facts)

Measure = Callable[[list[tuple[VideoRecord, Selection]]], Iterator[tuple[int, VideoRecord]]]
"""Measures videos by their rules; each comes back with its position, in any order."""


def fingerprint(path: str, rules: Selection) -> str:
    """Name of a file's facts for the ledger: path, size and time, and how scenes are counted."""
    stat = Path(path).stat()
    text = f"{Path(path).resolve()} {stat.st_size} {stat.st_mtime_ns}"
    text += f" {rules.scene_detector} {rules.scene_threshold}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def measure(record: VideoRecord, rules: Selection) -> VideoRecord:
    """The record with its facts, or rejected because the file cannot be read.

    Facts that the record has already are not measured again. Scenes are counted, and frames hashed,
    only when the other limits do not reject the video already.
    """
    if not Path(record.path).is_file():
        return record.rejected("select", "missing_file", Path(record.path).name)
    try:
        facts = record.facts or _probe(record.path)
        if judge(facts, rules) is None:
            if rules.drop_near_duplicates and not facts.frame_hash:
                frame_hash, warnings = _frame_hash(record.path)
                warnings = tuple(dict.fromkeys(facts.warnings + warnings))
                facts = dataclasses.replace(facts, frame_hash=frame_hash, warnings=warnings)
            if rules.needs_scenes and facts.num_scenes is None:
                facts = dataclasses.replace(facts, num_scenes=count_scenes(record.path, rules))
    except (LlavaVideoError, FFmpegError, OSError) as error:
        return record.rejected("select", "unreadable", record.in_words(error))
    return dataclasses.replace(record, facts=facts).warned(facts.warnings)


def _probe(path: str) -> Facts:
    info = probe_video(path)
    return Facts(
        *(info.duration_seconds, info.width, info.height, info.average_fps),
        warnings=info.warnings,
        is_variable_rate=info.is_variable_rate,
    )


def judge(facts: Facts, rules: Selection) -> tuple[str, str] | None:
    """The first limit that a video breaks, with the numbers; None where it passes."""
    if facts.average_fps < _LEAST_FPS:
        num_frames = round(facts.duration_seconds * facts.average_fps)
        return "too_few_frames", f"{num_frames} frames in {facts.duration_seconds:.0f} s"
    if facts.duration_seconds < rules.min_seconds:
        return "too_short", f"{facts.duration_seconds:.1f} s < {rules.min_seconds:g} s"
    if rules.max_seconds is not None and facts.duration_seconds > rules.max_seconds:
        return "too_long", f"{facts.duration_seconds:.1f} s > {rules.max_seconds:g} s"
    shorter = min(facts.width, facts.height)
    if shorter <= rules.over_height:
        size = f"{facts.width} x {facts.height}"
        return "low_resolution", f"{size}: shorter side {shorter} <= {rules.over_height}"
    if facts.num_scenes is None or not rules.needs_scenes:
        return None
    if rules.over_scenes is not None and facts.num_scenes <= rules.over_scenes:
        return "static", f"{facts.num_scenes} scenes <= {rules.over_scenes}"
    rate = facts.num_scenes / facts.duration_seconds
    if rules.max_scenes_per_second is not None and rate > rules.max_scenes_per_second:
        return "slides", f"{rate:.2f} scenes per second > {rules.max_scenes_per_second:g}"
    return None


def choose(
    records: Iterable[VideoRecord],
    recipe: Recipe,
    notice: Notice = lambda done, of: None,
) -> Iterator[VideoRecord]:
    """All measured records in their input order, each kept or rejected with a reason.

    Candidates are processed from the most viewed to the least: of near-duplicates the most viewed
    stays, and a category's quota goes to its most viewed videos.
    """
    records = list(records)
    order = sorted(range(len(records)), key=lambda i: -records[i].views)
    verdicts: dict[int, tuple[str, str]] = {}
    quota: Counter[tuple[str, str]] = Counter()
    originals = _near_duplicates([records[i] for i in order], recipe, notice)
    by_source = {source: recipe.selection_of(source) for source in {r.source for r in records}}
    for i in order:
        record = records[i]
        rules = by_source[record.source]
        if record.is_rejected or record.facts is None:
            continue
        verdict = judge(record.facts, rules)
        if verdict is None and record.video_id in originals:
            verdict = ("near_duplicate_video", f"like {originals[record.video_id]}")
        category = (record.source, record.category)
        if (
            verdict is None
            and rules.per_category is not None
            and quota[category] >= rules.per_category
        ):
            verdict = (
                "quota",
                f"{rules.per_category} of category {record.category} with more views",
            )
        if verdict is None:
            quota[category] += 1
        else:
            verdicts[i] = verdict
    for i, record in enumerate(records):
        yield record.rejected("select", *verdicts[i]) if i in verdicts else record


def count_scenes(path: str, rules: Selection) -> int:
    """Scenes by PySceneDetect; a video without cuts is one scene.

    Warnings of FFmpeg and PySceneDetect about damaged files are not printed: they are in the facts
    of the file.
    """
    from scenedetect import AdaptiveDetector, ContentDetector, SceneManager, open_video
    from scenedetect.video_stream import VideoOpenFailure

    detector = {
        "adaptive": lambda: AdaptiveDetector(adaptive_threshold=rules.scene_threshold),
        "content": lambda: ContentDetector(threshold=rules.scene_threshold),
    }[rules.scene_detector]()
    manager = SceneManager()
    manager.add_detector(detector)
    try:
        manager.detect_scenes(open_video(path, backend="pyav", suppress_output=True))
    except VideoOpenFailure as error:
        raise VideoError(f"{path}: scenes cannot be detected ({error})") from error
    return max(1, len(manager.get_scene_list()))


def _frame_hash(path: str) -> tuple[str, tuple[str, ...]]:
    """Average colours on an 8 x 8 grid of evenly spaced frames, and what was wrong with them."""
    frames = read_video(path, num_frames=HASH_FRAMES, size=(HASH_SIDE * 4, HASH_SIDE * 4))
    cells = frames.pixels.reshape(HASH_FRAMES, HASH_SIDE, 4, HASH_SIDE, 4, 3)
    averages: NDArray[np.uint8] = cells.mean(axis=(2, 4)).round().astype(np.uint8)
    return averages.tobytes().hex(), frames.warnings


def _near_duplicates(records: list[VideoRecord], recipe: Recipe, notice: Notice) -> dict[str, str]:
    """Id of the original, by id of each later near-duplicate: see `near_duplicates`."""
    hashed = [r for r in records if r.facts and r.facts.frame_hash and not r.is_rejected]
    hashed = [r for r in hashed if _passes(r, recipe)]
    limits = {r.source: recipe.selection_of(r.source).near_duplicate_distance for r in hashed}
    facts = [r.facts for r in hashed if r.facts]
    found = near_duplicates(
        [bytes.fromhex(own.frame_hash) for own in facts],
        [own.duration_seconds for own in facts],
        [limits[r.source] for r in hashed],
        notice,
    )
    return {hashed[copy].video_id: hashed[original].video_id for copy, original in found.items()}


def _passes(record: VideoRecord, recipe: Recipe) -> bool:
    rules = recipe.selection_of(record.source)
    assert record.facts is not None
    return rules.drop_near_duplicates and judge(record.facts, rules) is None


def select_videos(
    records: list[VideoRecord],
    recipe: Recipe,
    ledger: Ledger | None,
    *,
    measure_all: Measure | None = None,
    notice: Notice = lambda done, of: None,
    notice_compared: Notice = lambda done, of: None,
) -> list[VideoRecord]:
    """Measure all videos (once per file, when there is a ledger to remember it) and choose.

    Args:
        records: what was found.
        recipe: thresholds.
        ledger: keeps the facts of measured files, or None to keep nothing.
        measure_all: measures them; `measure_here` by default.
        notice: called with the number of measured videos and of all.
        notice_compared: called with the number of videos that were compared and of all.
    """
    rules = [recipe.selection_of(record.source) for record in records]
    jobs = [(_remembered(r, own, ledger), own) for r, own in zip(records, rules, strict=True)]
    measured: dict[int, VideoRecord] = {}
    for position, record in (measure_all or measure_here)(jobs):
        before, own = jobs[position]
        if ledger is not None and record.facts is not None and record.facts != before.facts:
            facts = FACTS.dump_json(record.facts).decode()
            ledger.save_facts(fingerprint(record.path, own), facts)
        measured[position] = record
        notice(len(measured), len(records))
    ordered = [measured[position] for position in range(len(records))]
    return list(choose(ordered, recipe, notice_compared))


def measure_here(jobs: list[tuple[VideoRecord, Selection]]) -> Iterator[tuple[int, VideoRecord]]:
    """Measure in this process, one video per core at a time."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from enumerate(pool.map(lambda job: measure(*job), jobs))


def _remembered(record: VideoRecord, rules: Selection, ledger: Ledger | None) -> VideoRecord:
    """The record with the facts that an earlier run measured."""
    if ledger is None or not Path(record.path).is_file():
        return record
    known = ledger.facts(fingerprint(record.path, rules))
    return (
        record if known is None else dataclasses.replace(record, facts=FACTS.validate_json(known))
    )
