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
        self.num_bytes = 0
        self._size_of = size_of
        self._values: OrderedDict[K, V] = OrderedDict()
        self._being_made: dict[K, Future[V]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made where it is not kept."""
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
                theirs = self._being_made.get(key)
                if theirs is None:
                    ours = self._being_made[key] = Future()
                    break
            try:
                return theirs.result()
            except CancelledError:  # the other thread failed, which is its matter: make it here
                continue
        try:
            value = make()
        except BaseException:
            with self._lock:
                del self._being_made[key]
            ours.cancel()
            raise
        with self._lock:
            del self._being_made[key]
            self._keep(key, value)
        ours.set_result(value)
        return value

    def _keep(self, key: K, value: V) -> None:
        num_bytes = self._size_of(value)
        if num_bytes > self.max_bytes:
            return
        self._values[key] = value
        self.num_bytes += num_bytes
        while self.num_bytes > self.max_bytes:
            _, dropped = self._values.popitem(last=False)
            self.num_bytes -= self._size_of(dropped)
