"""Values by key, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """Keeps values while they fit; those used longest ago go first.

    Threads may share it: a value that one of them makes is made once, the others wait for it.

    Args:
        max_bytes: of all values together; a value that alone is larger is not kept.
        size_of: the bytes of a value.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self.max_bytes = max_bytes
        self._size_of = size_of
        self._values: OrderedDict[K, V] = OrderedDict()
        self._being_made: dict[K, Future[V]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def num_bytes(self) -> int:
        """What is kept now."""
        # Counted anew: a sum that is carried along would be wrong after an interrupt.
        with self._lock:
            return self._sum()

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made where it is not kept."""
        while True:
            ours: Future[V] = Future()
            try:
                with self._lock:
                    if key in self._values:
                        self._values.move_to_end(key)
                        return self._values[key]
                    theirs = self._being_made.setdefault(key, ours)
                if theirs is ours:
                    value = make()
                    with self._lock:
                        self._keep(key, value)
                    ours.set_result(value)
                    return value
            finally:
                with self._lock:
                    if self._being_made.get(key) is ours:
                        del self._being_made[key]
                ours.cancel()  # does nothing to one that has its value
            try:
                return theirs.result()
            except CancelledError:  # the other thread failed, which is its matter: make it here
                continue

    def _keep(self, key: K, value: V) -> None:
        if self._size_of(value) > self.max_bytes:
            return
        self._values[key] = value
        while self._sum() > self.max_bytes:
            self._values.popitem(last=False)

    def _sum(self) -> int:
        return sum(map(self._size_of, self._values.values()))
