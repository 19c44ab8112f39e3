"""Free memory: what the machine has, and what a container or a batch system allows."""

from pathlib import Path

import pytest
import torch

from llava_video.budget import devices
from llava_video.budget.devices import free_memory_bytes

CPU = torch.device("cpu")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups of this process: none, on a machine with 8,000 KiB to spare."""
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    monkeypatch.setattr(devices, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(devices, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(devices, "_GROUPS", tmp_path / "groups")
    return tmp_path


def make_group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_groups_it_is_what_the_machine_has_to_spare(groups: Path) -> None:
    assert free_memory_bytes(CPU) == 8000 * 1024


def test_a_group_of_version_2_allows_less(groups: Path) -> None:
    (groups / "own").write_text("0::/job\n")
    make_group(groups / "groups/job", memory__max=5000, memory__current=4500,
               memory__stat="anon 4000\ninactive_file 200\nactive_file 100")  # fmt: skip
    assert free_memory_bytes(CPU) == 800


def test_the_groups_around_count_too(groups: Path) -> None:
    (groups / "own").write_text("0::/user/job/step\n")
    make_group(groups / "groups/user/job/step", memory__max="max", memory__current=10,
               memory__stat="inactive_file 0")  # fmt: skip
    make_group(groups / "groups/user", memory__max=1000, memory__current=1200,
               memory__stat="inactive_file 0")  # fmt: skip
    assert free_memory_bytes(CPU) == 0


def test_a_group_of_version_1_allows_less(groups: Path) -> None:
    (groups / "own").write_text("9:cpu,cpuacct:/a\n4:memory:/docker/1\n0::/\n")
    make_group(groups / "groups/memory/docker/1", memory__limit_in_bytes=700,
               memory__usage_in_bytes=650, memory__stat="total_inactive_file 50")  # fmt: skip
    make_group(groups / "groups/memory", memory__limit_in_bytes=2**63 - 4096,
               memory__usage_in_bytes=9, memory__stat="total_inactive_file 0")  # fmt: skip
    assert free_memory_bytes(CPU) == 100


def test_a_machine_that_does_not_say_what_is_free_has_no_more_than_it_has(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (groups / "meminfo").unlink()
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3}
    monkeypatch.setattr(devices.os, "sysconf", pages.__getitem__)
    assert free_memory_bytes(CPU) == 3 * 4096
