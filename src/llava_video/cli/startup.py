"""What every verb with a model does first: import quickly, and keep libraries quiet."""

from __future__ import annotations

import gc
import sys
import warnings
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


def keep_libraries_quiet() -> None:
    """Show bars of transformers on a terminal only, and not the warning that peft sets off in it.

    peft asks a model for a property that transformers 5 calls by another name.
    """
    from transformers.utils import logging

    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is", FutureWarning)
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
