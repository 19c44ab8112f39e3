"""The ledger: every paid call, committed to SQLite before its result is used.

A call is first reserved (its upper bound is set aside from the budget and the intent is on disk),
then sent, then settled (answer, tokens and dollars are on disk) and only then returned. After a
crash the settled calls are found again by key, and the calls that were in flight are known as
``sent`` without an outcome: the server may have billed them, so they keep counting against the
budget at their upper bound.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_video.calls.ledger_file import hold_lock, make_tables, open_database
from llava_video.calls.messages import Reply, Usage
from llava_video.calls.totals import Totals, sum_up
from llava_video.errors import BudgetError, InputError, LlavaVideoError

_USUAL_LIMITS = tuple(2**power for power in range(4, 18))
_REMEMBER = "INSERT OR IGNORE INTO limits VALUES (?)"
# Values for a video without tries, and what changes otherwise.
_TRIES = (
    "INSERT INTO tries (item_id, num_redos, num_rounds) VALUES (?, ?, ?)"
    " ON CONFLICT (item_id) DO UPDATE SET item_id = item_id"
)


class LedgerError(LlavaVideoError):
    """The ledger's file cannot be written, so no call may be paid for."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What the ledger records about a call before it is sent.

    Attributes:
        key: `messages.Request.key`.
        item_id: what the call is for, such as a video.
        stage: the step that asks.
        model: model name.
        prompt: prompt name and content hash.
        text_tokens: prompt tokens expected of its texts.
        image_tokens: prompt tokens expected of its pictures.
        upper_usd: the most that one attempt can cost.
        max_output_tokens: limit of the answer; None in notes of versions that left it out.
    """

    key: str
    item_id: str
    stage: str
    model: str
    prompt: str
    text_tokens: int
    image_tokens: int
    upper_usd: float
    max_output_tokens: int | None = None

    @property
    def forecast_tokens(self) -> int:
        """Prompt tokens expected in all."""
        return self.text_tokens + self.image_tokens


@dataclass(frozen=True, slots=True)
class Tries:
    """How often a video was asked about.

    Attributes:
        num_redos: how often a user had everything asked anew.
        num_rounds: runs since then that ended without an answer that could be used.
    """

    num_redos: int = 0
    num_rounds: int = 0


@dataclass(frozen=True, slots=True)
class SavedVideo:
    """How the work on a video ended.

    Attributes:
        video_id: of the video.
        position: in the input.
        end: how it ended, in a word.
        fingerprint: of the file and of every choice that can change the record.
        record: as JSON.
        is_unanswered: whether other answers are worth another try.
    """

    video_id: str
    position: int
    end: str
    fingerprint: str
    record: str
    is_unanswered: bool = False


@dataclass(frozen=True, slots=True)
class _Write:
    statements: tuple[tuple[str, tuple[Any, ...]], ...]
    done: asyncio.Future[None]
    survives_power_cut: bool


class Ledger:
    """One SQLite file in WAL mode with one writer; others may read it at any time.

    Writes that wait at the same moment share one commit, which a thread makes durable (``fsync``)
    while the event loop runs.

    Args:
        path: the file, made where it is missing.
        max_usd: what all calls together may cost.
        pays: whether calls are going to be made, which only one ledger of a file may do.

    Raises:
        InputError: the file is not a ledger or of a newer version, or another process makes calls
            with it.
    """

    def __init__(self, path: Path, max_usd: float | None = None, *, pays: bool = True) -> None:
        self._lock = hold_lock(path) if pays else None
        self.path = path
        self.max_usd = max_usd
        self._writer_db = open_database(path)
        make_tables(self._writer_db, path, is_locked=pays)
        self._db = open_database(path)  # reads see only what is committed
        self._waiting: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None
        [[last]] = self.query("SELECT COALESCE(MAX(attempt_id), 0) FROM attempts")
        self._next_attempt = int(last) + 1
        self._totals = sum_up(self.query)
        old = "SELECT EXISTS (SELECT 1 FROM calls WHERE max_output_tokens IS NULL)"
        self._has_old_keys = bool(self.query(old)[0][0])
        self._spent_usd = self._totals.usd + self._totals.unknown_usd
        self._in_flight: dict[int, tuple[CallInfo, float]] = {}
        self._settled = asyncio.Event()

    # Calls ------------------------------------------------------------------------------------

    async def find(self, key: str) -> Reply | None:
        """The answer of a finished call, or None."""
        rows = self.query(
            "SELECT text, request_id, finish_reason, prompt_tokens, completion_tokens,"
            " cached_tokens, reasoning_tokens, usage_reported, thoughts, is_refusal,"
            " max_output_tokens FROM calls WHERE key = ?",
            (key,),
        )
        if not rows:
            return None
        [row] = rows
        return Reply(
            *(row[0], row[1], row[2]),
            Usage(*row[3:7]) if row[7] else None,
            thoughts=row[8],
            is_refusal=bool(row[9]),
            call_key=key,
            max_output_tokens=row[10],
        )

    async def has_answered(self, stage: str, model: str) -> bool:
        """Whether any call of a stage was answered by a model."""
        sql = "SELECT 1 FROM calls WHERE stage = ? AND model = ? LIMIT 1"
        return bool(self.query(sql, (stage, model)))

    async def limits(self) -> list[int]:
        """Limits of answers that may be part of keys: see `messages.Request.key_at`."""
        found = {row[0] for row in self.query("SELECT max_output_tokens FROM limits")}
        return sorted(found | set(_USUAL_LIMITS) if self._has_old_keys else found)

    async def remember_limit(self, max_output_tokens: int) -> None:
        """Add one of `limits`."""
        self._write_now(_REMEMBER, [(max_output_tokens,)])

    def remember_limit_now(self, max_output_tokens: int) -> None:
        """Add one of `limits`, if calls are in the file whose keys may hold it."""
        if self._has_old_keys:
            self._write_now(_REMEMBER, [(max_output_tokens,)])

    async def reserve(self, info: CallInfo) -> int:
        """Set the call's upper bound aside and record that it is about to be sent.

        Returns:
            The attempt's number, for `settle` or `fail`.

        Raises:
            BudgetError: the budget does not hold this call.
        """
        await self._wait_for_budget(info)
        attempt, self._next_attempt = self._next_attempt, self._next_attempt + 1
        self._in_flight[attempt] = (info, time.time())
        insert = (
            "INSERT INTO attempts (attempt_id, key, item_id, stage, upper_usd, sent_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (attempt, info.key, info.item_id, info.stage, info.upper_usd, time.time()),
        )
        await self._write_or_release(attempt, insert, survives_power_cut=False)
        return attempt

    async def settle(self, attempt: int, reply: Reply, usd: float) -> None:
        """Commit an answer; it may be used once this returns."""
        info, sent_at = self._in_flight[attempt]
        usage = reply.usage or Usage()
        now = time.time()
        values = (
            *(info.key, info.item_id, info.stage, info.model, info.prompt),
            *(reply.request_id, reply.finish_reason, reply.text),
            *(usage.prompt_tokens, usage.completion_tokens),
            *(usage.cached_tokens, usage.reasoning_tokens, reply.usage is not None),
            *(info.text_tokens, info.image_tokens, usd, now),
            *(reply.thoughts, reply.is_refusal, info.max_output_tokens),
        )
        insert = f"INSERT OR IGNORE INTO calls VALUES ({', '.join('?' * len(values))})"
        closing = _closing(attempt, "ok", "", now - sent_at)
        await self._write_or_release(attempt, (insert, values), closing)
        self._spent_usd += usd
        was = self._totals
        self._totals = dataclasses.replace(
            was,
            num_calls=was.num_calls + 1,
            num_attempts=was.num_attempts + 1,
            prompt_tokens=was.prompt_tokens + usage.prompt_tokens,
            completion_tokens=was.completion_tokens + usage.completion_tokens,
            reasoning_tokens=was.reasoning_tokens + usage.reasoning_tokens,
            usd=was.usd + usd,
            num_estimated=was.num_estimated + (reply.usage is None),
            estimated_usd=was.estimated_usd + usd * (reply.usage is None),
            num_with_thoughts=was.num_with_thoughts + bool(reply.thoughts),
        )
        self._has_old_keys |= info.max_output_tokens is None
        self._release(attempt)

    async def fail(self, attempt: int, outcome: str, detail: str, *, may_be_billed: bool) -> None:
        """Record that an attempt brought no answer.

        Args:
            attempt: what `reserve` returned.
            outcome: a short name, such as ``429`` or ``timeout``.
            detail: the server's message.
            may_be_billed: the upper bound then counts as spent.
        """
        info, sent_at = self._in_flight[attempt]
        known = None if may_be_billed else outcome
        closing = _closing(attempt, known, detail, time.time() - sent_at)
        await self._write_or_release(attempt, closing)
        self._spent_usd += may_be_billed * info.upper_usd
        was = self._totals
        self._totals = dataclasses.replace(
            was,
            num_attempts=was.num_attempts + 1,
            num_failed_attempts=was.num_failed_attempts + (not may_be_billed),
            num_unknown=was.num_unknown + may_be_billed,
            unknown_usd=was.unknown_usd + may_be_billed * info.upper_usd,
        )
        self._release(attempt)

    def _release(self, attempt: int) -> None:
        del self._in_flight[attempt]
        self._settled.set()

    async def _wait_for_budget(self, info: CallInfo) -> None:
        """Return once the call fits; what is in flight usually costs less than its upper bound."""
        while self.max_usd is not None:
            reserved = sum(flying.upper_usd for flying, _ in self._in_flight.values())
            if self._spent_usd + reserved + info.upper_usd <= self.max_usd:
                return
            if not self._in_flight:
                raise BudgetError(
                    f"budget of ${self.max_usd:g} reached: ${self._spent_usd:.4f} spent and "
                    f"the next call may cost ${info.upper_usd:.4f}; raise --max-usd and run "
                    "again to resume"
                )
            self._settled.clear()
            await self._settled.wait()

    # Videos -----------------------------------------------------------------------------------

    async def save_video(self, video: SavedVideo) -> None:
        """Keep a video's record; the next run tries an unanswered one further."""
        values = (video.video_id, video.position, video.end, video.fingerprint, video.record)
        statements: list[tuple[str, tuple[Any, ...]]] = [
            ("INSERT OR REPLACE INTO videos VALUES (?, ?, ?, ?, ?)", values)
        ]
        if video.is_unanswered:
            statements.append((f"{_TRIES}, num_rounds = num_rounds + 1", (video.video_id, 0, 1)))
        await self._write(*statements)

    def tries(self) -> dict[str, Tries]:
        """How often videos were asked about, for those that were more than once."""
        rows = self.query("SELECT item_id, num_redos, num_rounds FROM tries")
        return {row[0]: Tries(*row[1:]) for row in rows}

    def redo(self, video_ids: list[str]) -> None:
        """Have the next run ask everything about videos anew; paid answers stay in the file."""
        rows = [(video_id, 1, 0) for video_id in video_ids]
        self._write_now(f"{_TRIES}, num_redos = num_redos + 1, num_rounds = 0", rows)
        again = "UPDATE videos SET stage = 'waiting', fingerprint = '' WHERE video_id = ?"
        self._write_now(again, [row[:1] for row in rows])

    def saved_videos(self) -> Iterator[tuple[str, str, str, str]]:
        """``(video_id, stage, fingerprint, record)`` of every video, in input order."""
        for row in self.query(
            "SELECT video_id, stage, fingerprint, record FROM videos ORDER BY position, video_id"
        ):
            yield row[0], row[1], row[2], row[3]

    def forget_videos(self, keep: set[str]) -> None:
        """Drop the records of videos that are no longer part of the input (calls stay)."""
        gone = [row for row in self.query("SELECT video_id FROM videos") if row[0] not in keep]
        self._write_now("DELETE FROM videos WHERE video_id = ?", gone)

    def facts(self, fingerprint: str) -> str | None:
        """Measurements of a file that were kept before, as JSON."""
        rows = self.query("SELECT facts FROM facts WHERE fingerprint = ?", (fingerprint,))
        return str(rows[0][0]) if rows else None

    def save_facts(self, fingerprint: str, facts: str) -> None:
        """Keep the measurements of a file."""
        self._write_now("INSERT OR REPLACE INTO facts VALUES (?, ?)", [(fingerprint, facts)])

    # Sums and reading -------------------------------------------------------------------------

    def totals(self) -> Totals:
        """Sums over all calls and attempts that have ended, and those a crash left open."""
        return self._totals

    def query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a read-only query.

        Raises:
            LedgerError: the file cannot be read.
        """
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _unusable(self.path, "read", error) from error

    async def aclose(self) -> None:
        """Finish all writes and close the file."""
        if self._writer is not None:
            await self._writer
        self.close()

    def close(self) -> None:
        """Close the file, when no write waits."""
        self._db.close()
        self._writer_db.close()
        if self._lock is not None:
            self._lock.close()

    def _write_now(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        try:
            with self._db:
                self._db.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _unusable(self.path, "written", error) from error

    async def _write_or_release(
        self,
        attempt: int,
        *statements: tuple[str, tuple[Any, ...]],
        survives_power_cut: bool = True,
    ) -> None:
        """Write about a call; if that fails, the call counts at its upper bound."""
        try:
            await self._write(*statements, survives_power_cut=survives_power_cut)
        except LedgerError:
            self._spent_usd += self._in_flight[attempt][0].upper_usd
            self._release(attempt)  # else calls that wait for the budget never return
            raise

    def _write(
        self, *statements: tuple[str, tuple[Any, ...]], survives_power_cut: bool = True
    ) -> asyncio.Future[None]:
        """Commit statements together; the future is done once they are on disk."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(statements, future, survives_power_cut))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._commit_waiting())
        return future

    async def _commit_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._commit, batch)
            except (sqlite3.Error, ValueError, OverflowError) as error:
                self._fail_waiting([*batch, *self._waiting], error)
                return
            for write in batch:
                if not write.done.done():
                    write.done.set_result(None)

    def _fail_waiting(self, writes: list[_Write], error: Exception) -> None:
        """Raise the error in all tasks that wait for a commit."""
        self._waiting = []
        for write in writes:
            if not write.done.done():
                write.done.set_exception(_unusable(self.path, "written", error))

    def _commit(self, batch: list[_Write]) -> None:
        """One transaction; without ``fsync`` it survives the process, but no power cut."""
        level = "FULL" if any(write.survives_power_cut for write in batch) else "NORMAL"
        self._writer_db.execute(f"PRAGMA synchronous = {level}")
        with self._writer_db:
            for write in batch:
                for sql, values in write.statements:
                    self._writer_db.execute(sql, values)


def _unusable(path: Path, how: str, error: Exception) -> LedgerError:
    return LedgerError(f"{path}: cannot be {how} ({error}); fix that and run again to resume")


def _closing(
    attempt: int, outcome: str | None, detail: str, seconds: float
) -> tuple[str, tuple[Any, ...]]:
    return (
        "UPDATE attempts SET outcome = ?, detail = ?, seconds = ? WHERE attempt_id = ?",
        (outcome, detail, seconds, attempt),
    )


def open_ledger(folder: Path) -> Ledger:
    """The ledger of an existing run folder, for reading; also while a run is at work.

    Raises:
        InputError: the folder has no ledger.
    """
    path = folder / "ledger.sqlite"
    if not path.is_file():
        raise InputError(f"{folder}: no ledger.sqlite in it; give the folder of a run")
    return Ledger(path, pays=False)
