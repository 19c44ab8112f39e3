"""``llava-video eval tables``: a grid over representations."""


def command() -> None:
    """Tables 4 and 5."""
