"""How much the caches of a model may hold, and what they saved."""

from __future__ import annotations

from dataclasses import dataclass

from llava_video.chat.protocol import Usage
from llava_video.errors import InputError

FRAMES_SHARE, FEATURES_SHARE, KEYS_VALUES_SHARE = 1 / 16, 1 / 8, 1 / 4
"""Of the memory that an answer leaves free. Keys and values save most per byte."""

UNKNOWN_BYTES = 1 << 30
"""Taken for the free memory where the system does not say."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """The most bytes that each cache holds; 0 keeps nothing.

    Attributes:
        frames_bytes: decoded frames and tiles, in the memory of the CPU.
        features_bytes: vision features, in the memory of the CPU.
        keys_values_bytes: keys and values, in the memory of the model's device.

    Raises:
        InputError: a number is negative.
    """

    frames_bytes: int
    features_bytes: int
    keys_values_bytes: int

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be 0 or more, got {getattr(self, name)}")

    @classmethod
    def within(cls, cpu_bytes: int | None, device_bytes: int | None) -> CacheLimits:
        """Shares of the memory that is free on the CPU and on the model's device."""
        cpu = UNKNOWN_BYTES if cpu_bytes is None else max(0, cpu_bytes)
        device = UNKNOWN_BYTES if device_bytes is None else max(0, device_bytes)
        return cls(
            int(cpu * FRAMES_SHARE), int(cpu * FEATURES_SHARE), int(device * KEYS_VALUES_SHARE)
        )


@dataclass(slots=True)
class CacheCounts:
    """What a model did since it was loaded, and what its caches saved it.

    Attributes:
        num_frames_decoded: frames read from files.
        num_frames_kept: frames that were there already.
        num_frames_encoded: frames and tiles that went through the vision encoder.
        num_features_kept: frames and tiles whose features were there already.
        num_tokens_prefilled: prompt tokens that went through the language model.
        num_tokens_kept: prompt tokens whose keys and values were there already.
    """

    num_frames_decoded: int = 0
    num_frames_kept: int = 0
    num_frames_encoded: int = 0
    num_features_kept: int = 0
    num_tokens_prefilled: int = 0
    num_tokens_kept: int = 0

    def add(self, usage: Usage, *, num_frames: int, num_pictures: int) -> None:
        """Add one answer.

        Args:
            usage: what it took.
            num_frames: frames of the videos that it is based on.
            num_pictures: those and the tiles of images.
        """
        self.num_frames_decoded += usage.num_frames_decoded
        self.num_frames_kept += num_frames - usage.num_frames_decoded
        self.num_frames_encoded += usage.num_frames_encoded
        self.num_features_kept += num_pictures - usage.num_frames_encoded
        self.num_tokens_prefilled += usage.num_tokens_prefilled
        self.num_tokens_kept += usage.num_prompt_tokens - usage.num_tokens_prefilled
