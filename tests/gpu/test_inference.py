"""Inference on a GPU: the values of the CPU, whatever the dtype, cache and attention."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import Answered, AnswerOptions, answer_one
from llava_video.checkpoints.load import load_model
from llava_video.model.decoding import FixedCache, RecordedDecoding
from llava_video.model.grouped_attention import GROUPED
from llava_video.model.outputs import CACHE
from tests.model.released import CASES, GOLDENS, preprocess, set_case, with_placeholders
from tests.model.small import random_frames, small_model, small_processor

CUDA = "cuda"
RECORDED = 1e-4
"""Agreement that the recordings promise, relative to the largest value."""

BFLOAT16 = 5e-2
"""Length of the difference to that of the values: eight bits of mantissa through all layers."""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "golden.npz") as archive:
        return dict(archive)


def difference(actual: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest value; in few bits, of lengths of vectors."""
    wanted = torch.from_numpy(expected)
    assert actual.shape == wanted.shape
    apart = actual.detach().float().cpu() - wanted
    if actual.dtype == torch.float32:
        return float(apart.abs().max() / wanted.abs().max())
    return float(apart.norm() / wanted.norm())


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, RECORDED), (torch.bfloat16, BFLOAT16)]
)
@pytest.mark.parametrize("name", CASES["cases"])
@torch.no_grad()
def test_outputs_recorded_from_the_official_code(
    name: str, dtype: torch.dtype, tolerance: float, golden: dict[str, np.ndarray]
) -> None:
    model: Any = load_model(GOLDENS, dtype=dtype).to(CUDA)
    settings = CASES["cases"][name]
    set_case(model, settings)
    pixels = preprocess(model, golden["frames"]).to(CUDA)
    ids = with_placeholders(model, CASES["input_ids"], [settings["num_visual_tokens"]]).to(CUDA)
    output = model(input_ids=ids, pixel_values_videos=pixels)
    assert difference(output.video_tokens[0], golden[f"{name}/visual_tokens"]) <= tolerance
    kept = torch.cat([output.logits[0, :3], output.logits[0, -5:]])
    assert difference(kept, golden[f"{name}/text_logits"]) <= tolerance
    if dtype == torch.float32:
        recorded = golden[f"{name}/greedy_ids"]
        model.generation_config.eos_token_id = None
        generated = model.generate(
            input_ids=ids, pixel_values_videos=pixels, max_new_tokens=len(recorded),
            do_sample=False, pad_token_id=0,
        )  # fmt: skip
        assert generated[0, ids.shape[1] :].tolist() == recorded.tolist()


@pytest.mark.parametrize("attention", ["sdpa", "eager", GROUPED])
@pytest.mark.parametrize("num_questions", [1, 2])
def test_recorded_decoding_gives_the_tokens_of_the_cpu(attention: str, num_questions: int) -> None:
    processor = small_processor()
    model = small_model(video_token_id=processor.video_token_id)
    model.set_attn_implementation({"text_config": attention})
    questions = ["What colour is it?", "Red? It is red."][:num_questions]
    inputs = processor(questions, [random_frames(3), random_frames(8)][:num_questions])
    options = {"max_new_tokens": 24, "min_new_tokens": 24, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(**inputs, **options)
    model, inputs = model.to(CUDA), inputs.to(CUDA)
    given = model.generate(**inputs, **options)
    growing = model.generate(**inputs, **options, cache_implementation="dynamic")
    assert given.tolist() == growing.tolist() == expected.tolist()


@torch.no_grad()
def test_a_recording_is_replayed_with_new_inputs() -> None:
    model = small_model().to(CUDA)
    prompt = torch.arange(5, 15, device=CUDA)[None]
    cache = FixedCache(model.config, 40)
    model(input_ids=prompt, **{CACHE: cache})
    decode = RecordedDecoding(model)
    ids = prompt
    for token in (7, 9, 200, 3, 4, 5, 6):
        ids = torch.cat([ids, ids.new_tensor([[token]])], dim=1)
        length = torch.tensor([[ids.shape[1] - 1]], device=CUDA)
        mask = (torch.arange(40, device=CUDA) < ids.shape[1])[None, None, None]
        given = decode(
            input_ids=ids[:, -1:], position_ids=length, attention_mask=mask, **{CACHE: cache}
        )
        expected = model(input_ids=ids).logits[:, -1:]
        torch.testing.assert_close(given.logits, expected, rtol=1e-4, atol=1e-5)


def test_transformers_own_static_cache_and_compilation_still_work() -> None:
    processor = small_processor()
    model = small_model(video_token_id=processor.video_token_id).to(CUDA)
    inputs = processor("What colour is it?", random_frames(4)).to(CUDA)
    options = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(**inputs, **options)
    given = model.generate(**inputs, **options, cache_implementation="static")
    assert given.tolist() == expected.tolist()


def test_the_embedded_model_answers_as_on_the_cpu() -> None:
    video = Path(str(files("llava_video") / "assets" / "samples" / "three_shapes.mp4"))
    question = "In which direction does the ring move?"
    shown = {"type": "video", "video": video}
    asked = [{"role": "user", "content": [shown, {"type": "text", "text": question}]}]
    on_gpu = LocalModel.load("tiny", device=CUDA)
    assert on_gpu.network.device.type == CUDA
    on_cpu = LocalModel.load("tiny", device="cpu")
    assert answer_one(on_gpu, asked).text == answer_one(on_cpu, asked).text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bytes_of_frames_are_normalised_on_the_device(dtype: torch.dtype) -> None:
    model = small_model().to(CUDA, dtype)
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    features = model.model.encode_frames(pixels.to(CUDA))
    expected = model.float().cpu().model.encode_frames(pixels)
    assert features.dtype == dtype
    assert difference(features, expected.detach().numpy()) <= BFLOAT16


def test_a_model_that_keeps_what_it_computed_answers_as_on_the_cpu() -> None:
    video = files("llava_video") / "assets" / "samples" / "three_shapes.mp4"
    shown = {"type": "video", "video": str(video)}
    asked = ["In which direction does the ring move?", "Describe the video.", "What is seen?"]
    rows = [
        [{"role": "user", "content": [shown, {"type": "text", "text": question}]}]
        for question in asked
    ]
    answers = []
    for device in ("cpu", CUDA):
        model = LocalModel.load(device=device)
        alone = [answer_one(model, row) for row in rows]
        batch = [a for a in model.answer(rows, AnswerOptions()) if isinstance(a, Answered)]
        together = [a.text for a in sorted(batch, key=lambda a: a.row)]
        assert [a.text for a in alone] == together
        assert [a.usage.num_frames_encoded for a in alone] == [12, 0, 0]
        assert all(a.usage.num_tokens_prefilled == 1 for a in batch)
        answers.append(together)
    assert answers[0] == answers[1]
