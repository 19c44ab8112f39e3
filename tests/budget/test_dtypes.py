"""The dtype that this CPU computes fast."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from llava_video.budget.dtypes import fastest_dtype


def test_float32_stays_and_others_become_the_faster_of_two() -> None:
    assert fastest_dtype(torch.float32) == torch.float32
    assert fastest_dtype(torch.bfloat16) in (torch.bfloat16, torch.float32)
    assert torch.get_num_threads() >= 1


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the limit is for x86 instructions")
def test_without_instructions_for_bfloat16_it_is_float32() -> None:
    limited = {**os.environ, "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    code = (
        "import torch; from llava_video.budget.dtypes import fastest_dtype; "
        "print(fastest_dtype(torch.bfloat16))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=limited, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "torch.float32"
