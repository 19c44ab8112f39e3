"""Generation: every way to ask for it gives the tokens that the definition gives."""

import threading

import pytest
import torch
from transformers import CompileConfig, GenerationConfig, TextIteratorStreamer

from llava_video.errors import InputError
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


@pytest.mark.parametrize("num_proposed", [1, 3, 10])
@pytest.mark.parametrize("num_frames", [None, 5])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_prompt_lookup_gives_the_tokens_of_greedy_decoding(  # type: ignore[no-untyped-def]
    model, processor, num_proposed: int, num_frames: int | None, penalty: float
) -> None:
    """Also where a prompt repeats itself, so that the first pass has proposals already."""
    video = random_frames(num_frames) if num_frames else None
    for question in ("What colour is it? It is red. It is", "red red red red", "x"):
        inputs = processor(question, video)
        options = {"max_new_tokens": 24, "do_sample": False, "repetition_penalty": penalty}
        greedy = model.generate(**inputs, **options)
        found = model.generate(**inputs, **options, prompt_lookup_num_tokens=num_proposed)
        assert found.tolist() == greedy.tolist()


def test_prompt_lookup_stops_and_suppresses_as_greedy_decoding_does(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor("red red red", random_frames(3))
    num_prompt = inputs["input_ids"].shape[1]
    free = model.generate(**inputs, max_new_tokens=16, do_sample=False)[0, num_prompt:].tolist()
    shipped = GenerationConfig(**model.generation_config.to_diff_dict())
    shipped.eos_token_id = [free[5], free[9]]
    shipped.suppress_tokens = [free[0]]
    shipped.do_sample = False
    model.generation_config, kept = shipped, model.generation_config
    greedy = model.generate(**inputs, max_new_tokens=16)
    found = model.generate(**inputs, max_new_tokens=16, prompt_lookup_num_tokens=4)
    model.generation_config = kept
    assert found.tolist() == greedy.tolist()
    assert free[0] not in greedy[0, num_prompt:].tolist()


def test_what_the_model_ships_stays_in_force_beside_what_a_caller_gives(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor("What colour is it?", random_frames(4))
    num_prompt = inputs["input_ids"].shape[1]
    options = {"max_new_tokens": 12, "do_sample": False}
    expected = by_definition(model, inputs, 12, penalty=PENALTY, from_token=num_prompt)
    shipped = GenerationConfig(**model.generation_config.to_diff_dict())
    shipped.repetition_penalty = PENALTY
    model.generation_config, kept = shipped, model.generation_config
    given = model.generate(**inputs, generation_config=GenerationConfig(**options))
    model.generation_config = kept
    assert given[0, num_prompt:].tolist() == expected

    shipped = GenerationConfig(**kept.to_diff_dict(), suppress_tokens=[expected[0]])
    model.generation_config = shipped
    tokens = model.generate(**inputs, **options)[0, num_prompt:].tolist()
    model.generation_config = kept
    assert not {expected[0], model.config.video_token_id} & set(tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"assistant_model": "model"}, "assistant_model cannot be followed"),
        ({"assistant_early_exit": 1}, "assistant_early_exit cannot be followed"),
        ({"prompt_lookup_num_tokens": 3, "stop_strings": ["a"]}, "stop_strings stops later"),
    ],
)
def test_options_that_would_change_the_answer_are_refused(  # type: ignore[no-untyped-def]
    model, processor, options: dict, message: str
) -> None:
    options = {name: model if value == "model" else value for name, value in options.items()}
    with pytest.raises(InputError, match=message):
        model.generate(**processor("x", random_frames(2)), max_new_tokens=4, **options)


@torch.no_grad()
def test_frames_in_the_shape_of_llava_onevision(model, processor) -> None:  # type: ignore[no-untyped-def]
    inputs = processor(["What?", "Is it red?"], [random_frames(3), random_frames(3, seed=1)])
    expected = model(**inputs).logits
    frames = inputs.pop("pixel_values_videos")
    del inputs["num_frames_per_video"]
    videos = frames.view(2, 3, *frames.shape[1:])
    assert torch.equal(model(**inputs, pixel_values_videos=videos).logits, expected)
    found = model.get_video_features(videos)
    assert all(map(torch.equal, found, model.get_video_features(frames, [3, 3])))
    assert torch.equal(
        model.generate(**inputs, pixel_values_videos=videos, max_new_tokens=4, do_sample=False),
        model.generate(
            **inputs,
            pixel_values_videos=frames,
            num_frames_per_video=[3, 3],
            max_new_tokens=4,
            do_sample=False,
        ),
    )
    for shape in ((3, 3, 32, 32), (3, 64, 64), (0, 3, 64, 64), (2, 3, 1, 64, 64), (2, 64, 64, 3)):
        with pytest.raises(InputError, match="pixel_values_videos has the shape"):
            model(**inputs, pixel_values_videos=torch.zeros(shape))


def test_prompt_lookup_is_for_one_prompt(model, processor) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="of one prompt, not of 2; give prompts one by one"):
        model.generate(**processor(["x", "What?"]), max_new_tokens=2, prompt_lookup_num_tokens=2)
