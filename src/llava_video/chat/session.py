"""A conversation about videos and images: its turns, what the model saw, and undo."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from llava_video.chat.media_files import refuse_repeated
from llava_video.chat.protocol import (
    Answered,
    AnswerOptions,
    ChatModel,
    Conversation,
    Piece,
    ShownVideo,
)
from llava_video.chat.transcript import ShownFile, Transcript, Turn, user_message
from llava_video.errors import InputError
from llava_video.representation import VideoRepresentation


class Session:
    """A conversation with a model, which sees every turn again with each question.

    Args:
        model: answers; its caches decide what a next question costs.
        files: paths and addresses of videos and images, shown with the first question.
        system: the system prompt; None for the model's own.
        options: how to answer, unless a question says otherwise.

    Attributes:
        model: as given.
        system: as given.
        options: for the next questions; replace it to change them.
        turns: of the conversation, in order.

    Raises:
        InputError: a file is missing, or two names lead to the same one.
    """

    def __init__(
        self,
        model: ChatModel,
        files: Sequence[str | Path] = (),
        *,
        system: str | None = None,
        options: AnswerOptions | None = None,
    ) -> None:
        self.model = model
        self.system = system
        self.options = options or AnswerOptions()
        self.turns: list[Turn] = []
        self._next_files: tuple[ShownFile, ...] = ()
        self.show(*files)

    @property
    def files(self) -> list[ShownFile]:
        """Videos and images of all turns, and those that the next question will show."""
        return self.transcript.files

    @property
    def transcript(self) -> Transcript:
        """What was said and shown."""
        turns = tuple(self.turns)
        return Transcript(self.model.name, self.system, self.options, turns, self._next_files)

    @property
    def videos(self) -> tuple[ShownVideo, ...]:
        """The videos as the model saw them for the last answer."""
        return self.turns[-1].answer.videos if self.turns else ()

    def show(self, *files: str | Path) -> None:
        """Show videos and images with the next question.

        Raises:
            InputError: a file is missing, or is shown already.
        """
        shown = tuple(ShownFile.of(str(file)) for file in files)
        refuse_repeated([file.name for file in (*self.files, *shown)])
        self._next_files += shown

    def conversation(self, question: str) -> Conversation:
        """What the model would get for a next question."""
        return self._messages(self.turns, self._next_files, question)

    def conversation_of(self, turn: Turn) -> Conversation:
        """What the model got for a turn."""
        before = self.turns[: self.turns.index(turn)]
        return self._messages(before, turn.files, turn.question)

    def _messages(
        self, turns: Sequence[Turn], files: Sequence[ShownFile], question: str
    ) -> Conversation:
        messages: list[dict[str, Any]] = []
        if self.system is not None:
            messages.append({"role": "system", "content": self.system})
        for turn in turns:
            messages.append(user_message(turn.files, turn.question))
            messages.append({"role": "assistant", "content": turn.answer.text})
        return [*messages, user_message(files, question)]

    def ask(self, question: str, options: AnswerOptions | None = None) -> Answered:
        """Ask, and wait for the whole answer; see `stream`."""
        for _ in self.stream(question, options):
            pass
        return self.turns[-1].answer

    def stream(self, question: str, options: AnswerOptions | None = None) -> Generator[Piece]:
        """Ask, and get the answer as it is made; at its end it is the last of `turns`.

        An answer that is interrupted (the iterator is closed, or Ctrl-C) is kept as far as it
        came, with ``finish_reason="cancelled"``; one that has no text yet is not a turn.

        Yields:
            Pieces of the answer.

        Raises:
            LlavaVideoError: it cannot be answered; the turns stay as they were.
        """
        if not question.strip():
            raise InputError("the question is empty; ask something about the video")
        options = options or self.options
        text = ""
        answers = self.model.answer([self.conversation(question)], options)
        try:
            for piece in answers:
                if isinstance(piece, Answered):
                    self._add(question, piece, options)
                    return
                text += piece.text
                yield piece
        except (GeneratorExit, KeyboardInterrupt):
            if text:
                self._add(question, Answered(0, text, "cancelled", videos=self.videos), options)
            raise
        finally:
            close = getattr(answers, "close", None)  # an iterator need not be a generator
            if close is not None:
                close()
        raise InputError(f"{self.model.name}: the model ended without an answer; ask again")

    def undo(self) -> Turn:
        """Take back the last turn; what it showed is shown with the next question.

        Raises:
            InputError: there is no turn.
        """
        if not self.turns:
            raise InputError("there is no answer to take back; ask something first")
        turn = self.turns.pop()
        self._next_files = turn.files + self._next_files
        return turn

    def save(self, file: str | Path) -> None:
        """Write the session as one JSON file, from which `load` continues it.

        Raises:
            InputError: it cannot be written, or a video or image is gone.
        """
        from llava_video.chat.session_file import save_transcript

        save_transcript(self.transcript, Path(file))

    @classmethod
    def load(cls, file: str | Path, model: ChatModel | None = None) -> Session:
        """Continue a session that was saved.

        Args:
            file: that `save` wrote.
            model: what answers; by default the checkpoint that is named there.

        Raises:
            LlavaVideoError: it is not a session, one of its videos is gone or has changed, or the
                model cannot be loaded.
        """
        from llava_video.chat.session_file import load_transcript

        read = load_transcript(Path(file))
        if model is None:
            from llava_video.chat.local_model import LocalModel

            model = LocalModel.load(read.model)
        return cls.continuing(read, model)

    @classmethod
    def continuing(cls, transcript: Transcript, model: ChatModel) -> Session:
        """Continue what was said and shown."""
        session = cls(model, system=transcript.system, options=transcript.options)
        session.turns = list(transcript.turns)
        session._next_files = transcript.next_files
        return session

    def export(self, file: str | Path) -> None:
        """Write the session as one HTML page that needs no other file.

        Raises:
            LlavaVideoError: it cannot be written, or a video cannot be read again.
        """
        from llava_video.chat.session_page import export_page

        export_page(self.transcript, Path(file))

    def _add(self, question: str, answer: Answered, options: AnswerOptions) -> None:
        self.turns.append(Turn(question, self._next_files, answer, options))
        self._next_files = ()


def open_session(
    *files: str | Path,
    model: ChatModel | str | Path = "tiny",
    device: str = "auto",
    representation: VideoRepresentation | str | None = None,
    system: str | None = None,
    options: AnswerOptions | None = None,
) -> Session:
    """Begin a conversation, as ``lv.chat("video.mp4")`` does.

    Args:
        *files: videos and images to show with the first question.
        model: anything that answers, or what `LocalModel.load` takes.
        device: where a model that is loaded runs.
        representation: of a model that is loaded, instead of its own.
        system: the system prompt; None for the model's own.
        options: how to answer, unless a question says otherwise.

    Raises:
        LlavaVideoError: a file or the model cannot be used.
    """
    if isinstance(model, str | Path):
        from llava_video.chat.local_model import LocalModel

        model = LocalModel.load(model, device=device, representation=representation)
    elif representation is not None:
        raise InputError("representation goes with the name of a model; set it in the options")
    return Session(model, files, system=system, options=options)
