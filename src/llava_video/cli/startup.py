"""Making the first answer come sooner."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_imports() -> Iterator[None]:
    """Import within this without garbage collection.

    Importing torch and transformers creates millions of objects that stay. Looking through them for
    garbage, again and again, takes a sixth to a quarter of the time, and finds nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
