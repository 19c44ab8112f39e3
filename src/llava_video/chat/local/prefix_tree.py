"""Keys and values of prompts by their prefix, bounded in bytes.

A tree: every node holds a run of tokens that follows the run of its parent, with their keys and
values. Prompts that begin alike share nodes from the root to where they part, so that the turns of
a conversation and the questions about a video hold its tokens once. The leaf used longest ago is
dropped first, as the nodes above it serve more prompts than it does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from llava_video.chat.local.rows import common_length

KeysValues = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of each layer, (key heads, S, d)."""


@dataclass(slots=True, eq=False)
class _Node:
    keys: NDArray[np.int64]
    held: KeysValues
    parent: _Node | None
    last_used: int
    children: dict[int, _Node] = field(default_factory=dict)
    num_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_bytes = _num_bytes_of(self.held)


class PrefixTree:
    """Keys and values of the prompts that were answered.

    Args:
        max_bytes: of all of them.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._root = _Node(np.zeros(0, np.int64), (), None, 0)
        self._clock = count(1)
        self._lock = Lock()
        self._most_bytes = 0
        """What is held, or more after an interrupt: it grows before the tree and shrinks after."""

    @property
    def num_bytes(self) -> int:
        """What is held now."""
        with self._lock:
            return sum(node.num_bytes for node in self._nodes())

    def match(self, keys: NDArray[np.int64]) -> tuple[int, list[KeysValues]]:
        """The longest prefix that is held: its length, and its keys and values in parts."""
        with self._lock:
            now = next(self._clock)
            parts = []
            length = 0
            for node, num_common in self._path(keys):
                node.last_used = now
                parts.append(part_of(node.held, slice(0, num_common)))
                length += num_common
        return length, parts

    def insert(self, keys: NDArray[np.int64], start: int, keys_values: KeysValues) -> None:
        """Hold the end of a prompt whose beginning is held.

        What does not fit, or does not follow what is held, is left out; that only costs its reuse.

        Args:
            keys: of the prompt, from its first token.
            start: index of the first token in ``keys_values``.
            keys_values: of the tokens from there on; they are copied.
        """
        if _num_bytes_of(keys_values) > self.max_bytes:
            return
        with self._lock:
            now = next(self._clock)
            parent, length = self._root, 0
            for node, num_common in list(self._path(keys)):  # before one of them is parted
                length += num_common
                node.last_used = now
                parent = node if num_common == len(node.keys) else self._split(node, num_common)
            if not start <= length < len(keys):
                return
            held = _copy(part_of(keys_values, slice(length - start, len(keys) - start)))
            leaf = _Node(keys[length:].copy(), held, parent, now)
            self._most_bytes += leaf.num_bytes
            parent.children[int(keys[length])] = leaf
            if self._most_bytes > self.max_bytes:
                self._make_room()

    def _path(self, keys: NDArray[np.int64]) -> Iterator[tuple[_Node, int]]:
        """The nodes along a prompt, each with how many of its tokens are in common."""
        node, length = self._root, 0
        while length < len(keys):
            child = node.children.get(int(keys[length]))
            if child is None:
                return
            num_common = common_length(child.keys, keys[length:])
            yield child, num_common
            if num_common < len(child.keys):
                return
            node, length = child, length + num_common

    def _split(self, node: _Node, length: int) -> _Node:
        """Part a node after some tokens; returns the new one above.

        Two new nodes take the place of the old one in one assignment, so that an interrupt leaves
        either. They hold copies: views would keep the memory of both alive when one is dropped.
        """
        assert node.parent is not None
        upper, lower = slice(0, length), slice(length, None)
        above = _Node(
            node.keys[upper], _copy(part_of(node.held, upper)), node.parent, node.last_used
        )
        below = _Node(
            node.keys[lower],
            _copy(part_of(node.held, lower)),
            above,
            node.last_used,
            node.children,
        )
        above.children[int(below.keys[0])] = below
        for child in below.children.values():
            child.parent = below
        node.parent.children[int(above.keys[0])] = above
        return above

    def _make_room(self) -> None:
        """Drop leaves, those used longest ago first, until the rest fits."""
        nodes = list(self._nodes())
        self._most_bytes = sum(node.num_bytes for node in nodes)
        order = count()  # nodes used at the same time are not compared
        leaves = [(node.last_used, next(order), node) for node in nodes if not node.children]
        heapq.heapify(leaves)
        while self._most_bytes > self.max_bytes:
            *_, leaf = heapq.heappop(leaves)
            parent = leaf.parent
            assert parent is not None
            del parent.children[int(leaf.keys[0])]
            self._most_bytes -= leaf.num_bytes
            if not parent.children and parent.parent is not None:
                heapq.heappush(leaves, (parent.last_used, next(order), parent))

    def _nodes(self) -> Iterator[_Node]:
        waiting = list(self._root.children.values())
        while waiting:
            node = waiting.pop()
            waiting += node.children.values()
            yield node


def part_of(keys_values: KeysValues, positions: slice) -> KeysValues:
    """Keys and values of some positions; views."""
    return tuple((keys[:, positions], values[:, positions]) for keys, values in keys_values)


def _copy(keys_values: KeysValues) -> KeysValues:
    return tuple((keys.clone(), values.clone()) for keys, values in keys_values)


def _num_bytes_of(keys_values: KeysValues) -> int:
    return sum(keys.nbytes + values.nbytes for keys, values in keys_values)
