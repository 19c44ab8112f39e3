"""``ask`` with the embedded model: from shell to answer (cold), and again in one process (warm).

Run: python benchmarks/ask.py [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from importlib.resources import files

VIDEO = str(files("llava_video") / "assets" / "samples" / "two_movers.mp4")
QUESTION = "In which direction does the ring move?"


def cold_run() -> tuple[float, dict[str, float]]:
    start = time.perf_counter()
    command = [sys.executable, "-m", "llava_video", "ask", VIDEO, QUESTION, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, json.loads(done.stdout)["seconds"]


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
    for number in range(options.runs):
        total, stages = cold_run()
        named = ", ".join(f"{name} {seconds:.2f}" for name, seconds in stages.items())
        start = total - sum(stages.values())
        print(f"| cold {number + 1} | {total:.2f} | start {start:.2f}, {named} |")

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
