"""The package itself: cheap to import, and known to the Auto classes of transformers."""

import subprocess
import sys
from pathlib import Path

import pytest

import llava_video as lv


def run_python(code: str, *words: str) -> str:
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_or_its_command_line_imports_neither_torch_nor_transformers() -> None:
    heavy = "sorted({'torch', 'transformers', 'av', 'numpy'} & set(sys.modules))"
    assert run_python(f"import sys, llava_video; print({heavy})") == "[]"
    assert run_python(f"import sys, llava_video.cli.app; print({heavy})") == "[]"


ORDERS = [
    ("transformers.models.auto.modeling_auto", 1),
    ("llava_video, transformers.modeling_utils", -1),
    ("llava_video, transformers.models.qwen2.configuration_qwen2", -1),
    ("llava_video, peft", 1),
    ("llava_video, transformers.generation, llava_video.model.configuration", 1),
]

# Each order needs a process that has imported nothing of transformers; torch is imported once.
IMPORT_IN_ORDERS = """
import os, sys
import accelerate, torch._dynamo, torch.distributed.tensor
directory, orders = sys.argv[1], {orders}
assert not [name for name in sys.modules if name.startswith("transformers")]
for first, order in orders:
    process = os.fork()
    if process == 0:
        exec(f"import {{first}}, llava_video")
        from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
        autos = (AutoConfig, AutoModelForImageTextToText, AutoProcessor)[::order]
        print(first, *(type(auto.from_pretrained(directory)).__name__ for auto in autos), sep="|")
        sys.exit()
    assert os.waitpid(process, 0)[1] == 0, first
"""


def test_auto_classes_know_the_model_whichever_is_imported_first(small_checkpoint: Path) -> None:
    names = ["LlavaVideoConfig", "LlavaVideoForConditionalGeneration", "LlavaVideoProcessor"]
    lines = run_python(IMPORT_IN_ORDERS.format(orders=ORDERS), str(small_checkpoint)).splitlines()
    assert [line.split("|") for line in lines] == [
        [first, *names[::order]] for first, order in ORDERS
    ]


def test_every_public_name_is_there() -> None:
    for name in lv.__all__:
        assert getattr(lv, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lv.nothing
