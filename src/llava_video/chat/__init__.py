"""From a conversation about videos to an answer.

``llava_video.chat`` is this package and a function at once, `session.open_session`, since a name
cannot be both in another way: ``lv.chat("video.mp4")`` begins a conversation.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llava_video.chat.session import Session


class _CallablePackage(ModuleType):
    def __call__(self, *files: Any, **options: Any) -> Session:
        from llava_video.chat.session import open_session

        return open_session(*files, **options)


sys.modules[__name__].__class__ = _CallablePackage
