"""A random 7B in the released layout: seconds per stage, tokens per second, memory.

Beside it transformers' LlavaOnevision with the same weights. Where both compute the same function
(bilinear pooling, one newline at the end) their logits are compared. Rows take turns.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from end_to_end import Row, seconds_of
from transformers import LlavaOnevisionForConditionalGeneration

from gpu.random_checkpoint import random_checkpoint
from gpu.results import Part
from llava_video.budget.inference_memory import MemoryModel
from llava_video.checkpoints import layouts
from llava_video.checkpoints.load import load_config, load_model
from llava_video.representation import make_layout

ROUNDS = 3
SECONDS_TO_COMPILE = 60


def peer_of(ours: Any) -> Any:
    """LlavaOnevision on the same tensors as ours."""
    config = ours.config
    own = config.representation
    config.representation = replace(own, newline="end")
    reason = layouts.why_not_onevision(config)
    assert reason is None, reason
    with torch.device("meta"):
        theirs = LlavaOnevisionForConditionalGeneration(layouts.onevision_config(config, 0, 1))
    weights = {layouts.onevision_name(name): tensor for name, tensor in ours.state_dict().items()}
    theirs.load_state_dict(weights, assign=True)
    # What is no weight is computed from the configuration, and was not on the meta device.
    language = theirs.model.language_model
    language.rotary_emb = type(language.rotary_emb)(config.text_config).to(ours.device)
    embeddings = theirs.model.vision_tower.embeddings
    embeddings.position_ids = ours.model.vision_encoder.embeddings.position_ids
    config.representation = own
    return theirs.eval()


def main() -> None:
    """Everything, in order of value."""
    part = Part.of_command_line("inference")
    start = time.perf_counter()
    limit = float(os.environ.get("SECONDS_LEFT", "600"))
    device = "cpu" if part.rehearse else "cuda"
    size, num_frames, num_new = ("small", 2, 8) if part.rehearse else ("7b", 64, 64)
    directory = random_checkpoint(size, device)
    part.note(f"{size}: random checkpoint written, s", time.perf_counter() - start)

    begin = time.perf_counter()
    config = load_config(directory)
    config.video_token_id = 1  # as in the prompts of `Row`
    ours: Any = load_model(directory, config, **({} if part.rehearse else {"device_map": "cuda"}))
    part.note(f"{size}: loaded from memory onto the device, s", time.perf_counter() - begin)
    theirs = peer_of(ours)
    part.note(f"{size}: billion parameters", ours.num_parameters() / 1e9)

    side = config.tile_size
    pixels = torch.randn(num_frames, 3, side, side, device=device, dtype=ours.dtype)
    end = replace(config.representation, max_frames=num_frames, newline="end")
    grid, slowfast = replace(end, newline="grid"), replace(end, newline="grid", slow_stride=3)
    count = {r: make_layout(r, num_frames).num_tokens for r in (end, grid, slowfast)}
    growing = {"cache_implementation": "dynamic"}
    # A static cache is what makes transformers compile; ours records instead unless it is told how.
    rows = {
        "LlavaOnevision": Row("", theirs, pixels, count[end], None),
        "ours, same tokens": Row("", ours, pixels, count[end], end),
        "ours, same tokens, growing cache": Row("", ours, pixels, count[end], end, **growing),
        "ours, (64,729,1,2) grid": Row("", ours, pixels, count[grid], grid),
        "ours, (64,729,3,2) grid": Row("", ours, pixels, count[slowfast], slowfast),
    }
    with torch.inference_mode():
        plain, own = rows["LlavaOnevision"].logits(), rows["ours, same tokens"].logits()
        apart = float((plain - own).abs().max() / plain.abs().max())
        part.note("logits of the same function apart, relative", apart)
        ids = {name: row.generate(num_new)[0, -num_new:].tolist() for name, row in rows.items()}
        same = ids["ours, same tokens"] == ids["ours, same tokens, growing cache"]
        part.note("recorded decoding gives the ids of the growing cache, bfloat16", same)
        for number in range(1 if part.rehearse else ROUNDS):
            for row in rows.values():
                row.measure(num_new)
            if time.perf_counter() - start > 0.6 * limit and number:
                break
        for name, row in rows.items():
            note_row(part, name, row, num_new, rows["LlavaOnevision"])
        if limit - (time.perf_counter() - start) < SECONDS_TO_COMPILE and not part.rehearse:
            part.note("compiled: not begun, no time was left", "")
            return
        compiled = {"cache_implementation": "static"}
        for name, model, shown in (("ours", ours, end), ("LlavaOnevision", theirs, None)):
            row = Row("", model, pixels, count[end], shown, **compiled)
            if shown is not None:  # a compile_config asks for transformers' own compilation
                from transformers import CompileConfig

                row.options["compile_config"] = CompileConfig()
            begin = time.perf_counter()
            row.generate(num_new)
            seconds = time.perf_counter() - begin
            part.note(f"{name}, compiled: first answer of {num_new} tokens, s", seconds)
            row.measure(num_new)
            note_row(part, f"{name}, compiled", row, num_new, None)
            first = Row("", model, pixels, count[end], shown)
            torch.compiler.reset()
            if shown is not None:
                seconds = seconds_of(lambda r=first: r.generate(num_new), pixels.device)
                part.note(f"{name}, recorded: an answer of {num_new} tokens, s", seconds)


def note_row(part: Part, name: str, row: Row, num_new: int, peer: Row | None) -> None:
    """What a row measured, and how it stands to the peer."""
    vision, first, whole = (statistics.median(seconds) for seconds in row.seconds.values())
    rate = (num_new - 1) / (whole - first)
    part.note(f"{name}: video tokens", row.num_video_tokens)
    part.note(f"{name}: frames to video tokens, s", vision)
    part.note(f"{name}: first token, s", first)
    part.note(f"{name}: tokens/s", rate)
    if peer is not None and row is not peer and row.num_video_tokens == peer.num_video_tokens:
        _, peer_first, peer_whole = (statistics.median(s) for s in peer.seconds.values())
        part.note(f"{name}: first token / LlavaOnevision's", first / peer_first, "<= 1")
        ratio = rate * (peer_whole - peer_first) / (num_new - 1)
        part.note(f"{name}: tokens/s / LlavaOnevision's", ratio, ">= 1.5")
    if not row.peak_bytes:
        return
    part.note(f"{name}: peak GiB", row.peak_bytes / 2**30)
    if row.representation is not None:
        estimate = MemoryModel.of(row.model.config, row.model.dtype, "cuda").estimate(
            num_frames=len(row.pixels),
            num_video_tokens=row.num_video_tokens,
            num_prompt_tokens=row.inputs["input_ids"].shape[1],
            num_new_tokens=num_new,
        )
        part.note(
            f"{name}: estimated / measured peak", estimate.peak / row.peak_bytes, "0.9 to 1.1"
        )


if __name__ == "__main__":
    main()
