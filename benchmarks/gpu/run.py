"""Runs the parts one after the other, each with a time limit, whatever becomes of the others."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

from gpu.results import out_folder, read, write, write_table

TOTAL_SECONDS = 470
REHEARSAL_SECONDS = 115
PARTS = {"correctness": 110, "inference": 180, "training": 190, "decoding": 60, "tiny": 470}
"""Parts in order of value, and the most seconds that each may take."""

DONE = "ended after s"


def run_part(name: str, seconds: float, rehearse: bool) -> None:
    """Run one part; it and all that it started is killed when its time is over."""
    command = [sys.executable, "-m", f"gpu.{name}", *(["--rehearse"] if rehearse else [])]
    log = out_folder() / f"{name}.log"
    start = time.perf_counter()
    environment = {**os.environ, "SECONDS_LEFT": f"{seconds:.0f}"}
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            write(name, f"stopped by its limit of {seconds:.0f} s", "see its log")
            return
    if code == 0:
        write(name, DONE, time.perf_counter() - start)
    else:
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        write(name, f"failed with code {code}", "".join(tail)[:300])


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with small shapes")
    parser.add_argument("--parts", default=",".join(PARTS), help="names with commas between them")
    parser.add_argument("--seconds", type=float, help="the most that all parts may take together")
    options = parser.parse_args()
    wanted = options.parts.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {list(PARTS)}")
    total = options.seconds or (REHEARSAL_SECONDS if options.rehearse else TOTAL_SECONDS)
    end = time.perf_counter() + total
    done = {line["part"] for line in read() if line["figure"] == DONE}
    for name, limit in PARTS.items():
        if name in done or name not in wanted:
            continue
        left = end - time.perf_counter()
        if left < 5:
            write(name, "not begun: no time was left", "")
            continue
        run_part(name, min(limit, left), options.rehearse)
        write_table()
    write_table()
    failed = [line for line in read() if line["figure"].startswith("failed")]
    sys.exit(1 if failed and options.rehearse else 0)


if __name__ == "__main__":
    main()
