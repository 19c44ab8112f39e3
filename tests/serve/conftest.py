"""One `tiny` for all tests of the server, and one server of it."""

from collections.abc import Iterator

import pytest

from llava_video.chat.local.limits import CacheLimits
from llava_video.serve.engine.served import ServedCheckpoint, load_served
from tests.serve.server import Served, serving


@pytest.fixture(scope="session")
def tiny() -> ServedCheckpoint:
    return load_served("tiny", limits=CacheLimits(2**28, 2**28, 2**28))


@pytest.fixture(scope="session")
def server(tiny: ServedCheckpoint) -> Iterator[Served]:
    with serving(tiny) as served:
        yield served
