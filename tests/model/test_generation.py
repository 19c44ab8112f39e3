"""Generation: every way to ask for it gives the tokens that the definition gives."""

import threading

import pytest
import torch
from transformers import CompileConfig, GenerationConfig, TextIteratorStreamer

from tests.model.small import random_frames, small_model, small_processor

PENALTY = 3.0


@pytest.fixture(scope="module")
def processor():  # type: ignore[no-untyped-def]
    return small_processor()


@pytest.fixture(scope="module")
def model(processor):  # type: ignore[no-untyped-def]
    model = small_model(video_token_id=processor.video_token_id)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model


@torch.no_grad()
def by_definition(model, inputs, num_new: int, *, penalty: float, from_token: int) -> list[int]:  # type: ignore[no-untyped-def]
    """Greedy: logits of tokens that came from ``from_token`` on are divided by the penalty.

    (Or multiplied, where negative.)
    """
    ids = inputs["input_ids"]
    media = {name: inputs[name] for name in ("pixel_values_videos", "num_frames_per_video")}
    for _ in range(num_new):
        logits = model(input_ids=ids, **media).logits[0, -1]
        seen = ids[0, from_token:].unique()
        logits[seen] = torch.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
        logits[model.config.video_token_id] = -torch.inf
        ids = torch.cat([ids, logits.argmax().view(1, 1)], dim=1)
    return ids[0, -num_new:].tolist()


def test_repetition_penalty_looks_at_generated_tokens_only(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor("What colour is it? It is red.", random_frames(4))
    num_prompt = inputs["input_ids"].shape[1]
    expected = by_definition(model, inputs, 12, penalty=PENALTY, from_token=num_prompt)
    plain = by_definition(model, inputs, 12, penalty=1.0, from_token=num_prompt)
    with_prompt = by_definition(model, inputs, 12, penalty=PENALTY, from_token=0)
    assert expected not in (plain, with_prompt)  # or this test could not fail

    options = {"max_new_tokens": 12, "do_sample": False}
    given = model.generate(**inputs, **options, repetition_penalty=PENALTY)
    assert given[0, num_prompt:].tolist() == expected

    shipped = GenerationConfig(**model.generation_config.to_diff_dict())
    shipped.repetition_penalty = PENALTY
    model.generation_config, kept = shipped, model.generation_config
    by_default = model.generate(**inputs, **options)
    switched_off = model.generate(**inputs, **options, repetition_penalty=1.0)
    model.generation_config = kept
    assert by_default[0, num_prompt:].tolist() == expected
    assert switched_off[0, num_prompt:].tolist() == plain

    own = GenerationConfig(max_new_tokens=12, repetition_penalty=PENALTY, pad_token_id=0)
    assert model.generate(**inputs, generation_config=own)[0, num_prompt:].tolist() == expected


def test_rows_of_a_batch_are_penalised_each_for_its_own(model, processor) -> None:  # type: ignore[no-untyped-def]
    questions = ["What colour is it?", "x", "Is it red?"]
    videos = [random_frames(8), random_frames(1, seed=1), None]
    options = {"max_new_tokens": 10, "do_sample": False, "repetition_penalty": PENALTY}
    batch = model.generate(**processor(questions, videos), **options)
    for row, (question, video) in enumerate(zip(questions, videos, strict=True)):
        single = model.generate(**processor(question, video), **options)
        assert batch[row, -10:].tolist() == single[0, -10:].tolist()


def test_text_only_prompts_are_not_penalised_either(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor("What colour is it? It is red.")
    num_prompt = inputs["input_ids"].shape[1]
    inputs.update(pixel_values_videos=None, num_frames_per_video=None)
    expected = by_definition(model, inputs, 8, penalty=PENALTY, from_token=num_prompt)
    options = {"max_new_tokens": 8, "do_sample": False, "repetition_penalty": PENALTY}
    assert model.generate(**inputs, **options)[0, num_prompt:].tolist() == expected


def test_streamed_text_is_the_answer(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor("What?", random_frames(8))
    streamer = TextIteratorStreamer(
        processor.tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=30
    )
    options = {**inputs, "max_new_tokens": 8, "do_sample": False}
    thread = threading.Thread(target=model.generate, kwargs={**options, "streamer": streamer})
    thread.start()
    pieces = list(streamer)
    thread.join()
    answer = processor.decode_answer(model.generate(**options)[0], inputs["input_ids"].shape[1])
    assert "".join(pieces).strip() == answer
    assert len(pieces) > 1


def test_generation_stops_at_a_string(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor("What?", random_frames(8))
    num_prompt = inputs["input_ids"].shape[1]
    options = {"max_new_tokens": 12, "do_sample": False}
    whole = model.generate(**inputs, **options)[0, num_prompt:]
    texts = [processor.tokenizer.decode([token]) for token in whole.tolist()]
    last = next(index for index, text in enumerate(texts) if index > 2 and text.isprintable())
    first = texts.index(texts[last])
    stopped = model.generate(
        **inputs,
        **options,
        stop_strings=[texts[last]],
        tokenizer=processor.tokenizer,
    )[0, num_prompt:]
    assert stopped.tolist() == whole[: first + 1].tolist()


def test_sampling_repeats_with_its_seed_and_narrows_to_greedy(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor("What?", random_frames(8))
    options = {"max_new_tokens": 10, "do_sample": True}
    samples = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        samples.append(model.generate(**inputs, **options, temperature=2.0).tolist())
    assert samples[0] == samples[1] != samples[2]
    greedy = model.generate(**inputs, max_new_tokens=10, do_sample=False)
    assert model.generate(**inputs, **options, top_k=1).tolist() == greedy.tolist()


def test_decoding_with_a_static_cache_is_one_graph(model, processor) -> None:  # type: ignore[no-untyped-def]
    """``fullgraph=True`` refuses a step that cannot be compiled whole."""
    compile_config = CompileConfig(fullgraph=True, backend="eager", mode=None)
    compile_config._compile_all_devices = True  # transformers compiles on GPUs only, otherwise
    inputs = processor("What colour is it?", random_frames(8))
    options = {"max_new_tokens": 6, "do_sample": False}
    compiled = model.generate(
        **inputs, **options, cache_implementation="static", compile_config=compile_config
    )
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert torch.equal(compiled, model.generate(**inputs, **options))
