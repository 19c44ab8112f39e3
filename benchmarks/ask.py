"""``ask`` with the embedded model: from shell to answer, cold and kept, and in one process, warm.

Kept: by a process that an earlier call with ``--keep`` started.

Run: python benchmarks/ask.py [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from importlib.resources import files
from tempfile import TemporaryDirectory

VIDEO = str(files("llava_video") / "assets" / "samples" / "two_movers.mp4")
QUESTION = "In which direction does the ring move?"


def shell_run(keep: str, folder: str) -> tuple[float, float, dict[str, float]]:
    """Seconds from shell to answer, seconds of CPU of that process, and of the stages."""
    environment = {**os.environ, "LLAVA_VIDEO_KEEP": keep, "XDG_RUNTIME_DIR": folder}
    command = [sys.executable, "-m", "llava_video", "ask", VIDEO, QUESTION, "--json"]
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    total, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user + after.children_system
    return total, cpu - before.children_system, json.loads(done.stdout)["seconds"]


def help_run() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "llava_video", "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print("| run | seconds | stages |")
    print("|---|---|---|")
    helps = [help_run() for _ in range(options.runs)]
    print(f"| --help | {statistics.median(helps):.2f} | |")
    with TemporaryDirectory(prefix="keep-") as folder:
        for kind, keep in (("cold", "0"), ("kept", "1m")):
            if keep != "0":
                shell_run(keep, folder)  # starts the process
            for number in range(options.runs):
                total, cpu, stages = shell_run(keep, folder)
                named = ", ".join(f"{name} {seconds:.2f}" for name, seconds in stages.items())
                start = total - sum(stages.values())
                print(
                    f"| {kind} {number + 1} | {total:.2f} | start {start:.2f}, {named}; "
                    f"of the CPU {cpu:.2f} |"
                )
        stop = [sys.executable, "-m", "llava_video", "stop"]
        subprocess.run(stop, check=True, env={**os.environ, "XDG_RUNTIME_DIR": folder})

    from llava_video.chat.local_model import LocalModel
    from llava_video.chat.protocol import answer_one

    shown = {"type": "video", "video": VIDEO}
    asked = [{"role": "user", "content": [shown, {"type": "text", "text": QUESTION}]}]
    for number in range(options.runs + 1):
        start = time.perf_counter()
        answer = answer_one(LocalModel.load("tiny"), asked)
        total = time.perf_counter() - start
        named = ", ".join(f"{name} {seconds:.2f}" for name, seconds in answer.seconds.items())
        print(f"| warm {number} | {total:.2f} | {named} |")


if __name__ == "__main__":
    main()
