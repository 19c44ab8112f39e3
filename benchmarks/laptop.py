"""The first answer of a real checkpoint's shapes on a CPU, whole processes.

Random weights in the shapes of SigLIP so400m and Qwen2-0.5B, one video, 16 frames, 64 new tokens:
``llava-video ask`` as it comes, with int8 weights, and transformers' LlavaOnevision with the same
weights, as ``from_pretrained`` gives it (``dtype="auto"``) and in float32. Then how far int8 and
bfloat16 are from float32.

Run: python benchmarks/laptop.py [--frames 16] [--tokens 64] [--isa AVX2] [--runs 1]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu.random_checkpoint import checkpoint_folder, config_of
from load_checkpoint import write_checkpoint

LIMITS = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "FBGEMM_ENABLE_INSTRUCTIONS",
          "MKL_ENABLE_INSTRUCTIONS")  # fmt: skip
"""Variables that limit torch, oneDNN, FBGEMM and MKL to older instructions."""

PEER = """
import sys
from pathlib import Path

import torch
from transformers import LlavaOnevisionForConditionalGeneration

from llava_video.checkpoints.load import load_config, load_processor

_, ours, theirs, video, dtype, num_frames, num_tokens = sys.argv
processor = load_processor(Path(ours), load_config(Path(ours)))
model = LlavaOnevisionForConditionalGeneration.from_pretrained(
    theirs, dtype="auto" if dtype == "auto" else getattr(torch, dtype)
)
inputs = processor("Describe the video.", video, num_frames=int(num_frames))
ids = inputs["input_ids"]
ids[ids == processor.video_token_id] = model.config.video_token_id
with torch.inference_mode():
    model.generate(
        input_ids=ids,
        attention_mask=inputs["attention_mask"],
        pixel_values_videos=inputs["pixel_values_videos"][None].to(model.dtype),
        do_sample=False, temperature=None, top_p=None, top_k=None,
        min_new_tokens=int(num_tokens), max_new_tokens=int(num_tokens),
    )
"""


def make_checkpoints() -> tuple[Path, Path]:
    """The same weights for this package and for LlavaOnevision."""
    import shutil
    from importlib.resources import files

    from llava_video.checkpoints.convert import convert_checkpoint

    ours = checkpoint_folder() / "laptop"
    theirs = checkpoint_folder() / "laptop-onevision"
    if not ours.is_dir():
        unfinished = ours.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        tiny = Path(str(files("llava_video") / "assets" / "tiny"))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tiny / name, unfinished)
        config = config_of("0.5b") | {
            "mm_newline_position": "one_token", "add_time_instruction": False,
            "mm_spatial_pool_mode": "bilinear",
        }  # fmt: skip
        write_checkpoint(unfinished, config, "cpu")
        unfinished.rename(ours)
    if not theirs.is_dir():
        convert_checkpoint(ours, theirs, "llava-onevision")
    return ours, theirs


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds, GiB at the peak, and what was printed."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=output)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        output.seek(0)
        text = output.read().decode()
    if status:
        raise SystemExit(f"{' '.join(command[:4])} failed")
    return seconds, used.ru_maxrss / 2**20, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--isa", choices=("AVX2",), help="as on a CPU without newer instructions")
    options = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if options.isa:
        environment |= dict.fromkeys(LIMITS, options.isa) | {"ATEN_CPU_CAPABILITY": "avx2"}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ours, theirs = make_checkpoints()
    from llava_video.toyworld import generate_script
    from llava_video.toyworld.dataset import write_video

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        write_video(generate_script(0, "simple", seconds=10.0), video, (384, 384), 25.0)
        counts = [str(options.frames), str(options.tokens)]
        ask = [sys.executable, "-m", "llava_video", "ask", str(video), "Describe the video.",
               "--model", str(ours), "--num-frames", counts[0], "--max-new-tokens", counts[1],
               "--json"]  # fmt: skip
        peer = [sys.executable, "-c", PEER, str(ours), str(theirs), str(video)]
        commands = {
            "ask": ask,
            "ask --quantize int8": [*ask, "--quantize", "int8"],
            "transformers, dtype auto": [*peer, "auto", *counts],
            "transformers, float32": [*peer, "float32", *counts],
        }
        measured: dict[str, list[tuple[float, float, str]]] = {name: [] for name in commands}
        for _ in range(options.runs):
            for name, command in commands.items():
                measured[name].append(run(command, environment))
    print(f"{options.frames} frames, {options.tokens} tokens, {os.cpu_count()} processors\n")
    print("| | seconds | peak GiB | stages |")
    print("|---|---|---|---|")
    for name, runs in measured.items():
        seconds, peak, text = sorted(runs)[0]
        stages = ""
        if text.strip().startswith("{"):
            values: dict[str, Any] = json.loads(text)
            stages = ", ".join(f"{key} {value:.1f}" for key, value in values["seconds"].items())
            stages += f" ({values['dtype']})"
        print(f"| {name} | {seconds:.1f} | {peak:.2f} | {stages} |")
    best = min(min(measured[name])[0] for name in commands if name.startswith("transformers"))
    for name in ("ask", "ask --quantize int8"):
        print(f"{name}: {best / min(measured[name])[0]:.2f} times as fast as the better peer")
    print(f"median of {options.runs}: {statistics.median(r[0] for r in measured['ask']):.1f} s")


if __name__ == "__main__":
    main()
