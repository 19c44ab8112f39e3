"""Which engine answers; needs no vLLM."""

from importlib.util import find_spec
from typing import Any

import pytest

from llava_video.cli.serving.engines import Engine, engine_opener, load_served, read_arguments
from llava_video.errors import InputError

OPTIONS: dict[str, Any] = {
    "num_at_once": 4,
    "cache_dir": None,
    "cache_bytes": 0,
    "int8": False,
    "device": "auto",
    "dtype": None,
    "representation": None,
}


def test_arguments_are_json_or_text() -> None:
    given = [
        "tensor-parallel-size=8",
        "quantization=fp8",
        'limit={"video": 2}',
        "a=b=c",
    ]
    assert read_arguments(given) == {
        "tensor_parallel_size": 8,
        "quantization": "fp8",
        "limit": {"video": 2},
        "a": "b=c",
    }
    assert read_arguments(None) == {}


@pytest.mark.parametrize("given", ["seed", "=3"])
def test_an_argument_without_name_or_value(given: str) -> None:
    with pytest.raises(InputError, match="NAME=VALUE"):
        read_arguments([given])


@pytest.mark.parametrize("name", ["model", "dtype", "representation"])
def test_an_argument_that_is_an_option_of_the_command(name: str) -> None:
    with pytest.raises(InputError, match=f"give --{name}"):
        read_arguments([f"{name}=x"])


@pytest.mark.parametrize(
    "changes", [{"device": "cuda:1"}, {"int8": True}, {"cache_dir": "somewhere"}]
)
def test_options_of_our_own_engine_are_refused_for_vllm(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="our own engine"):
        load_served("tiny", None, Engine.VLLM, None, **{**OPTIONS, **changes})


@pytest.mark.parametrize(("device", "quantize"), [("cuda:1", None), ("auto", "int8")])
def test_evaluation_refuses_them_too(device: str, quantize: str | None) -> None:
    with pytest.raises(InputError, match="our own engine"):
        engine_opener(Engine.VLLM, None, "tiny", device, quantize)


def test_arguments_of_vllm_are_refused_for_our_own_engine() -> None:
    with pytest.raises(InputError, match="--engine vllm"):
        load_served("tiny", None, Engine.OWN, ["seed=1"], **OPTIONS)
    with pytest.raises(InputError, match="--engine vllm"):
        engine_opener(Engine.OWN, ["seed=1"], "tiny", "auto", None)
    assert engine_opener(Engine.OWN, None, "tiny", "auto", None) is None


def test_our_own_engine_is_the_default() -> None:
    served = load_served("tiny", "a name", Engine.OWN, None, **OPTIONS)
    assert served.name == "a name"
    assert served.num_batches_at_once == 1


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_remedy_is_told() -> None:
    with pytest.raises(InputError, match=r"pip install '\.\[vllm\]'"):
        load_served("tiny", None, Engine.VLLM, None, **OPTIONS)
    opener = engine_opener(Engine.VLLM, None, "tiny", "auto", None)
    assert opener is not None
    with pytest.raises(InputError, match=r"pip install '\.\[vllm\]'"):
        opener()
