"""Loading a checkpoint in the released 7B layout: every name, and peak memory against its size.

Writes random weights under exactly the released names and sharded in four, as deep as the real one
(28 layers, 26 of vision) and narrower, and loads them in a process of its own. The real shapes are
checked without memory, on the meta device: names and shapes that the released layout holds are
those that the model wants.

Run: python benchmarks/load_checkpoint.py [--width 1024] [--directory DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NUM_SHARDS = 4
NUM_TEXT_LAYERS, NUM_VISION_LAYERS = 28, 26
GOAL = 1.2

Shapes = dict[str, tuple[int, ...]]


def released_config(width: int, vision_width: int) -> dict[str, Any]:
    """The released config.json; sizes of the real one for widths of 3584 and 1152."""
    intermediate = width * 18944 // 3584
    config = {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava",
        "hidden_size": width,
        "intermediate_size": intermediate,
        "num_hidden_layers": NUM_TEXT_LAYERS,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "vocab_size": 152064,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_hidden_size": vision_width,
        "mm_projector_type": "mlp2x_gelu",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_newline_position": "grid",
    }
    if vision_width != 1152:
        config["vision_config"] = {
            "hidden_size": vision_width,
            "intermediate_size": vision_width * 4304 // 1152,
            "num_hidden_layers": NUM_VISION_LAYERS,
            "num_attention_heads": 16,
            "image_size": 384,
            "patch_size": 14,
        }
    return config


def released_shapes(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the released state dict, written down from its published listing."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    kv_width = width // config["num_attention_heads"] * config["num_key_value_heads"]
    vocabulary = config["vocab_size"]
    shapes: Shapes = {
        "model.embed_tokens.weight": (vocabulary, width),
        "model.norm.weight": (width,),
        "lm_head.weight": (vocabulary, width),
        "model.image_newline": (width,),
        "model.mm_projector.0.weight": (width, config["mm_hidden_size"]),
        "model.mm_projector.0.bias": (width,),
        "model.mm_projector.2.weight": (width, width),
        "model.mm_projector.2.bias": (width,),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, rows in (("q", width), ("k", kv_width), ("v", kv_width)):
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = (rows, width)
            shapes[f"{prefix}self_attn.{name}_proj.bias"] = (rows,)
        shapes[f"{prefix}self_attn.o_proj.weight"] = (width, width)
        shapes[f"{prefix}mlp.gate_proj.weight"] = (inner, width)
        shapes[f"{prefix}mlp.up_proj.weight"] = (inner, width)
        shapes[f"{prefix}mlp.down_proj.weight"] = (width, inner)
        shapes[f"{prefix}input_layernorm.weight"] = (width,)
        shapes[f"{prefix}post_attention_layernorm.weight"] = (width,)
    vision = {"num_hidden_layers": NUM_VISION_LAYERS, "image_size": 384, "patch_size": 14}
    vision |= config.get("vision_config", {})
    num_patches = (vision["image_size"] // vision["patch_size"]) ** 2
    layers = vision["num_hidden_layers"]
    return {**shapes, **dict(vision_shapes(config["mm_hidden_size"], layers, num_patches))}


def vision_shapes(
    width: int, num_layers: int, num_patches: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    inner = width * 4304 // 1152
    tower = "model.vision_tower.vision_tower.vision_model."
    yield f"{tower}embeddings.patch_embedding.weight", (width, 3, 14, 14)
    yield f"{tower}embeddings.patch_embedding.bias", (width,)
    yield f"{tower}embeddings.position_embedding.weight", (num_patches, width)
    for layer in range(num_layers):
        prefix = f"{tower}encoder.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{prefix}self_attn.{name}.weight", (width, width)
            yield f"{prefix}self_attn.{name}.bias", (width,)
        for name in ("layer_norm1", "layer_norm2"):
            yield f"{prefix}{name}.weight", (width,)
            yield f"{prefix}{name}.bias", (width,)
        yield f"{prefix}mlp.fc1.weight", (inner, width)
        yield f"{prefix}mlp.fc1.bias", (inner,)
        yield f"{prefix}mlp.fc2.weight", (width, inner)
        yield f"{prefix}mlp.fc2.bias", (width,)
    yield f"{tower}post_layernorm.weight", (width,)
    yield f"{tower}post_layernorm.bias", (width,)


def write_checkpoint(directory: Path, config: dict[str, Any], device: str = "cpu") -> int:
    """Random bfloat16 weights in shards of about equal size with an index; returns their bytes.

    They are drawn on ``device``: a GPU takes a second where a CPU takes minutes.
    """
    import torch
    from safetensors.torch import save_file

    (directory / "config.json").write_text(json.dumps(config))
    shapes = released_shapes(config)
    sizes = {name: 2 * torch.Size(shape).numel() for name, shape in shapes.items()}
    total, written = sum(sizes.values()), 0
    shards: list[list[str]] = [[] for _ in range(NUM_SHARDS)]
    for name in sorted(shapes):
        shards[min(written * NUM_SHARDS // total, NUM_SHARDS - 1)].append(name)
        written += sizes[name]
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{NUM_SHARDS:05d}.safetensors"
        weights = {
            name: torch.randn(shapes[name], device=device).mul_(0.02).bfloat16().cpu()
            for name in names
        }
        save_file(weights, directory / file, {"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def check_real_shapes() -> tuple[int, int]:
    """The released 7B on the meta device: number of tensors, and their bytes in bfloat16."""
    import torch

    from llava_video.checkpoints.layouts import native_name
    from llava_video.checkpoints.released import translate_config
    from llava_video.model.modeling import LlavaVideoForConditionalGeneration

    config = released_config(3584, 1152)
    shapes = released_shapes(config)
    with torch.device("meta"):
        model = LlavaVideoForConditionalGeneration(translate_config(config, set(shapes), "7B"))
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    held = {native_name(name): shape for name, shape in shapes.items()}
    assert held == wanted, sorted(held.items() ^ wanted.items())[:3]
    return len(held), sum(2 * torch.Size(shape).numel() for shape in held.values())


def load_here(directory: Path) -> dict[str, float]:
    """Load in this process: seconds, and peak memory beyond what the libraries take."""
    from llava_video.checkpoints.load import load_model

    before = resident_bytes("VmRSS")
    start = time.perf_counter()
    model = load_model(directory)
    seconds = time.perf_counter() - start
    peak = resident_bytes("VmHWM") - before
    for parameter in model.parameters():
        assert parameter.sum().isfinite()  # reads every page, should some be left in the files
    return {"seconds": seconds, "peak": peak, "read": resident_bytes("VmHWM") - before}


def resident_bytes(key: str) -> int:
    """VmRSS is what this process holds, VmHWM the most it ever held, mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1024, help="of the language model; 28 heads")
    parser.add_argument("--vision-width", type=int, default=288)
    parser.add_argument("--directory", help="where to write; default: a temporary directory")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load_here(options.load)))
        return
    num_tensors, num_bytes = check_real_shapes()
    print(f"real shapes, meta device: {num_tensors} tensors, {num_bytes / 1e9:.2f} GB, all fit\n")
    width = options.width // 28 * 28
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        size = write_checkpoint(directory, released_config(width, options.vision_width))
        command = [sys.executable, __file__, "--load", name]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=dict(os.environ)
        )
    figures = json.loads(done.stdout.splitlines()[-1])
    print("| width | checkpoint | seconds | peak of loading | and of reading all | goal |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {width} | {size / 2**20:,.0f} MiB | {figures['seconds']:.1f} | "
        f"{figures['peak'] / size:.2f} x | {figures['read'] / size:.2f} x | {GOAL} x |"
    )


if __name__ == "__main__":
    main()
