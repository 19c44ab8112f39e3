"""The ledger's file: its tables, its version, and the lock that keeps a second run out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from llava_video.errors import InputError

SCHEMA_VERSION = 2
"""Written into the file (``PRAGMA user_version``)."""

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, item_id TEXT NOT NULL, stage TEXT NOT NULL, model TEXT NOT NULL,
    prompt TEXT NOT NULL, request_id TEXT NOT NULL, finish_reason TEXT NOT NULL, text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    usage_reported INTEGER NOT NULL, forecast_text_tokens INTEGER NOT NULL,
    forecast_image_tokens INTEGER NOT NULL, usd REAL NOT NULL, finished_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    attempt_id INTEGER PRIMARY KEY, key TEXT NOT NULL, item_id TEXT NOT NULL, stage TEXT NOT NULL,
    upper_usd REAL NOT NULL, sent_at REAL NOT NULL, seconds REAL, outcome TEXT, detail TEXT
);
CREATE INDEX IF NOT EXISTS attempts_by_key ON attempts (key);
CREATE TABLE IF NOT EXISTS videos (
    video_id TEXT PRIMARY KEY, position INTEGER NOT NULL, stage TEXT NOT NULL,
    fingerprint TEXT NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (
    fingerprint TEXT PRIMARY KEY, facts TEXT NOT NULL
) WITHOUT ROWID;
"""


_MIGRATIONS = {
    1: """
ALTER TABLE calls RENAME COLUMN video_id TO item_id;
ALTER TABLE attempts RENAME COLUMN video_id TO item_id;
CREATE INDEX attempts_by_key ON attempts (key);
""",
}
"""From each version to the next."""


def make_tables(db: sqlite3.Connection, path: Path, *, is_locked: bool) -> None:
    """Make the tables of a new file, or bring those of an older version up to date in place.

    Args:
        db: the file.
        path: its name.
        is_locked: whether the caller holds its lock. A migration takes it otherwise, because a run
            of the older version that is at work would not know the new columns.

    Raises:
        InputError: the file is of a newer version, or is not a ledger, or a run is at work.
    """
    found = _version(db)
    if found == SCHEMA_VERSION:
        return
    if found > SCHEMA_VERSION:
        raise InputError(
            f"{path}: written by a newer version of llava-video (schema {found}, this one reads up "
            f"to {SCHEMA_VERSION}); update llava-video"
        )
    is_empty = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
    if found == 0 and not is_empty:
        raise InputError(f"{path}: a database, but not a ledger; give another --out folder")
    if found == 0:
        db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        return
    lock = None if is_locked else hold_lock(path)
    try:
        _migrate(db, path)
    finally:
        if lock is not None:
            lock.close()


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """All steps from the file's version to ours, or none of them."""
    steps = "".join(_MIGRATIONS[version] for version in range(_version(db), SCHEMA_VERSION))
    try:
        db.executescript(
            f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    except sqlite3.Error as error:
        db.rollback()
        raise InputError(
            f"{path}: cannot be brought to this version of llava-video ({error}); it is unchanged, "
            "and the version that wrote it reads it"
        ) from error


def _version(db: sqlite3.Connection) -> int:
    [version] = db.execute("PRAGMA user_version").fetchone()
    return int(version)


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
