"""Values of a config.json, in whatever layout, that are checked before transformers reads them.

transformers warns of most of what is wrong with them, or fails only when the model is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from llava_video.errors import CheckpointError, LlavaVideoError
from llava_video.model.configuration import LlavaVideoConfig

DTYPES = ("float32", "bfloat16", "float16", "float64")

_STORED = {"F64", "F32", "F16", "BF16"}

_ROPE_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "linear": (("factor",), ()),
    "dynamic": (("factor",), ("original_max_position_embeddings",)),
    "yarn": (
        ("factor",),
        (
            "original_max_position_embeddings",
            "attention_factor",
            "beta_fast",
            "beta_slow",
            "mscale",
            "mscale_all_dim",
            "truncate",
        ),
    ),
}
"""For each kind of scaling that Qwen2 has, the keys that it needs and those that it may have."""


def read_rope(values: dict[str, Any], default_theta: float, where: str) -> dict[str, Any]:
    """``rope_parameters`` of transformers 5, from any of the spellings that config.json may have.

    ``rope_scaling`` (to transformers 4) and ``rope_parameters`` mean the same, and so do ``type``
    (the official code and transformers to 4.44) and ``rope_type``: the positions are scaled as
    transformers does it today, with either. The official code, which is older, ignored them.

    Args:
        values: of the language model.
        default_theta: the base where none is given.
        where: the file, for messages.

    Raises:
        CheckpointError: the spellings contradict each other, or ask for what Qwen2 does not have.
    """
    given = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(given, dict):
        raise CheckpointError(f"{where}: rope_scaling is {given!r}; give an object, or null")
    scaling = {key: value for key, value in given.items() if value is not None}
    kinds = {scaling.pop(key) for key in ("type", "rope_type") if key in scaling}
    theta = scaling.pop("rope_theta", None) or values.get("rope_theta") or default_theta
    if len(kinds) > 1 or (scaling and not kinds):
        raise CheckpointError(
            f"{where}: rope_scaling {given} does not say one rope_type; give one, such as 'yarn'"
        )
    kind = kinds.pop() if kinds else "default"
    if kind not in _ROPE_KEYS:
        raise CheckpointError(
            f"{where}: rope_type {kind!r} is not known for Qwen2; known are {', '.join(_ROPE_KEYS)}"
        )
    needed, possible = _ROPE_KEYS[kind]
    for key in needed:
        factor = scaling.get(key)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or factor < 1:
            raise CheckpointError(
                f"{where}: rope_scaling of type {kind!r} needs a {key} of at least 1, not {factor}"
            )
    unknown = sorted(set(scaling) - {*needed, *possible})
    if unknown:
        raise CheckpointError(
            f"{where}: rope_scaling of type {kind!r} has no {unknown[0]!r}; remove it, or correct "
            "its name"
        )
    return {"rope_type": kind, **scaling, "rope_theta": theta}


def check_dtypes(values: dict[str, Any], where: str) -> None:
    """Refuse a dtype that models are not run in, of the model or one of its parts.

    Raises:
        CheckpointError: there is one.
    """
    for part in (values, values.get("text_config"), values.get("vision_config")):
        for key in ("dtype", "torch_dtype"):
            name = part.get(key) if isinstance(part, dict) else None
            if name is not None and str(name).removeprefix("torch.") not in DTYPES:
                raise CheckpointError(
                    f"{where}: {key} {name!r} is not one of {', '.join(DTYPES)}; write the dtype "
                    "that the tensors have"
                )


def check_stored_dtype(name: str, dtype: str, where: str) -> None:
    """Refuse a tensor that is stored in few bits: without its scales it is another tensor.

    Raises:
        CheckpointError: it is.
    """
    if dtype not in _STORED:
        raise CheckpointError(
            f"{where}: the tensor {name} is stored as {dtype}, so the checkpoint is quantized; "
            "take the checkpoint that it was made from, and quantize it while loading "
            "(quantization_config, see docs/transformers.md)"
        )


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Make one error of what transformers raises for values of another type.

    Raises:
        CheckpointError: instead of any of them.
    """
    try:
        yield
    except LlavaVideoError:
        raise
    except (
        StrictDataclassError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ZeroDivisionError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{where} cannot be followed ({reason}); correct the value"
        ) from error


def check_sizes(config: LlavaVideoConfig, where: str) -> None:
    """Refuse sizes of which no network can be made.

    Raises:
        CheckpointError: heads do not divide the width, or an activation is not known.
    """
    from transformers.activations import ACT2FN  # imports torch, which AutoConfig does not need

    text, vision = config.text, config.vision
    for part, values in (("text", text), ("vision", vision)):
        width, heads = values.hidden_size, values.num_attention_heads
        if heads < 1 or width % heads:
            raise CheckpointError(
                f"{where}: num_attention_heads {heads} does not divide hidden_size {width} of the "
                f"{part} model; correct one of them"
            )
        if values.hidden_act not in ACT2FN:
            raise CheckpointError(
                f"{where}: hidden_act {values.hidden_act!r} of the {part} model is not known to "
                "transformers; correct it"
            )
    if text.num_attention_heads % text.num_key_value_heads:
        raise CheckpointError(
            f"{where}: num_key_value_heads {text.num_key_value_heads} does not divide "
            f"num_attention_heads {text.num_attention_heads}; correct one of them"
        )
