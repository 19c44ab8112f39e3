"""The fixtures of the data engine's tests that tests of calls use, too."""

from tests.annotate.conftest import tokenizer_folder, videos

__all__ = ["tokenizer_folder", "videos"]
