"""Files inside ``data:`` addresses."""

from __future__ import annotations

import base64
import binascii
import re

from llava_video.errors import MediaRefused

_HEADER = re.compile(
    r"data:([\w.+-]{1,64}/[\w.+-]{1,64})?(;[\w.+-]{1,64}=[\w.+-]{1,64}){0,4};base64"
)
_MAX_HEADER = 512


def decode_data(address: str, max_bytes: int) -> tuple[bytes, str]:
    """The file, and the type that the address claims, which decides nothing.

    Raises:
        MediaRefused: it is not base64, holds nothing, or holds too much.
    """
    header, comma, content = address[: _MAX_HEADER + 1].partition(",")
    found = _HEADER.fullmatch(header)
    if not comma or found is None:
        raise MediaRefused(
            "a data: address starts like data:video/mp4;base64, and holds base64", 400
        )
    start = len(header) + 1
    num_bytes = (len(address) - start) // 4 * 3
    if num_bytes > max_bytes + 2:
        raise MediaRefused(f"data: holds more than {max_bytes:,} bytes; upload less", 413)
    if "," in content or (found[1] or "").lower() == "video/jpeg":
        raise MediaRefused("a list of pictures is not read as a video; send a video file", 415)
    try:
        decoded = base64.b64decode(address[start:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaRefused("what the data: address holds is not base64", 400) from error
    if not decoded:
        raise MediaRefused("the data: address holds nothing", 400)
    if len(decoded) > max_bytes:
        raise MediaRefused(f"data: holds more than {max_bytes:,} bytes; upload less", 413)
    return decoded, (found[1] or "file").lower()
