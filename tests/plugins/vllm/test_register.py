"""The range of vLLM's versions, and how vLLM finds the plugin; needs no vLLM."""

import logging
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from llava_video.plugins.vllm import register as module
from llava_video.plugins.vllm.names import ARCHITECTURES


@pytest.mark.parametrize("version", ["0.31.0", "0.32.0", "0.32.1.post2", "0.33.0rc1", "0.33.4"])
def test_versions_inside_the_range(version: str) -> None:
    assert module.range_problem(version) is None


@pytest.mark.parametrize("version", ["0.30.9", "0.29.0", "0.34.0", "1.0", "dev", "0.16.0+cpu"])
def test_versions_outside_are_named_with_the_remedy(version: str) -> None:
    problem = module.range_problem(version)
    assert problem is not None
    assert version in problem
    assert "pip install 'vllm>=0.31,<0.34'" in problem


def test_outside_the_range_other_models_still_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "installed_version", lambda: "0.29.0")
    monkeypatch.setattr(module.logger, "propagate", True)
    with caplog.at_level(logging.ERROR, logger=module.logger.name):
        module.register()
    assert "vLLM 0.31 to 0.33, and this is 0.29.0" in caplog.text


def test_the_entry_point_is_register() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["vllm.general_plugins"]
    loaded = [
        EntryPoint(name, value, "vllm.general_plugins").load() for name, value in points.items()
    ]
    assert loaded == [module.register]


def test_registering_twice_changes_nothing() -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed; see make test-vllm")
    from vllm.model_executor.models import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP
    from vllm.renderers.registry import RENDERER_REGISTRY
    from vllm.tokenizers.registry import TokenizerRegistry

    module.register()
    before = [
        dict(ModelRegistry.models),
        dict(MODELS_CONFIG_MAP),
        dict(RENDERER_REGISTRY.renderers),
        dict(TokenizerRegistry.tokenizers),
    ]
    module.register()
    assert before == [
        dict(ModelRegistry.models),
        dict(MODELS_CONFIG_MAP),
        dict(RENDERER_REGISTRY.renderers),
        dict(TokenizerRegistry.tokenizers),
    ]
    assert set(ARCHITECTURES) <= ModelRegistry.get_supported_archs()
