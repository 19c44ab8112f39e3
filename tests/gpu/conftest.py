"""Tests of what differs on a GPU; without one each says that it was left out."""

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "gpu" in item.path.parts:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def exact_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in float32 as well: cuDNN rounds their inputs to 10 bits by default."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
