"""Tokens per second behind a long video on a CPU, against transformers' default attention.

A random model with the shape of Qwen2-0.5B in bfloat16, and random keys and values of 5,400
positions in place of a video: what they hold does not change the time. The two attentions take
turns, so that other work on the machine meets both. Prints milliseconds per token (median and
fastest of the clock, median of the processor's own time over all threads) and how far the logits
are apart.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
import transformers
from transformers import DynamicCache

from llava_video.model import LlavaVideoConfig, LlavaVideoForConditionalGeneration
from llava_video.model.grouped_attention import GROUPED
from llava_video.model.outputs import CACHE

QWEN2_05B = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
SMALL_VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 8,
}


def random_model() -> LlavaVideoForConditionalGeneration:
    config = LlavaVideoConfig(
        vision_config=SMALL_VISION, text_config=QWEN2_05B, tie_word_embeddings=True
    )
    torch.manual_seed(0)
    with torch.device("meta"):
        model = LlavaVideoForConditionalGeneration(config)
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    model.tie_weights()
    model.model.language_model.rotary_emb = type(model.model.language_model.rotary_emb)(
        config.text_config
    )
    return model.eval()


def random_cache(num_positions: int) -> DynamicCache:
    torch.manual_seed(1)
    cache = DynamicCache()
    for layer in range(QWEN2_05B["num_hidden_layers"]):
        keys, values = torch.randn(2, 1, 2, num_positions, 64, dtype=torch.bfloat16)
        cache.update(keys, values, layer)
    return cache


@torch.inference_mode()
def decode(
    model: Any, num_positions: int, num_tokens: int
) -> tuple[list[tuple[float, float]], torch.Tensor]:
    """Milliseconds of each token by the clock and by the processor, and the logits of all."""
    cache = random_cache(num_positions)
    token = torch.tensor([[1]])
    milliseconds, logits = [], []
    for step in range(num_tokens):
        start, start_cpu = time.perf_counter(), time.process_time()
        output = model(input_ids=token, **{CACHE: cache}, logits_to_keep=1)
        elapsed, elapsed_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        milliseconds.append((1000 * elapsed, 1000 * elapsed_cpu))
        logits.append(output.logits[0, -1].float())
        token = torch.tensor([[step + 2]])
    return milliseconds, torch.stack(logits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positions", type=int, nargs="+", default=[5400, 32])
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = random_model()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{arguments.threads} threads, Qwen2-0.5B shape, bfloat16, {versions}")
    for num_positions in arguments.positions:
        times: dict[str, list[tuple[float, float]]] = {"sdpa": [], GROUPED: []}
        logits = {}
        for _ in range(arguments.rounds):
            for name in times:
                model.set_attn_implementation({"text_config": name})
                measured, logits[name] = decode(model, num_positions, arguments.tokens)
                times[name] += measured[1:]
        medians, cpu_medians = {}, {}
        for name, values in times.items():
            clock, cpu = zip(*values, strict=True)
            medians[name], cpu_medians[name] = statistics.median(clock), statistics.median(cpu)
            print(
                f"{num_positions:6d} positions  {name:20s} {medians[name]:6.0f} ms/token "
                f"(fastest {min(clock):.0f}, processor {cpu_medians[name]:.0f})"
            )
        apart = (logits["sdpa"] - logits[GROUPED]).abs().max() / logits["sdpa"].abs().max()
        print(
            f"{num_positions:6d} positions  {medians['sdpa'] / medians[GROUPED]:.2f} x tokens/s, "
            f"{cpu_medians['sdpa'] / cpu_medians[GROUPED]:.2f} x by the processor's time, "
            f"logits {apart:.1e} apart"
        )


if __name__ == "__main__":
    main()
