"""Damaged files of many codecs: each is read or refused, and nothing of the server ends."""

from pathlib import Path

from llava_video.serve.media import MediaGuard, MediaLimits, MediaSource

from .fuzz import CORPUS, PICTURES, corpus, damage, read_all

NUM_FILES = 200
LIMITS = MediaLimits(max_seconds=60.0, max_memory_bytes=512 << 20, max_pixels_per_frame=1 << 20)


def test_damage_is_repeatable_and_is_damage() -> None:
    sound = corpus()
    assert len(sound) == len(CORPUS) + len(PICTURES)
    for file in sound:
        assert damage(file, 7) == damage(file, 7)
        assert damage(file, 7).content not in (file.content, damage(file, 8).content)


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    guard = MediaGuard(MediaSource(tmp_path), LIMITS, tmp_path / "folder")
    server = guard.decoders._server
    assert server is not None
    counts = read_all(guard, tmp_path, range(NUM_FILES), num_threads=4)
    assert server.is_alive()
    guard.close()
    assert sum(counts.values()) == NUM_FILES
    assert set(counts) <= {"read", "refused 413", "refused 422"}
    assert counts["read"] > NUM_FILES / 10
    assert counts["refused 422"] > NUM_FILES / 10
