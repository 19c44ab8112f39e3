"""What ``doctor`` says of the environment is what the installed metadata says."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from llava_video.cli.environment import COMPANIONS, examine

METADATA = """Metadata-Version: 2.4
Name: made-up-package
Version: 1.0
Requires-Dist: numpy>=1
Requires-Dist: nobody-has-this>=2
Requires-Dist: not-on-this-system; sys_platform == "nowhere"
Provides-Extra: ready
Provides-Extra: unready
Provides-Extra: dev
Requires-Dist: torch>=1; extra == "ready"
Requires-Dist: numpy>=999; extra == "unready"
Requires-Dist: nor-this; extra == "unready"
Requires-Dist: nor-this; extra == "dev"
"""


def test_this_environment_is_sound() -> None:
    found = examine()
    assert found.problems == ()
    assert found.packages["torch"] == torch.__version__
    assert found.packages["numpy"] == np.__version__
    assert found.decoders["h264"]
    assert "libavcodec" in found.ffmpeg
    assert {name for name, version in found.companions.items() if version} == {
        name for name in COMPANIONS if importlib.util.find_spec(name.replace("-", "_"))
    }
    assert found.devices[0].startswith("cpu: ")


def test_what_is_missing_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "made_up_package-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(tmp_path)
    found = examine("made-up-package")
    assert found.packages == {"numpy": np.__version__, "nobody-has-this": None}
    assert found.problems == ("nobody-has-this>=2 is required: pip install 'nobody-has-this>=2'",)
    ready, unready = found.extras
    assert (ready.name, ready.lacking) == ("ready", ())
    assert (unready.name, unready.lacking) == ("unready", ("numpy>=999", "nor-this"))
    assert unready.remedy == "pip install -c constraints.txt '.[unready]' in a clone of llava-video"
    result = found.to_dict()["extras"]
    assert [extra["usable"] for extra in result] == [True, False]
