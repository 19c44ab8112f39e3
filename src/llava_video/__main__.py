"""``python -m llava_video`` is the command ``llava-video``."""

from llava_video.cli.app import main

main()
