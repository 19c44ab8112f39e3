"""What every command has in common."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["annotate", "run", "videos", "--out", "data"], "stamina", "annotate"),
        (["train", "lora", "--dry-run"], "accelerate", "train"),
    ],
)
def test_a_package_that_a_command_lacks_is_one_line_with_the_remedy(
    words: list[str], package: str, extra: str
) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['llava-video', *{words}]\n"
        "from llava_video.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{words[0]} needs {package}" in line
    assert f"pip install -c constraints.txt '.[{extra}]'" in line
