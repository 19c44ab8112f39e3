"""The ledger: committed before used, one budget, calls in flight at a crash."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from llava_video.calls.ledger import CallInfo, Ledger, LedgerError, open_ledger
from llava_video.calls.messages import Reply, Usage
from llava_video.errors import BudgetError, InputError


def info(key="k", upper=1.0):
    return CallInfo(key, "v", "level1", "m", "p@1", 90, 10, upper)


REPLY = Reply("text", "id", "stop", Usage(10, 20, 1, 2))


def run(path, work, max_usd=None):
    async def main():
        ledger = Ledger(path, max_usd)
        try:
            return await work(ledger)
        finally:
            await ledger.aclose()

    return asyncio.run(main())


def test_a_settled_call_is_on_disk_when_settle_returns(tmp_path):
    path = tmp_path / "ledger.sqlite"

    async def work(ledger):
        await ledger.settle(await ledger.reserve(info()), REPLY, 0.5)
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT text FROM calls").fetchall() == [("text",)]
        assert await ledger.find("k") == REPLY
        assert await ledger.find("other") is None

    run(path, work)


def test_running_totals_equal_the_sums_on_disk(tmp_path):
    async def work(ledger):
        await ledger.settle(await ledger.reserve(info("a")), REPLY, 0.5)
        await ledger.fail(await ledger.reserve(info("b")), "429", "slow", may_be_billed=False)
        await ledger.fail(await ledger.reserve(info("b")), "timeout", "", may_be_billed=True)
        return ledger.totals()

    totals = run(tmp_path / "l.sqlite", work)
    assert totals == Ledger(tmp_path / "l.sqlite").totals()
    assert (totals.num_calls, totals.num_attempts) == (1, 3)
    assert (totals.num_failed_attempts, totals.num_unknown, totals.unknown_usd) == (1, 1, 1.0)
    assert (totals.usd, totals.reasoning_tokens) == (0.5, 2)


def test_the_budget_counts_what_is_spent_and_what_may_be(tmp_path):
    async def work(ledger):
        first = await ledger.reserve(info("a", upper=0.6))
        waiting = asyncio.create_task(ledger.reserve(info("b", upper=0.6)))
        await asyncio.sleep(0.02)
        assert not waiting.done()  # both upper bounds do not fit
        await ledger.settle(first, REPLY, 0.3)
        await ledger.settle(await waiting, REPLY, 0.5)
        with pytest.raises(BudgetError, match=r"budget of \$1 reached: \$0.8000 spent"):
            await ledger.reserve(info("c", upper=0.3))

    run(tmp_path / "l.sqlite", work, max_usd=1.0)


def test_calls_in_flight_at_a_crash_count_against_the_budget(tmp_path):
    path = tmp_path / "l.sqlite"

    async def crash(ledger):
        await ledger.reserve(info("a", upper=0.9))  # never settled

    run(path, crash)

    async def again(ledger):
        assert ledger.totals().num_unknown == 1
        with pytest.raises(BudgetError):
            await ledger.reserve(info("b", upper=0.2))

    run(path, again, max_usd=1.0)


def test_a_full_disk_ends_every_wait_with_an_error(tmp_path):
    async def work(ledger):
        await ledger.settle(await ledger.reserve(info("a")), REPLY, 0.5)
        [pages] = ledger._writer_db.execute("PRAGMA page_count").fetchone()
        ledger._writer_db.execute(f"PRAGMA max_page_count = {pages}")
        long = Reply("x" * 100_000, "id", "stop", Usage(1, 1))
        attempts = [await ledger.reserve(info(key)) for key in "bc"]
        settling = [ledger.settle(attempt, long, 0.5) for attempt in attempts]
        results = await asyncio.wait_for(asyncio.gather(*settling, return_exceptions=True), 10)
        assert [type(result) for result in results] == [LedgerError, LedgerError]
        assert "l.sqlite: cannot be written" in str(results[0])
        assert await ledger.find("b") is None
        assert ledger.totals().num_calls == 1

    run(tmp_path / "l.sqlite", work)


def test_only_one_run_at_a_time_pays_and_others_may_read(tmp_path):
    first = Ledger(tmp_path / "ledger.sqlite")
    with pytest.raises(InputError, match="another run is at work there"):
        Ledger(tmp_path / "ledger.sqlite")
    assert open_ledger(tmp_path).totals() == first.totals()
    first.close()
    Ledger(tmp_path / "ledger.sqlite").close()


NO_LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
static int refuse(int fd, int cmd, void *arg, const char *name) {
    if (cmd == F_SETLK || cmd == F_SETLKW) { errno = ENOLCK; return -1; }
    int (*real)(int, int, void *) = (int (*)(int, int, void *))dlsym(RTLD_NEXT, name);
    return real(fd, cmd, arg);
}
int fcntl(int fd, int cmd, ...) {
    va_list list; va_start(list, cmd); void *arg = va_arg(list, void *); va_end(list);
    return refuse(fd, cmd, arg, "fcntl");
}
int fcntl64(int fd, int cmd, ...) {
    va_list list; va_start(list, cmd); void *arg = va_arg(list, void *); va_end(list);
    return refuse(fd, cmd, arg, "fcntl64");
}
"""
OPEN = """
import sys
from pathlib import Path
from llava_video.calls.ledger import Ledger
from llava_video.errors import InputError
try:
    Ledger(Path(sys.argv[1]) / "ledger.sqlite")
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs cc on Linux")
def test_a_file_system_without_locks_is_told_from_another_run(tmp_path):
    (tmp_path / "no_locks.c").write_text(NO_LOCKS)
    library = tmp_path / "no_locks.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, tmp_path / "no_locks.c", "-ldl"], check=True
    )
    done = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path / "run"],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "its file system has no locks (No locks available), which SQLite needs" in done.stdout
    assert "another run" not in done.stdout


def test_a_ledger_of_a_newer_version_is_refused_in_one_line(tmp_path):
    Ledger(tmp_path / "ledger.sqlite").close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match=r"schema 99, this one reads up to 3\); update") as caught:
        open_ledger(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.sqlite").write_text(
        "this is no database, and long enough to be read as one"
    )
    with pytest.raises(InputError, match="cannot be used as a ledger"):
        open_ledger(tmp_path)
    with pytest.raises(InputError, match=r"no ledger.sqlite in it"):
        open_ledger(tmp_path / "elsewhere")
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    with pytest.raises(InputError, match="a database, but not a ledger"):
        Ledger(tmp_path / "other.sqlite")


def test_a_disk_that_is_full_leaves_nobody_waiting_for_the_budget(tmp_path):
    async def work(ledger):
        attempt = await ledger.reserve(info("a", upper=0.9))
        waiting = asyncio.create_task(ledger.reserve(info("b", upper=0.9)))
        await asyncio.sleep(0.02)
        ledger._writer_db.execute("PRAGMA query_only = ON")
        with pytest.raises(LedgerError, match="cannot be written"):
            await ledger.settle(attempt, REPLY, 0.1)
        with pytest.raises(BudgetError):  # what was paid and not written down is spent
            await asyncio.wait_for(waiting, 10)

    run(tmp_path / "l.sqlite", work, max_usd=1.0)


def test_a_ledger_that_another_program_holds_or_has_damaged_is_an_error_in_words(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    ledger._db.execute("PRAGMA busy_timeout = 10")
    with sqlite3.connect(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=r"cannot be written .database is locked"):
            ledger.save_facts("f", "{}")
        other.execute("DROP TABLE calls")
    with pytest.raises(LedgerError, match=r"cannot be read .no such table: calls"):
        asyncio.run(ledger.find("k"))
    ledger.close()
