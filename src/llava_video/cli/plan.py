"""``llava-video plan``: which representations fit into a device's memory and a model's context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from llava_video.errors import InputError

if TYPE_CHECKING:
    import torch

    from llava_video.budget.inference_memory import MemoryModel
    from llava_video.budget.latency import Rates
    from llava_video.budget.planner import Option, Plan, Planner
    from llava_video.pages.blocks import Table


def command(
    model: Annotated[
        str, typer.Option(help="'tiny', a directory with a config.json, or a hub name.")
    ],
    gpu_memory: Annotated[
        str | None,
        typer.Option(help="Memory of the device, such as 24GiB; default: what --device has free."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="The device at hand to plan for: auto, cpu, cuda, cuda:1 or mps.")
    ] = "auto",
    representation: Annotated[
        str | None,
        typer.Option(
            help="Plan for this one instead of the checkpoint's own: T,M,s,p, a name from "
            "`presets`, or evs=0.5 to keep half of the tokens."
        ),
    ] = None,
    clip_seconds: Annotated[
        float | None, typer.Option(help="Length of the video; also tries 1 frame/s.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    dtype: Annotated[
        str | None, typer.Option(help="bfloat16, float16 or float32; default: the checkpoint's.")
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(help="Longest wait in seconds, from the frames to the end of the answer."),
    ] = None,
    max_video_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens that the video may become.")
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option(help="TFLOP/s that a device sustains; default: measured on --device."),
    ] = None,
    bandwidth: Annotated[
        str | None, typer.Option(help="Bytes per second that it reads, such as 3TB; likewise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the representations that fit, and why others do not; pick one.

    Works from config.json alone. Counts one conversation about one video. Exits with 1 if nothing
    fits.
    """
    import json

    from llava_video.budget.devices import free_memory_bytes, parse_device
    from llava_video.budget.inference_memory import MemoryModel
    from llava_video.budget.planner import Planner, read_config
    from llava_video.budget.units import parse_bytes, parse_dtype
    from llava_video.checkpoints.load import fit_representation

    place = parse_device(device)
    memory_bytes = free_memory_bytes(place) if gpu_memory is None else parse_bytes(gpu_memory)
    if memory_bytes is None:
        raise InputError(f"what {place} has free is not known here; give --gpu-memory")
    device_type = place.type if gpu_memory is None else "cuda"
    config = read_config(model)
    own = config.representation
    if representation is not None:
        config.representation = fit_representation(representation, config)
    memory_model = MemoryModel.of(config, parse_dtype(dtype), device_type)
    planner = Planner(
        memory_model,
        memory_bytes=memory_bytes,
        clip_seconds=clip_seconds,
        num_new_tokens=max_new_tokens,
        rates=_find_rates(memory_model, place, tflops, bandwidth, measure=max_latency is not None),
        max_latency_seconds=max_latency,
        max_video_tokens=max_video_tokens,
        checkpoint_own=own,
    )
    plan = planner.plan()
    if as_json:
        typer.echo(json.dumps(_to_dict(model, planner, plan), ensure_ascii=False))
    else:
        _print(model, planner, plan)
    if plan.pick is None:
        raise typer.Exit(1)


def _find_rates(
    model: MemoryModel,
    device: torch.device,
    tflops: float | None,
    bandwidth: str | None,
    *,
    measure: bool,
) -> Rates | None:
    from llava_video.budget.latency import Rates, measure_rates
    from llava_video.budget.units import parse_bytes

    if tflops is not None and bandwidth is not None:
        flops = tflops * 1e12
        return Rates(flops, flops, parse_bytes(bandwidth), "as given")
    if tflops is not None or bandwidth is not None:
        raise InputError("--tflops and --bandwidth go together: for the prompt and for the answer")
    return measure_rates(model.config, model.dtype, device) if measure else None


def _to_dict(model: str, planner: Planner, plan: Plan) -> dict[str, object]:
    return {
        "model": model,
        "dtype": str(planner.model.dtype).removeprefix("torch."),
        "memory_bytes": planner.memory_bytes,
        "num_parameters": planner.model.num_parameters,
        "key_value_bytes_per_token": planner.model.key_value_bytes_per_token,
        "rates": None if planner.rates is None else planner.rates.to_dict(),
        "options": [option.to_dict() for option in plan.options],
        "most_frames": plan.most_frames,
        "pick": None if plan.pick is None else plan.pick.to_dict(),
        "reason": plan.reason,
    }


def _print(model: str, planner: Planner, plan: Plan) -> None:
    from llava_video.pages.terminal import show

    seconds = planner.clip_seconds
    last = [f"frames of its own representation that fit: {plan.most_frames}", plan.reason]
    if plan.pick is not None:
        rate = f", one every {seconds / plan.pick.num_frames:.1f} s" if seconds else ""
        last[1:] = [
            f"pick: --representation {_quoted(plan.pick.name)} "
            f"({plan.pick.num_frames} frames{rate}, "
            f"{plan.pick.num_video_tokens:,} tokens)",
            f"      {plan.reason}",
        ]
    table = _table(plan.options, with_seconds=planner.rates is not None)
    show(*_describe(model, planner), table, *last)


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name


def _describe(model: str, planner: Planner) -> list[str]:
    """The model, the memory and the rates that the options are counted for."""
    from llava_video.budget.units import size_text

    millions = planner.model.num_parameters / 1e6
    count = f"{millions:.2f} million" if millions < 100 else f"{millions / 1000:.2f} billion"
    dtype = str(planner.model.dtype).removeprefix("torch.")
    reserve = planner.reserve_bytes
    lines = [
        f"{model}: {count} parameters in {dtype}, "
        f"{planner.model.key_value_bytes_per_token:,} bytes of cache per token, "
        f"{size_text(planner.memory_bytes)} of memory"
        + (f", {size_text(reserve)} set aside for the runtime" if reserve else "")
    ]
    if planner.rates is not None:
        rates = planner.rates
        lines.append(
            f"rates {rates.source}: frames {rates.vision_flops / 1e12:.3g} TFLOP/s, "
            f"prompt {rates.prefill_flops / 1e12:.3g} TFLOP/s, "
            f"answer {rates.decode_bytes / 1e9:,.1f} GB/s; "
            f"seconds to the end of {planner.num_new_tokens} tokens"
        )
    return lines


def _table(options: Sequence[Option], *, with_seconds: bool) -> Table:
    from llava_video.pages.blocks import Table

    head = ["representation", "frames", "tokens", "context", "cache", "activations", "peak"]
    head += ["seconds"] * with_seconds
    rows = []
    for option in options:
        cells = _cells(option)
        verdict = "fits" if option.rejection is None else f"no: {option.rejection}"
        rows.append([*cells, *[""] * (len(head) - len(cells)), verdict])
    return Table([*head, ""], rows, f"l{'r' * (len(head) - 1)}l")


def _cells(option: Option) -> list[str]:
    from llava_video.budget.units import size_text

    if option.memory is None:
        return [option.name, "-", "-"]
    cells = [
        option.name,
        f"{option.num_frames}",
        f"{option.num_video_tokens:,}",
        f"{option.context_share:,.0%}",
        size_text(option.memory.key_value_cache),
        size_text(option.memory.activations),
        size_text(option.memory.peak),
    ]
    if option.latency is not None:
        cells.append(f"{option.latency.total_seconds:,.1f}")
    return cells
