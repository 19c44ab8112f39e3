"""The ledger's file: its tables, its version, and the lock that keeps a second run out."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from llava_video.calls.completion import split_thoughts
from llava_video.errors import InputError

SCHEMA_VERSION = 3
"""Written into the file (``PRAGMA user_version``)."""

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, item_id TEXT NOT NULL, stage TEXT NOT NULL, model TEXT NOT NULL,
    prompt TEXT NOT NULL, request_id TEXT NOT NULL, finish_reason TEXT NOT NULL, text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    usage_reported INTEGER NOT NULL, forecast_text_tokens INTEGER NOT NULL,
    forecast_image_tokens INTEGER NOT NULL, usd REAL NOT NULL, finished_at REAL NOT NULL,
    thoughts TEXT NOT NULL DEFAULT '', is_refusal INTEGER NOT NULL DEFAULT 0,
    max_output_tokens INTEGER
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
CREATE TABLE IF NOT EXISTS limits (max_output_tokens INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS tries (
    item_id TEXT PRIMARY KEY, num_redos INTEGER NOT NULL, num_rounds INTEGER NOT NULL
) WITHOUT ROWID;
"""


_MIGRATIONS = {
    1: """
ALTER TABLE calls RENAME COLUMN video_id TO item_id;
ALTER TABLE attempts RENAME COLUMN video_id TO item_id;
CREATE INDEX attempts_by_key ON attempts (key);
""",
    # Keys hold the limit of the answer before, and do not from here on: `Request.key_at` finds
    # those calls again. Their limit is part of nothing else, so the new column stays empty.
    2: """
ALTER TABLE calls ADD COLUMN thoughts TEXT NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN is_refusal INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN max_output_tokens INTEGER;
UPDATE calls SET text = answer_in(text), thoughts = thoughts_in(text) WHERE thoughts_in(text) != '';
CREATE TABLE limits (max_output_tokens INTEGER PRIMARY KEY);
CREATE TABLE tries (
    item_id TEXT PRIMARY KEY, num_redos INTEGER NOT NULL, num_rounds INTEGER NOT NULL
) WITHOUT ROWID;
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
    db.create_function("answer_in", 1, lambda text: split_thoughts(text)[0])
    db.create_function("thoughts_in", 1, lambda text: split_thoughts(text)[1])
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
        reason = _why_no_locks(folder)
        if reason is not None:
            raise InputError(
                f"{folder}: its file system has no locks ({reason}), which SQLite needs for the "
                "ledger; give an --out folder on a local disk"
            ) from error
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise InputError(
                f"{folder}: another run is at work there; wait for it, or give another --out folder"
            ) from error
        raise InputError(
            f"{folder}: cannot be written ({error}); give another --out folder"
        ) from error
    return lock


def _why_no_locks(folder: Path) -> str | None:
    """Why a new file in a folder, which nobody else can hold, cannot be locked; None if it can.

    SQLite reports a file system without locks as a file that another process holds.
    """
    try:
        import fcntl
    except ImportError:  # Windows, whose file systems have locks
        return None
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror
    return None


def open_database(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode, which others may read beside."""
    try:
        db = sqlite3.connect(path, check_same_thread=False, timeout=30)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except sqlite3.DatabaseError as error:
        reason = _why_no_locks(path.parent)
        needs = f"; its file system has no locks ({reason})" if reason else ""
        raise InputError(
            f"{path}: cannot be used as a ledger ({error}{needs}); SQLite needs a local disk with "
            "locks and shared memory: give another --out folder"
        ) from error
    return db
