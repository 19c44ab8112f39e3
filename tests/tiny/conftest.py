from collections.abc import Iterator

import pytest

from llava_video.tiny import train


@pytest.fixture(scope="session", autouse=True)
def short_corpus() -> Iterator[None]:
    """A tokenizer within tenths of a second: no test here depends on the words that it knows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "NUM_TOKENIZER_SCRIPTS", 60)
        yield
