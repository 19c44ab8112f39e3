"""`KeptModel`: a model in a process of its own, which stays ready for the next call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from llava_video.chat.keep.place import PROGRAM, CannotKeepError, ModelKey, Place, private_folder
from llava_video.chat.keep.start import BrokenOffError, Connection, connect, connect_or_start
from llava_video.chat.keep.wire import Message, Names, influence_from_dict
from llava_video.chat.model_request import ModelRequest
from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Influence, Piece
from llava_video.chat.session_file import answered_from_dict
from llava_video.errors import LlavaVideoError
from llava_video.representation import VideoRepresentation


class KeptModel:
    """A checkpoint that another process of this user keeps ready; made by `open`.

    It is a `CheckpointModel`, and this process needs no torch for it. Where the other process has
    ended between two answers, the next one starts it anew.

    Attributes:
        name: as it was asked for.
        device: name of the device where it runs.
        precision: what it computes in: a dtype, or ``int8``.
        representation: how frames become tokens unless the options say otherwise.
    """

    def __init__(
        self,
        request: ModelRequest,
        keep_seconds: float | None,
        say: Callable[[str], None],
    ) -> None:
        self.name = request.model
        self._request = request
        self._keep_seconds = keep_seconds
        self._say = say
        self._key = ModelKey.of(request)
        self._restart_seconds = keep_seconds
        opened = self._ask({"do": "open"}, Names())
        self._restart_seconds = opened["keep_seconds"]
        self.device: str = opened["device"]
        self.precision: str = opened["precision"]
        self.representation = VideoRepresentation.from_dict(opened["representation"])

    @classmethod
    def open(
        cls,
        request: ModelRequest,
        keep_seconds: float | None,
        say: Callable[[str], None],
    ) -> KeptModel | None:
        """Ask the process of a model, or start it.

        Args:
            request: which model.
            keep_seconds: how long it stays without a request; None takes a process that is there
                as it is, and starts none.
            say: is told what happens, one line each.

        Returns:
            The model; None if no process is wanted and none is there.

        Raises:
            CannotKeepError: no process can be asked.
            LlavaVideoError: the model cannot be used.
        """
        try:
            return cls(request, keep_seconds, say)
        except CannotKeepError:
            if keep_seconds is None:  # nobody asked for it
                return None
            raise

    def answer(
        self, conversations: Sequence[Conversation], options: AnswerOptions
    ) -> Iterator[Piece | Answered]:
        """Answer several conversations at once; see `ChatModel.answer`.

        Closing the iterator cancels the answers in the other process.

        Raises:
            InputError: a medium is neither a file nor an address.
            BrokenOffError: the process ended on the way; the next call starts a new one.
        """
        names = Names()
        message = {
            "do": "answer",
            "conversations": names.absolute(conversations),
            "options": asdict(options),
        }
        for kind, content in self._replies(message, names):
            if kind == "piece":
                yield Piece(*content)
            elif kind == "answered":
                yield answered_from_dict(_renamed(content, names), {})

    def influence(
        self,
        conversation: Conversation,
        answer: str,
        options: AnswerOptions | None = None,
        *,
        span_frames: int = 1,
    ) -> Influence:
        """How much each span of frames mattered for an answer; see `LocalModel.influence`."""
        names = Names()
        message = {
            "do": "influence",
            "conversations": names.absolute([conversation]),
            "answer": answer,
            "options": asdict(options or AnswerOptions()),
            "span_frames": span_frames,
        }
        return influence_from_dict(self._ask(message, names))

    def load_ahead(
        self, conversations: Sequence[Conversation], options: AnswerOptions, *, encode: bool = False
    ) -> None:
        """Load media in the other process while it answers; see `LocalModel.load_ahead`."""
        names = Names()
        message = {
            "do": "load_ahead",
            "conversations": names.absolute(conversations),
            "options": asdict(options),
            "encode": encode,
        }
        self._ask(message, names)

    def fit_representation(self, wanted: str) -> VideoRepresentation:
        """What ``"T,M,s,p"`` or the name of a preset means for this model."""
        fitted = self._ask({"do": "fit_representation", "wanted": wanted}, Names())
        return VideoRepresentation.from_dict(fitted)

    def _ask(self, message: Message, names: Names) -> Any:
        """What the last reply holds."""
        return [content for kind, content in self._replies(message, names) if kind == "done"][-1]

    def _replies(self, message: Message, names: Names) -> Iterator[tuple[str, Any]]:
        whole = {
            "request": asdict(self._request),
            "keep_seconds": self._keep_seconds,
            **message,
        }
        with closing(self._connect()) as connection:
            try:
                for kind, content in connection.ask(whole):
                    if kind == "note":
                        self._say(content)
                    else:
                        yield kind, content
            except BrokenOffError:
                raise
            except LlavaVideoError as error:
                raise type(error)(names.given(str(error))) from error

    def _connect(self) -> Connection:
        folder = private_folder(make=self._restart_seconds is not None)
        if folder is None:
            raise CannotKeepError("no model is kept ready")
        place = Place.of(folder, self._key)
        if self._restart_seconds is not None:
            return connect_or_start(place, self._key, self._restart_seconds, self._say)
        connection = connect(place)
        if connection is not None and connection.program == PROGRAM:
            return connection
        if connection is not None:
            connection.close()
        raise CannotKeepError(f"{self.name}: is not kept ready")


def _renamed(answered: Message, names: Names) -> Message:
    """An answer whose videos are called as they were given."""
    videos = [{**video, "source": names.given(video["source"])} for video in answered["videos"]]
    return {**answered, "videos": videos, "warnings": list(map(names.given, answered["warnings"]))}
