"""Which video representations fit: into memory, a model's context, and a latency limit."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llava_video.budget.devices import free_memory_bytes
from llava_video.budget.inference_memory import MemoryEstimate, MemoryModel, dtype_of
from llava_video.budget.latency import Latency, Rates, count_work
from llava_video.budget.units import size_text
from llava_video.checkpoints.files.json_files import read_json
from llava_video.checkpoints.load import (
    find_checkpoint,
    fit_representation,
    load_config,
    translate,
)
from llava_video.checkpoints.safetensors_files import read_headers
from llava_video.errors import CheckpointError, InputError, RepresentationError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.processing.prompt import describe_sampling
from llava_video.representation import (
    PRESETS,
    VideoRepresentation,
    make_layout,
    parse_representation,
)
from llava_video.representation.video_representation import is_selection
from llava_video.types import Frames

FRAME_COUNTS = (8, 16, 32, 64, 128, 256)

DEFAULT_CLIP_SECONDS = 600.0
"""Only the length of the time instruction depends on it where no clip is given."""

RUNTIME_BYTES = 1 << 29
"""Memory of a GPU's runtime: an assumption, which depends on the driver."""

SLOW_STRIDE = 3
"""Of the paper's SlowFast; also offered with a checkpoint's own pooling and newlines."""


class MemoryShortError(RepresentationError):
    """An answer does not fit into what is free on a device."""


@dataclass(frozen=True, slots=True)
class Option:
    """A representation of a video, and whether it fits.

    Attributes:
        name: what ``--representation`` takes: four numbers or the name of a preset.
        representation: how frames become tokens; None where the model cannot have it.
        num_frames: T.
        num_video_tokens: V, exact.
        num_prompt_tokens: with the text, at most.
        context_share: prompt and answer, of the longest context.
        memory: what an answer takes.
        latency: how long an answer takes, where the rates of the device are known.
        rejection: why it does not fit, or None.
    """

    name: str
    representation: VideoRepresentation | None
    num_frames: int
    num_video_tokens: int
    num_prompt_tokens: int
    context_share: float
    memory: MemoryEstimate | None
    latency: Latency | None
    rejection: str | None

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["context_share"] = round(self.context_share, 4)
        if self.representation is not None:
            values["representation"] = self.representation.to_dict()
        if self.memory is not None:
            values["memory"] = self.memory.to_dict()
        if self.latency is not None:
            values["latency"] = self.latency.to_dict()
        return values


@dataclass(frozen=True, slots=True)
class Plan:
    """The memory plan of one model on one device.

    Attributes:
        options: the checkpoint's own representation at several frame counts, the same with slow
            and fast frames, then those that have a name.
        pick: the one to take, or None if nothing fits.
        reason: why that one.
        most_frames: the most frames that fit in the checkpoint's own representation; 0 if none do.
    """

    options: tuple[Option, ...]
    pick: Option | None
    reason: str
    most_frames: int


@dataclass(frozen=True, slots=True)
class Planner:
    """Evaluates representations for one model, one device and one kind of request.

    Attributes:
        model: its configuration and how its memory is counted.
        memory_bytes: what the device has.
        clip_seconds: length of the video.
        num_text_tokens: of the question and everything around it but the time instruction.
        num_new_tokens: the longest answer.
        rates: what the device does per second; without them no latency is reported.
        max_latency_seconds: the longest that the longest answer may take.
        max_video_tokens: the most tokens that the video may become; None for any number.
        checkpoint_own: the checkpoint's own representation, where the configuration has another
            one, which was asked for.
    """

    model: MemoryModel
    memory_bytes: int
    clip_seconds: float | None = None
    num_text_tokens: int = 256
    num_new_tokens: int = 256
    rates: Rates | None = None
    max_latency_seconds: float | None = None
    max_video_tokens: int | None = None
    checkpoint_own: VideoRepresentation | None = None

    def __post_init__(self) -> None:
        limit = self.max_video_tokens
        if limit is not None and limit < 1:
            raise InputError(f"a video is at least one token; {limit} of them are too few")
        seconds = self.clip_seconds
        if seconds is not None and not 0 < seconds < math.inf:
            raise InputError(f"a clip of {seconds} seconds cannot be planned for; give its length")
        most = self.max_latency_seconds
        if most is not None and not 0 < most < math.inf:
            raise InputError(f"no answer takes {most} seconds; give a longest wait above zero")
        if most is not None and self.rates is None:
            raise InputError("a longest wait needs the rates of the device")

    @property
    def reserve_bytes(self) -> int:
        """What the device's runtime takes for itself; a CPU's is this program, running already."""
        return 0 if self.model.device_type == "cpu" else RUNTIME_BYTES

    def needed_bytes(self, option: Option) -> int:
        """What an option takes of the device, its runtime included."""
        return self.reserve_bytes + (option.memory.peak if option.memory else 0)

    def judge(self, representation: VideoRepresentation, name: str | None = None) -> Option:
        """Count the tokens and the bytes of a representation with all its frames."""
        num_frames = representation.max_frames
        layout = make_layout(representation, num_frames)
        num_video_tokens = layout.num_tokens
        num_prompt_tokens = num_video_tokens + self.num_text_tokens + self._time_tokens(num_frames)
        counts = {
            "num_frames": num_frames,
            "num_video_tokens": layout.num_packed_tokens,  # all are projected, then selected
            "num_prompt_tokens": num_prompt_tokens,
            "num_new_tokens": self.num_new_tokens,
        }
        memory = self.model.estimate(**counts)
        work = count_work(self.model.config, self.model.dtype, **counts)
        latency = None if self.rates is None else work.at(self.rates)
        text = self.model.config.text
        num_positions = num_prompt_tokens + self.num_new_tokens
        return Option(
            name or self._name_of(representation),
            representation,
            num_frames,
            num_video_tokens,
            num_prompt_tokens,
            num_positions / text.max_position_embeddings,
            memory,
            latency,
            self._reject(num_video_tokens, num_positions, memory, latency),
        )

    def _reject(
        self,
        num_video_tokens: int,
        num_positions: int,
        memory: MemoryEstimate,
        latency: Latency | None,
    ) -> str | None:
        text = self.model.config.text
        limit = self.max_video_tokens
        if limit is not None and num_video_tokens > limit:
            return f"is {num_video_tokens:,} video tokens, the limit is {limit:,}"
        if num_positions > text.max_position_embeddings:
            return (
                f"prompt and answer are {num_positions:,} tokens, the context is "
                f"{text.max_position_embeddings:,}"
            )
        if memory.peak + self.reserve_bytes > self.memory_bytes:
            reserve = self.reserve_bytes
            runtime = f" and {size_text(reserve)} for the runtime," if reserve else ""
            return (
                f"needs {size_text(memory.peak)}{runtime} of {size_text(self.memory_bytes)}: "
                f"weights {size_text(memory.weights)}, cache {size_text(memory.key_value_cache)}, "
                f"activations {size_text(memory.activations)}"
            )
        most = self.max_latency_seconds
        if latency is not None and most is not None and latency.total_seconds > most:
            return (
                f"takes {latency.total_seconds:,.2f} s of {most:,g} s: frames "
                f"{latency.vision_seconds:,.2f}, prompt {latency.prefill_seconds:,.2f}, "
                f"{self.num_new_tokens} tokens {latency.decode_seconds:,.2f}"
            )
        return None

    def plan(self) -> Plan:
        """Evaluate the checkpoint's own representation and the presets, and pick one."""
        own = self.model.config.representation
        counts = {*FRAME_COUNTS, own.max_frames}
        if self.clip_seconds is not None:
            counts.add(math.ceil(self.clip_seconds))  # one frame per second
        options = [self.judge(_with_frames(own, count)) for count in sorted(counts)]
        if own.slow_stride == 1:
            with suppress(RepresentationError):  # a fast frame may be less than a token
                options.append(self.judge(replace(own, slow_stride=SLOW_STRIDE)))
        options += self._named()
        most = self._most_frames(own)
        pick, reason = self._pick(options, most)
        return Plan(tuple(options), pick, reason, most)

    def fit_video_tokens(self, max_video_tokens: int) -> tuple[VideoRepresentation, str]:
        """The representation that a plan picks within a number of video tokens, and why that one.

        Raises:
            RepresentationError: one frame is more tokens, or does not fit.
        """
        plan = replace(self, max_video_tokens=max_video_tokens).plan()
        if plan.pick is None or plan.pick.representation is None:
            raise RepresentationError(f"{plan.reason}; allow more video tokens")
        return plan.pick.representation, plan.reason

    def _named(self) -> Iterator[Option]:
        for name in PRESETS:
            try:
                yield self.judge(fit_representation(name, self.model.config), name)
            except RepresentationError as error:
                yield Option(name, None, 0, 0, 0, 0.0, None, None, str(error))

    def _most_frames(self, representation: VideoRepresentation) -> int:
        """The most frames that fit, by bisection: memory is monotonic in frames."""

        def fits(num_frames: int) -> bool:
            return self.judge(_with_frames(representation, num_frames)).rejection is None

        low, high = 0, 1
        while fits(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low

    def _pick(self, options: list[Option], most: int) -> tuple[Option | None, str]:
        """The checkpoint's own way of showing as many frames as it was made with, or near it."""
        own = self.model.config.representation
        whose = "given" if self.checkpoint_own not in (None, own) else "checkpoint's own"
        if most >= own.max_frames:
            return self.judge(own), f"the {whose} representation with all its frames fits"
        short = f"the {whose} representation fits with {most} of its {own.max_frames}"
        with_more = [o for o in options if o.rejection is None and o.num_frames > most]
        if with_more:
            shown = max(min(o.num_frames, own.max_frames) for o in with_more)
            option = next(o for o in with_more if o.num_frames >= shown)
            return option, f"{short} frames, this one shows {option.num_frames}"
        if most:
            return self.judge(_with_frames(own, most)), f"{short} frames"
        return None, f"nothing fits; one frame {self.judge(_with_frames(own, 1)).rejection}"

    def _name_of(self, representation: VideoRepresentation) -> str:
        """What ``--representation`` takes to change the checkpoint's own to this one."""
        first, *others = str(representation).split()
        short = " ".join([first, *filter(is_selection, others)])
        base = self.checkpoint_own or self.model.config.representation
        with suppress(RepresentationError):  # they may contradict what stays of the base
            if parse_representation(short, base) == representation:
                return short
        return str(representation)

    def _time_tokens(self, num_frames: int) -> int:
        """At most as many as the time instruction has bytes, were every time as long as the last.

        Tokens of text are one byte or more.
        """
        if not self.model.config.add_time_instruction:
            return 0
        seconds = self.clip_seconds or DEFAULT_CLIP_SECONDS
        one_frame = Frames(
            np.zeros((1, 1, 1, 3), np.uint8), np.array([seconds]), np.zeros(1, np.int64), seconds
        )
        num_more_bytes = len(f"{seconds:.2f}s,") * (num_frames - 1) + len(str(num_frames)) - 1
        return len(describe_sampling(one_frame).encode()) + num_more_bytes


def _with_frames(representation: VideoRepresentation, num_frames: int) -> VideoRepresentation:
    return replace(representation, max_frames=num_frames)


def fit_memory(
    config: LlavaVideoConfig,
    directory: Path,
    device: torch.device,
    *,
    num_frames: int | None = None,
    num_new_tokens: int = 256,
    int8: bool = False,
    may_change: bool = True,
    held_bytes: int = 0,
) -> tuple[VideoRepresentation, str | None]:
    """The representation with which an answer fits into a device's free memory.

    Args:
        config: its representation is judged first.
        directory: its checkpoint, whose weights are counted.
        device: where it is to run.
        num_frames: frames that are wanted; by default T of the representation.
        num_new_tokens: the longest answer.
        int8: whether linear layers have int8 weights.
        may_change: whether another representation may be taken.
        held_bytes: of the model, which this process has loaded already.

    Returns:
        The representation of the configuration where the answer fits with it, or where the system
        does not say what is free, and None; else another one, and why.

    Raises:
        MemoryShortError: it does not fit, and no other representation may be taken or fits.
    """
    own = config.representation
    free_bytes = free_memory_bytes(device)
    if free_bytes is None:
        return own, None
    free_bytes += held_bytes
    planner = planner_of(config, directory, device, free_bytes, num_new_tokens, int8=int8)
    wanted = planner.judge(_with_frames(own, min(num_frames or own.max_frames, own.max_frames)))
    needed = planner.needed_bytes(wanted)
    if needed <= free_bytes:
        return own, None
    short = (
        f"V = {wanted.name} needs {size_text(needed)}, {device} has {size_text(free_bytes)} free"
    )
    if not may_change:
        raise MemoryShortError(f"{short}; leave --representation out, or see `llava-video plan`")
    plan = planner.plan()
    if plan.pick is None or plan.pick.representation is None:
        raise MemoryShortError(f"{short}; {plan.reason}")
    return plan.pick.representation, f"{short}; took V = {plan.pick.name}: {plan.reason}"


def fit_video_tokens(
    config: LlavaVideoConfig,
    directory: Path,
    device: torch.device,
    max_video_tokens: int,
    *,
    num_new_tokens: int = 256,
    held_bytes: int = 0,
    int8: bool = False,
) -> tuple[VideoRepresentation, str]:
    """See `Planner.fit_video_tokens`; within the free memory of a device."""
    free_bytes = free_memory_bytes(device)
    free_bytes = sys.maxsize if free_bytes is None else free_bytes + held_bytes
    planner = planner_of(config, directory, device, free_bytes, num_new_tokens, int8=int8)
    return planner.fit_video_tokens(max_video_tokens)


def spare_bytes(
    config: LlavaVideoConfig,
    directory: Path,
    device: torch.device,
    *,
    num_new_tokens: int = 256,
    int8: bool = False,
) -> int | None:
    """Free memory of a device that the model and an answer with all its frames will not take.

    Returns:
        At least 0; None where the system does not say what is free.
    """
    free_bytes = free_memory_bytes(device)
    if free_bytes is None:
        return None
    planner = planner_of(config, directory, device, free_bytes, num_new_tokens, int8=int8)
    return max(0, free_bytes - planner.needed_bytes(planner.judge(config.representation)))


def planner_of(
    config: LlavaVideoConfig,
    directory: Path,
    device: torch.device,
    free_bytes: int,
    num_new_tokens: int = 256,
    *,
    dtype: torch.dtype | None = None,
    int8: bool = False,
) -> Planner:
    """For a checkpoint whose files are here, in the dtype of its configuration unless given."""
    num_values = sum(tensor.num_values for shard in read_headers(directory) for tensor in shard)
    dtype = torch.float32 if int8 else dtype or dtype_of(config)
    model = MemoryModel(config, dtype, num_values, device.type, int8)
    return Planner(model, free_bytes, num_new_tokens=num_new_tokens)


def read_config(model: str | Path) -> LlavaVideoConfig:
    """The configuration of a model whose weights need not be there.

    Args:
        model: see `llava_video.load`; of one on the hub only config.json is downloaded.

    Raises:
        CheckpointError: there is no configuration, or it is of another architecture.
    """
    directory = find_checkpoint(model, only_config=True)
    if any(directory.glob("*.safetensors")):
        return load_config(directory, with_vision=False)
    file = directory / "config.json"
    if not file.is_file():
        raise CheckpointError(
            f"{model}: no config.json there; give 'tiny', a directory with one, or "
            "a hub name like lmms-lab/LLaVA-Video-7B-Qwen2"
        )
    return translate(read_json(file), None, directory)
