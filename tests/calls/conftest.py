"""The fixtures of the data engine's tests that tests of calls use, too."""

from tests.annotate.conftest import videos, vocabulary

__all__ = ["videos", "vocabulary"]
