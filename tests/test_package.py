"""The package itself: cheap to import, and known to the Auto classes of transformers."""

import subprocess
import sys
from pathlib import Path

import pytest

import llava_video as lv


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_or_its_command_line_imports_neither_torch_nor_transformers() -> None:
    heavy = "sorted({'torch', 'transformers', 'av', 'numpy'} & set(sys.modules))"
    assert run_python(f"import sys, llava_video; print({heavy})") == "[]"
    assert run_python(f"import sys, llava_video.cli.app; print({heavy})") == "[]"


@pytest.mark.parametrize(
    ("first", "order"),
    [
        ("transformers.models.auto.modeling_auto", 1),
        ("llava_video, transformers.modeling_utils", -1),
        ("llava_video, transformers.models.qwen2.configuration_qwen2", -1),
        ("llava_video, peft", 1),
        ("llava_video, transformers.generation, llava_video.model.configuration", 1),
    ],
)
def test_auto_classes_know_the_model_whichever_is_imported_first(
    small_checkpoint: Path, first: str, order: int
) -> None:
    code = (
        f"order = {order}\nimport {first}\nimport llava_video\n"
        "from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor\n"
        f"where = {str(small_checkpoint)!r}\n"
        "for auto in (AutoConfig, AutoModelForImageTextToText, AutoProcessor)[::order]:\n"
        "    print(type(auto.from_pretrained(where)).__name__)\n"
    )
    names = ["LlavaVideoConfig", "LlavaVideoForConditionalGeneration", "LlavaVideoProcessor"]
    assert run_python(code).split() == names[::order]


def test_every_public_name_is_there() -> None:
    for name in lv.__all__:
        assert getattr(lv, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lv.nothing
