"""What a process gives up before it reads a stranger's file.

On Linux: memory, processor time, files, processes and new privileges by ``setrlimit`` and
``prctl``; the file system, TCP, signals to others and abstract sockets by Landlock where the kernel
has it (https://docs.kernel.org/userspace-api/landlock.html). Elsewhere what ``setrlimit`` has.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path

IS_LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

# The same numbers on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_READ_FILE = 1 << 2
_LANDLOCK_NUM_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # by version; 16 from version 5 on
_LANDLOCK_TCP = 0b11  # bind and connect, from version 4 on
_LANDLOCK_SCOPES = 0b11  # abstract sockets and signals, from version 6 on

MAX_CPUS = 8
"""Processors of one reader; each brings some threads, whose stacks count as memory."""

_MORE_THREADS = 256
"""Threads that may start beside those of the whole machine."""

_MAX_OPEN_FILES = 64

_ADDRESS_SPACE = 3
"""Address space per byte of memory: stacks and arenas of threads are reserved, not used."""


def give_up_privileges(parent: int) -> None:
    """Start a session of its own; die with the parent; gain nothing by programs that are run.

    Args:
        parent: process id of the one that has forked this one.
    """
    os.setsid()
    if IS_LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before its death meant anything
        raise SystemExit


def set_limits(*, max_memory_bytes: int, max_cpu_seconds: int) -> None:
    """Bound what this process takes from now on.

    Args:
        max_memory_bytes: beyond what it has.
        max_cpu_seconds: of all its threads together.
    """
    if IS_LINUX:
        cpus = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(cpus)
        os.sched_setaffinity(0, (cpus[first:] + cpus[:first])[:MAX_CPUS])
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _limit(resource.RLIMIT_CPU, max_cpu_seconds, hard_by=1)  # the first one's signal tells why
    if not IS_LINUX:  # macOS counts neither memory nor threads of a process against a limit
        return
    sizes = Path("/proc/self/statm").read_text().split()
    page_bytes = resource.getpagesize()
    _limit(resource.RLIMIT_DATA, int(sizes[5]) * page_bytes + max_memory_bytes)
    _limit(resource.RLIMIT_AS, int(sizes[0]) * page_bytes + _ADDRESS_SPACE * max_memory_bytes)
    num_threads = int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])
    _limit(resource.RLIMIT_NPROC, num_threads + _MORE_THREADS)


def _limit(what: int, value: int, *, hard_by: int = 0) -> None:
    _, most = resource.getrlimit(what)
    hard = value + hard_by if most == resource.RLIM_INFINITY else min(value + hard_by, most)
    resource.setrlimit(what, (min(value, hard), hard))


def landlock_version() -> int:
    """Version of Landlock of this kernel; 0 where it has none."""
    if not IS_LINUX:
        return 0
    version = _syscall(
        _LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION
    )
    return max(0, version)


def lock_files(file: int) -> bool:
    """Take from this process all files but one, open or not, and the network.

    Needs `give_up_privileges`. What is open stays open.

    Args:
        file: a descriptor of the file that may still be opened, to read it.

    Returns:
        Whether the kernel did so.
    """
    version = landlock_version()
    if not version:
        return False
    rights = (1 << _LANDLOCK_NUM_FILE_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("Q", rights)
    if version >= 4:
        attributes += struct.pack("Q", _LANDLOCK_TCP)
    if version >= 6:
        attributes += struct.pack("Q", _LANDLOCK_SCOPES)
    rules = _syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        rule = struct.pack("=Qi", _LANDLOCK_READ_FILE, file)
        added = _syscall(_LANDLOCK_ADD_RULE, rules, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        return added == 0 and _syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _syscall(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), *arguments))
