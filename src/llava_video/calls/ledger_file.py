"""The ledger's file: its tables, its version, and the lock that keeps a second run out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from llava_video.errors import InputError

_SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, video_id TEXT NOT NULL, stage TEXT NOT NULL, model TEXT NOT NULL,
    prompt TEXT NOT NULL, request_id TEXT NOT NULL, finish_reason TEXT NOT NULL, text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    usage_reported INTEGER NOT NULL, forecast_text_tokens INTEGER NOT NULL,
    forecast_image_tokens INTEGER NOT NULL, usd REAL NOT NULL, finished_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    attempt_id INTEGER PRIMARY KEY, key TEXT NOT NULL, video_id TEXT NOT NULL, stage TEXT NOT NULL,
    upper_usd REAL NOT NULL, sent_at REAL NOT NULL, seconds REAL, outcome TEXT, detail TEXT
);
CREATE TABLE IF NOT EXISTS videos (
    video_id TEXT PRIMARY KEY, position INTEGER NOT NULL, stage TEXT NOT NULL,
    fingerprint TEXT NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (
    fingerprint TEXT PRIMARY KEY, facts TEXT NOT NULL
) WITHOUT ROWID;
"""


def make_tables(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; refuse one of another version."""
    [found] = db.execute("PRAGMA user_version").fetchone()
    if found == _SCHEMA_VERSION:
        return
    is_new = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
    if not is_new:
        raise InputError(
            f"{path}: a ledger of another version of llava-video; give another --out folder"
        )
    db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")


def hold_lock(path: Path) -> sqlite3.Connection:
    """Hold a file locked until the connection is closed or the process ends, however it ends."""
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(f"{path}.lock", check_same_thread=False, timeout=0)
        lock.execute("BEGIN EXCLUSIVE")
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); give another --out folder"
        ) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise InputError(
                f"{folder}: another run is at work there; wait for it, or give another --out folder"
            ) from error
        raise InputError(
            f"{folder}: cannot be written ({error}); give another --out folder"
        ) from error
    return lock


def open_database(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode, which others may read beside."""
    try:
        db = sqlite3.connect(path, check_same_thread=False, timeout=30)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"{path}: cannot be used as a ledger ({error}); give another --out folder"
        ) from error
    return db
