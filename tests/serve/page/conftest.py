"""One browser and one server for all tests of the page."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from llava_video.serve.engine.served import ServedCheckpoint
from tests.browser import headless
from tests.serve.page.talking import Talking
from tests.serve.page.told import Told
from tests.serve.server import Served, serving


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with headless() as driver:
        yield driver


@pytest.fixture(scope="session")
def told(tiny: ServedCheckpoint) -> Told:
    return Told(tiny)


@pytest.fixture(scope="session")
def site(told: Told) -> Iterator[Served]:
    with serving(told) as served:
        yield served


@pytest.fixture
def page(browser: Any, site: Served, told: Told) -> Iterator[Talking]:
    """The page as it is opened; the console must have nothing to say about it."""
    told.asked, told.options = [], []
    window = Talking(browser, site.server.url)
    window.start()
    yield window
    told.open()
    assert window.errors() == []


@pytest.fixture(scope="session")
def write_mpeg4() -> Callable[[Path], Path]:
    """Writes a video of two seconds as cameras once did: MPEG-4 part 2 in AVI."""

    def write(path: Path) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for index in range(20):
                pixels = np.full((64, 96, 3), 10 * index, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write
