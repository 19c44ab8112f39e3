from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chat.keep.processes import own_folder


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with own_folder() as folder:
        yield folder
