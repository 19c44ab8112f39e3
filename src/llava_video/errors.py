"""The errors of llava-video.

    LlavaVideoError
    ├── VideoError              a file cannot be read as a video
    ├── RepresentationError     a video representation that cannot exist
    ├── CheckpointError         a model directory or its weights are unusable
    ├── InputError              an invalid request: no frames, too long, wrong parts
    │   └── MediaRefused        a server does not fetch or read what a request names
    ├── EndpointError           an annotator cannot be reached or refuses every call
    └── BudgetError             the next paid call does not fit into the budget

Each message is one line that says what is wrong, names the file where there is one, and says what
to do. The command line prints that line and exits with code 2; ``--debug`` shows the traceback.
"""


class LlavaVideoError(Exception):
    """Base of all errors that are meant for the user."""


class VideoError(LlavaVideoError):
    """A file cannot be opened, has no video stream, or no frame of it decodes."""


class RepresentationError(LlavaVideoError, ValueError):
    """The numbers of a video representation contradict each other or yield no token."""


class CheckpointError(LlavaVideoError):
    """A model directory is missing, incomplete, of another architecture or in an unsafe format."""


class InputError(LlavaVideoError, ValueError):
    """A request cannot be turned into model inputs."""


class MediaRefused(InputError):  # noqa: N818  (it says what happened)
    """A server does not fetch or read what a request names.

    The message names no folder or address of the server.

    Args:
        message: one line.
        status: the HTTP status that says it: 4xx; 503 where the server lacks what it needs.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class EndpointError(LlavaVideoError):
    """An annotator's endpoint cannot be reached, or refuses every call for the same reason."""


class BudgetError(LlavaVideoError):
    """The next paid call does not fit into the budget; what is done stays and can be resumed."""


def install(extra: str) -> str:
    """The command that installs an optional part of the package, for messages."""
    return f"pip install -c constraints.txt '.[{extra}]' in a clone of llava-video"
