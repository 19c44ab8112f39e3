"""Plans: what is said to fit does fit, what is refused says why, and the pick is one of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from llava_video.budget import devices
from llava_video.budget.inference_memory import MemoryModel
from llava_video.budget.latency import Rates
from llava_video.budget.planner import Planner, fit_memory, read_config
from llava_video.budget.units import parse_bytes, parse_dtype
from llava_video.checkpoints.load import TINY, load_config, load_processor
from llava_video.errors import CheckpointError, InputError, RepresentationError
from llava_video.model import LlavaVideoConfig
from llava_video.processing.prompt import describe_sampling
from llava_video.representation import PRESETS, make_layout, parse_representation
from llava_video.types import Frames
from tests.budget.memory import GIB, SEVEN_B, needed_bytes, set_free_memory
from tests.model.small import random_frames, small_config, small_processor


@pytest.fixture(scope="module")
def seven_b() -> MemoryModel:
    return MemoryModel.of(LlavaVideoConfig(**SEVEN_B))


def test_tokens_are_those_of_the_layout(seven_b: MemoryModel) -> None:
    plan = Planner(seven_b, 24 * GIB).plan()
    for option in plan.options:
        if option.representation is not None:
            layout = make_layout(option.representation, option.num_frames)
            assert option.num_video_tokens == layout.num_tokens
    assert {option.name for option in plan.options} >= set(PRESETS)
    counts = {option.name: option.num_video_tokens for option in plan.options}
    assert (counts["64,729,1,2"], counts["64,729,3,2"]) == (13_440, 6_972)
    assert counts["llava-video-slowfast"] == 5_097


def test_names_are_what_the_other_commands_take(seven_b: MemoryModel) -> None:
    own = seven_b.config.representation
    for option in Planner(seven_b, 24 * GIB).plan().options:
        if option.representation is not None and option.name not in PRESETS:
            assert parse_representation(option.name, own) == option.representation


def test_a_large_device_takes_the_checkpoint_as_it_is(seven_b: MemoryModel) -> None:
    plan = Planner(seven_b, 24 * GIB).plan()
    assert plan.pick is not None
    assert plan.pick.representation == seven_b.config.representation


def test_the_pick_gives_way_as_memory_shrinks(seven_b: MemoryModel) -> None:
    shown = []
    for memory_bytes in (24 * GIB, int(17.5 * GIB), 16 * GIB, 15 * GIB):
        planner = Planner(seven_b, memory_bytes)
        plan = planner.plan()
        if plan.pick is not None:
            assert plan.pick.memory is not None
            assert plan.pick.memory.peak + planner.reserve_bytes <= memory_bytes
            assert plan.pick.num_frames >= plan.most_frames or plan.most_frames > 64
        shown.append(plan.pick and plan.pick.name)
    assert shown[:2] == ["64,729,1,2", "64,729,3,2"]
    assert shown[-1] is None
    assert "nothing fits" in plan.reason


def test_the_most_frames_are_a_border(seven_b: MemoryModel) -> None:
    for memory_bytes in (17 * GIB, 24 * GIB):
        planner = Planner(seven_b, memory_bytes, clip_seconds=90)
        most = planner.plan().most_frames
        own = seven_b.config.representation
        at, beyond = (
            planner.judge(parse_representation(f"{count},729,1,2", own))
            for count in (most, most + 1)
        )
        assert at.rejection is None
        assert beyond.rejection is not None


def test_every_rejection_has_its_reason(seven_b: MemoryModel) -> None:
    plan = Planner(seven_b, 17 * GIB, clip_seconds=300).plan()
    reasons = {option.name: option.rejection for option in plan.options}
    assert "the context is 32,768" in (reasons["300,729,1,2"] or "")
    assert "and 512 MiB for the runtime, of 17.00 GiB: weights 14.9" in str(reasons["64,729,1,2"])
    assert "no separator vector" in (reasons["released-72b"] or "")
    assert "max_1d" in (reasons["slowfast-llava-published"] or "")
    assert reasons["16,729,1,2"] is None


def test_the_prompt_is_never_longer_than_planned() -> None:
    """The time instruction is counted by its bytes, which no tokenizer exceeds."""
    processor = small_processor()
    config = small_config(video_token_id=processor.video_token_id)
    for num_frames in (1, 5, 8):
        frames = random_frames(num_frames)
        question = "What colour is it?"
        planner = Planner(
            MemoryModel.of(config),
            GIB,
            clip_seconds=num_frames,
            num_text_tokens=len(question) + 128,
        )
        planned = planner.judge(parse_representation(f"{num_frames},64,3,2", config.representation))
        ids = processor(question, Frames.from_array(frames.pixels))["input_ids"]
        assert ids.shape[1] <= planned.num_prompt_tokens


@pytest.mark.parametrize("num_frames", [1, 9, 10, 64, 1234])
@pytest.mark.parametrize("seconds", [0.5, 59.99, 7200.0])
def test_the_time_instruction_is_counted_at_its_longest(num_frames: int, seconds: float) -> None:
    times = np.linspace(0, seconds, num_frames)
    indices = np.arange(num_frames)
    pixels = np.zeros((num_frames, 1, 1, 3), np.uint8)
    said = describe_sampling(Frames(pixels, times, indices, seconds))
    config = small_config(video_representation={"grid_side": 8, "max_frames": num_frames})
    planner = Planner(MemoryModel.of(config), GIB, clip_seconds=seconds, num_text_tokens=0)
    option = planner.judge(config.representation)
    counted = option.num_prompt_tokens - option.num_video_tokens
    assert len(said.encode()) <= counted <= len(said.encode()) + 5 * num_frames


GIVEN = Rates(100e12, 200e12, 1e12, "as given")


def test_a_longest_wait_rejects_what_takes_longer(seven_b: MemoryModel) -> None:
    free = Planner(seven_b, 24 * GIB, rates=GIVEN).plan()
    times = [o.latency.total_seconds for o in free.options if o.latency is not None]
    limit = sorted(times)[len(times) // 2]
    plan = Planner(seven_b, 24 * GIB, rates=GIVEN, max_latency_seconds=limit).plan()
    for before, after in zip(free.options, plan.options, strict=True):
        assert before.latency == after.latency
        if before.rejection is not None:
            assert after.rejection == before.rejection
        elif before.latency is not None and before.latency.total_seconds > limit:
            assert f"s of {limit:,g} s: frames" in (after.rejection or "")
        else:
            assert after.rejection is None
    assert plan.pick is not None
    assert plan.pick.latency is not None
    assert plan.pick.latency.total_seconds <= limit
    assert plan.most_frames < free.most_frames


def test_a_wait_too_short_for_one_frame_says_what_takes_long(seven_b: MemoryModel) -> None:
    plan = Planner(seven_b, 24 * GIB, rates=GIVEN, max_latency_seconds=0.1).plan()
    assert plan.pick is None
    assert "nothing fits; one frame takes" in plan.reason
    assert "256 tokens" in plan.reason


def test_waits_that_cannot_be(seven_b: MemoryModel) -> None:
    for seconds in (0.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="longest wait above zero"):
            Planner(seven_b, GIB, rates=GIVEN, max_latency_seconds=seconds)
    with pytest.raises(InputError, match="needs the rates"):
        Planner(seven_b, GIB, max_latency_seconds=1)


def test_what_does_not_fit_is_changed_and_said_or_refused(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    config = load_config(small_checkpoint)
    own = config.representation
    needed = {count: needed_bytes(small_checkpoint, count, 5) for count in (1, 3, 8)}

    set_free_memory(needed[8] + 1024, tmp_path, monkeypatch)
    assert fit_memory(config, small_checkpoint, cpu, num_new_tokens=5) == (own, None)

    set_free_memory(needed[3] + 1024, tmp_path, monkeypatch)
    fits = fit_memory(config, small_checkpoint, cpu, num_frames=3, num_new_tokens=5)
    assert fits == (own, None)
    with pytest.raises(RepresentationError, match=r"V = 8,64,3,2 needs .* cpu has .* free; leave"):
        fit_memory(config, small_checkpoint, cpu, num_new_tokens=5, may_change=False)
    taken, said = fit_memory(config, small_checkpoint, cpu, num_new_tokens=5)
    assert said is not None
    assert "took V = " in said
    assert taken != own
    assert config.representation == own  # the planner advises, its caller decides
    config.representation = taken
    assert fit_memory(config, small_checkpoint, cpu, num_new_tokens=5) == (taken, None)

    set_free_memory(needed[1] // 2, tmp_path, monkeypatch)
    with pytest.raises(RepresentationError, match="nothing fits; one frame needs"):
        fit_memory(config, small_checkpoint, cpu)


def test_systems_that_do_not_say_what_is_free_change_nothing(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_MEMINFO", tmp_path / "nowhere")
    config = load_config(small_checkpoint)
    fits = fit_memory(config, small_checkpoint, torch.device("cpu"))
    assert fits == (config.representation, None)


def test_devices_that_are_not_there() -> None:
    assert devices.parse_device("CPU") == torch.device("cpu")
    for name in ("tpu9", "gpu", "meta", "cuda:x", "cpu:0", ""):
        with pytest.raises(InputError, match=f"'{name}' is not a device; give auto, cpu, cuda"):
            devices.parse_device(name)
    for name in ("cuda:99", "cuda:99999"):
        with pytest.raises(InputError, match=f"^there is no {name} here; use auto or cpu$"):
            devices.parse_device(name)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_clips_that_cannot_be(seconds: float, seven_b: MemoryModel) -> None:
    with pytest.raises(InputError, match="cannot be planned for"):
        Planner(seven_b, GIB, clip_seconds=seconds)


def test_a_day_is_planned_as_fast_as_a_minute(seven_b: MemoryModel) -> None:
    plan = Planner(seven_b, 24 * GIB, clip_seconds=86_400).plan()
    assert plan.pick is not None
    assert "86400,729,1,2" in {option.name for option in plan.options}


def test_a_configuration_is_enough(tmp_path: Path) -> None:
    values = {
        "architectures": ["LlavaQwenForCausalLM"],
        **SEVEN_B["text_config"],  # type: ignore[dict-item]
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_newline_position": "grid",
        "mm_patch_merge_type": "spatial_unpad",
        "torch_dtype": "bfloat16",
    }
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = read_config(tmp_path)
    assert config.representation == LlavaVideoConfig(**SEVEN_B).representation
    assert MemoryModel.of(config) == MemoryModel.of(config)
    (tmp_path / "config.json").write_text(json.dumps({**values, "add_faster_video": True}))
    assert read_config(tmp_path).has_separator
    LlavaVideoConfig(**SEVEN_B).save_pretrained(tmp_path)
    assert read_config(tmp_path).representation == config.representation


def test_tiny_fits_anywhere_in_its_own_way() -> None:
    config = read_config(TINY)
    plan = Planner(MemoryModel.of(config), GIB).plan()
    assert plan.pick is not None
    assert plan.pick.representation == config.representation


def test_what_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        read_config(tmp_path)
    for model in (tmp_path / "nowhere", "tinny"):
        with pytest.raises(CheckpointError, match="no such directory"):
            read_config(model)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CheckpointError, match="'llama' model"):
        read_config(tmp_path)
    with pytest.raises(CheckpointError, match=r"nobody/nothing: .* complete copy"):
        read_config("nobody/nothing")


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("24GiB", 24 * 2**30),
        ("24GB", 24 * 10**9),
        ("24g", 24 * 10**9),
        ("0.5 TiB", 2**39),
        ("81559MiB", 81559 * 2**20),
        ("2000000", 2_000_000),
        ("16 kb", 16_000),
    ],
)
def test_amounts_of_memory(text: str, num_bytes: int) -> None:
    assert parse_bytes(text) == num_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "24 Gib/s", "1e9", "0GB", "4iB", "2XB"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InputError, match="amount of memory"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["24", "24 B", "999999"])
def test_so_few_bytes_lack_a_unit(text: str) -> None:
    with pytest.raises(InputError, match=r"^[0-9]+ bytes\? give a unit, such as [0-9]+GiB$"):
        parse_bytes(text)


def test_dtypes() -> None:
    assert parse_dtype(None) is None
    with pytest.raises(InputError, match="no dtype is called 'int8'"):
        parse_dtype("int8")


def test_unfit_presets_do_not_hide_the_others() -> None:
    config = small_config(has_separator=False, has_newline=False, video_representation={})
    plan = Planner(MemoryModel.of(config), GIB).plan()
    assert "no newline vector" in {o.name: o.rejection for o in plan.options}["released-7b"]  # type: ignore[operator]


def test_processor_and_plan_agree_on_tiny() -> None:
    """What the plan calls the context is what the processor refuses beyond."""
    from llava_video.checkpoints.load import find_checkpoint

    config = read_config(TINY)
    processor = load_processor(find_checkpoint(TINY), config)
    assert processor.max_positions == config.text_config.max_position_embeddings  # type: ignore[union-attr]
