"""Which files of a folder are videos: by their suffix, since opening every file takes too long."""

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in "mp4 mkv webm mov avi m4v mpg mpeg ogv ts flv wmv 3gp gif".split()  # noqa: SIM905
)
"""In lower case, with their full stop."""
