"""Options of a request; needs no vLLM."""

from typing import Any

import pytest

from llava_video.errors import InputError, RepresentationError
from llava_video.plugins.vllm.representation import from_bytes, representation_of, to_bytes
from llava_video.representation import parse_representation
from tests.model.small import REPRESENTATION, small_config

CONFIG = small_config()


def test_the_models_own_is_the_default() -> None:
    assert representation_of({}, CONFIG) == REPRESENTATION
    assert representation_of({"representation": None, "tiled": False}, CONFIG) == REPRESENTATION


def test_text_and_fields() -> None:
    wanted = parse_representation("4,64,2,2", REPRESENTATION)
    assert representation_of({"representation": "4,64,2,2"}, CONFIG) == wanted
    assert representation_of({"representation": wanted.to_dict()}, CONFIG) == wanted


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fps": 2}, InputError, "'fps'"),
        ({"representation": 7}, InputError, "got 7"),
        ({"representation": "4,729,2,2"}, RepresentationError, "M = 729"),
        ({"representation": {"frames": 2}}, RepresentationError, "frames"),
    ],
)
def test_what_does_not_fit(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        representation_of(options, CONFIG)


def test_values_travel_as_bytes() -> None:
    value = {"time_instruction": "2.50s, é", "representation": REPRESENTATION.to_dict(), "n": [1]}
    tensor = to_bytes(value)
    assert tensor.ndim == 1
    assert from_bytes(tensor) == value
