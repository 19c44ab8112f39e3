"""What is installed here, what of it is usable, and what to install for the rest."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import av
import torch
from packaging.requirements import Requirement

from llava_video.errors import install

DISTRIBUTION = "llava-video"
HIDDEN_EXTRAS = frozenset({"dev", "bench"})
DECODERS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg", "gif")
"""FFmpeg's names of what videos are mostly made with."""

COMPANIONS = {
    "accelerate": "device_map, several devices",
    "bitsandbytes": "weights in 4 or 8 bits",
    "peft": "adapters",
    "flash-attn": "attn_implementation='flash_attention_2'",
}
"""Packages that are used where they are installed, and for what."""


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional part of the package.

    Attributes:
        name: as in ``pip install '.[name]'``.
        lacking: requirements that are not met, empty if it is usable.
    """

    name: str
    lacking: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """The command that makes it usable."""
        return install(self.name)


@dataclass(frozen=True, slots=True)
class Environment:
    """What was found.

    Attributes:
        python: its version.
        system: operating system and processor.
        packages: versions of what the package cannot do without; None where it is missing.
        devices: what models can run on, with its memory.
        ffmpeg: versions of FFmpeg's libraries that PyAV brings.
        decoders: whether each of the usual decoders is there.
        ffmpeg_command: where a command of that name is, which the package does not need.
        extras: optional parts.
        companions: versions of `COMPANIONS`, None where one is not installed.
        problems: what is wrong, one sentence with its remedy each.
    """

    python: str
    system: str
    packages: dict[str, str | None]
    devices: tuple[str, ...]
    ffmpeg: dict[str, str]
    decoders: dict[str, bool]
    ffmpeg_command: str | None
    extras: tuple[Extra, ...]
    companions: dict[str, str | None]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values, with a remedy for each extra."""
        extras = [{**asdict(e), "usable": not e.lacking, "remedy": e.remedy} for e in self.extras]
        return {**asdict(self), "extras": extras}


def examine(distribution: str = DISTRIBUTION) -> Environment:
    """Inspect the environment of this process.

    Args:
        distribution: the installed package whose requirements count.
    """
    needed, optional = _requirements(distribution)
    lacking = [str(requirement) for requirement in needed if not _is_met(requirement)]
    decoders = {name: name in av.codecs_available for name in DECODERS}
    problems = [
        f"{requirement} is required: pip install '{requirement}'" for requirement in lacking
    ]
    if _version(distribution) is None:
        problems.append(
            f"{distribution} is not installed, so that what it needs is unknown: pip install . in "
            "its folder"
        )
    if not decoders["h264"]:
        problems.append(
            "FFmpeg has no h264 decoder: reinstall PyAV from its wheel (pip install av)"
        )
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        packages={requirement.name: _version(requirement.name) for requirement in needed},
        devices=tuple(_devices()),
        ffmpeg={name: ".".join(map(str, v)) for name, v in av.library_versions.items()},
        decoders=decoders,
        ffmpeg_command=shutil.which("ffmpeg"),
        extras=tuple(
            Extra(name, tuple(str(r).split(";")[0] for r in group if not _is_met(r)))
            for name, group in optional.items()
        ),
        companions={name: _version(name) for name in COMPANIONS},
        problems=tuple(problems),
    )


def _requirements(distribution: str) -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """What the package itself says it needs, and what each extra does; nothing if not installed."""
    if _version(distribution) is None:
        return [], {}
    declared = [Requirement(text) for text in metadata.requires(distribution) or []]
    names = metadata.metadata(distribution).get_all("Provides-Extra") or []
    needed = [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]
    optional = {
        name: [
            r
            for r in declared
            if r not in needed and r.marker is not None and r.marker.evaluate({"extra": name})
        ]
        for name in sorted(set(names) - HIDDEN_EXTRAS)
    }
    return needed, optional


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_met(requirement: Requirement) -> bool:
    version = _version(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _devices() -> list[str]:
    bytes_of_host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    devices = [f"cpu: {torch.get_num_threads()} threads, {bytes_of_host / 2**30:.1f} GiB"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            f"cuda:{index}: {properties.name}, {properties.total_memory / 2**30:.1f} GiB"
        )
    if torch.backends.mps.is_available():
        devices.append("mps: memory shared with the host")
    return devices
