"""Predicted against measured peak host memory of an answer, for random models of two shapes.

Each shape runs in a process of its own. Measured is the most that the process held beyond what it
held before the model was made, by the kernel's count, with freed memory given back at once.

Run: python benchmarks/memory_plans/inference.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NUM_TEXT_TOKENS = 64
TEXT = {"vocab_size": 32_000, "max_position_embeddings": 32_768}

SHAPES: dict[str, dict[str, Any]] = {
    "full depth, narrow, bfloat16, 32 frames": {
        "frames": 32,
        "dtype": "bfloat16",
        "vision": {"hidden_size": 144, "intermediate_size": 538, "num_hidden_layers": 26},
        "text": {
            "hidden_size": 448,
            "intermediate_size": 2368,
            "num_hidden_layers": 28,
            "num_attention_heads": 7,
            "num_key_value_heads": 1,
        },
    },
    "real widths, shallow, float32, 12 frames": {
        "frames": 12,
        "dtype": "float32",
        "vision": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 2},
        "text": {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 4,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
        },
    },
}
WARM_UP = {
    "frames": 2,
    "vision": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1},
    "text": {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
}
SMALLER = {
    "full depth, narrow, bfloat16, 32 frames": 6,
    "real widths, shallow, float32, 12 frames": 3,
}


class PeakMeter(threading.Thread):
    """Looks at the resident memory of this process every millisecond."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.start()

    def run(self) -> None:
        """Look, until the process ends."""
        while True:
            self.peak_bytes = max(self.peak_bytes, resident_bytes())
            time.sleep(0.001)

    def restart(self) -> int:
        """The peak so far; the next one begins at what is resident now."""
        peak, self.peak_bytes = self.peak_bytes, resident_bytes()
        return peak


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def measure(shape: dict[str, Any], num_new_tokens: int) -> dict[str, Any]:
    import torch

    from llava_video.budget.inference_memory import MemoryModel

    torch.set_default_dtype(getattr(torch, shape["dtype"]))
    answer(random_model(WARM_UP), WARM_UP["frames"], 2, PeakMeter())  # libraries load their code
    meter = PeakMeter()
    before = resident_bytes()
    model = random_model(shape)
    measured = {"weights": resident_bytes() - before}
    num_video_tokens, num_prompt_tokens, peaks = answer(
        model, shape["frames"], num_new_tokens, meter
    )
    measured |= {moment: peak - before for moment, peak in peaks.items()}
    predicted = MemoryModel.of(model.config, device_type="cpu").estimate(
        num_frames=shape["frames"],
        num_video_tokens=num_video_tokens,
        num_prompt_tokens=num_prompt_tokens,
        num_new_tokens=num_new_tokens,
    )
    return {"measured": measured, "predicted": predicted.to_dict()}


def random_model(shape: dict[str, Any]) -> Any:
    """A model of a shape, in the default dtype, with the released video representation."""
    import torch

    from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
    from llava_video.representation import VideoRepresentation

    heads = {"num_attention_heads": 16, "image_size": 384, "patch_size": 14}
    config = LlavaVideoConfig(
        vision_config={**heads, **shape["vision"]},
        text_config={**TEXT, **shape["text"]},
        video_token_id=1,
        video_representation=VideoRepresentation(pooling="bilinear", newline="grid").to_dict(),
        dtype=torch.get_default_dtype(),
    )
    return LlavaVideoForConditionalGeneration(config).eval()


def answer(
    model: Any, num_frames: int, num_new_tokens: int, meter: PeakMeter
) -> tuple[int, int, dict[str, int]]:
    """Encode, pack and generate: tokens of video and prompt, and the peak of each part."""
    import torch

    from llava_video.representation import make_layout

    num_tokens = make_layout(model.config.representation, num_frames).num_tokens
    ids = torch.full((1, num_tokens + NUM_TEXT_TOKENS), 1)
    ids[0, num_tokens:] = 2
    pixels = torch.randn(num_frames, 3, 384, 384, dtype=torch.float32)
    peaks = {}
    with torch.inference_mode():
        meter.restart()
        features = model.model.encode_frames(pixels)
        peaks["vision"] = meter.restart()
        del features
        meter.restart()
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values_videos=pixels,
            max_new_tokens=num_new_tokens,
            min_new_tokens=num_new_tokens,
            do_sample=False,
            pad_token_id=0,
        )
        peaks["peak"] = meter.restart()
    return num_tokens, ids.shape[1], peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer frames")
    parser.add_argument("--new-tokens", type=int, default=4)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shape:
        print(json.dumps(measure(json.loads(options.shape), options.new_tokens)))
        return
    # Tensors of 64 KiB and more go back to the system when they are freed.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    print("| shape | moment | predicted | measured | predicted / measured |")
    print("|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        frames = SMALLER[name] if options.quick else shape["frames"]
        command = [sys.executable, __file__, "--new-tokens", str(options.new_tokens)]
        command += ["--shape", json.dumps({**shape, "frames": frames})]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        figures = json.loads(done.stdout.splitlines()[-1])
        predicted, measured = figures["predicted"], figures["measured"]
        expected = {**predicted["moments"], **predicted}
        for moment, found in measured.items():
            told = expected[moment]
            print(
                f"| {name} | {moment} | {told / 2**20:,.0f} MiB | {found / 2**20:,.0f} MiB | "
                f"{told / found:.2f} |"
            )


if __name__ == "__main__":
    main()
