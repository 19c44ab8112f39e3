"""Linear layers with weights of 8 bits, for CPUs.

Products of 8-bit integers run on every x86 CPU through FBGEMM, which is part of torch, two to four
times as fast as float32 ones, and a token that is decoded reads a quarter of the bytes. Weights get
one scale per output, inputs one scale per row (token): a few tokens of a language model have values
a thousand times the others', which would leave one scale for all of them no bits.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from llava_video.errors import CheckpointError, InputError

MIN_SCALE = 1e-12
"""A row of zeros is divided by this."""

ROWS_AT_A_TIME = 1024
"""Rows that are scaled, multiplied and scaled back together: they stay in the processor's cache."""

MOST_WEIGHT = 127
"""Largest absolute weight, in steps."""


class Int8Linear(nn.Module):
    """A linear layer: (..., inputs) float -> (..., outputs) of the same dtype.

    Args:
        linear: the layer to copy; it must be finite.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._packed = _pack(linear.weight.detach())
        self.bias: Tensor
        no_bias = linear.bias is None
        self.register_buffer(
            "bias", torch.zeros(self.out_features) if no_bias else linear.bias.detach().float()
        )
        # FBGEMM without VNNI adds pairs of products in 16 bits: inputs of 8 bits could overflow.
        self._seven_bits = not torch.cpu._is_vnni_supported()

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply; inputs are rounded to 8 bits of their row's maximum, or 7 without VNNI."""
        rows = inputs.reshape(-1, self.in_features)
        outputs = torch.empty(len(rows), self.out_features)
        for some, out in zip(
            rows.split(ROWS_AT_A_TIME), outputs.split(ROWS_AT_A_TIME), strict=True
        ):
            floats = some.float()
            scale = floats.abs().amax(-1, keepdim=True).clamp_min_(MIN_SCALE)
            products = torch.ops.quantized.linear_dynamic(
                floats / scale, self._packed, self._seven_bits
            )
            torch.addcmul(self.bias, products, scale, out=out)
        return outputs.to(inputs.dtype).reshape(*inputs.shape[:-1], self.out_features)

    def unpacked(self) -> tuple[Tensor, Tensor]:
        """The weights in steps, (outputs, inputs) int8, and the size of a step, (outputs,)."""
        weight = torch.ops.quantized.linear_unpack(self._packed)[0]
        return weight.int_repr(), weight.q_per_channel_scales()

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}"

    def _save_to_state_dict(self, *args: Any) -> None:
        raise InputError(
            "a model with int8 weights cannot be saved; it is made from its checkpoint each time"
        )


def quantize_linear_layers(model: nn.Module) -> None:
    """Replace every linear layer of a model on a CPU, one at a time; other parts are float32.

    Raises:
        InputError: the model is not on a CPU, or torch was built without FBGEMM.
        CheckpointError: a weight is not finite.
    """
    devices = {parameter.device.type for parameter in model.parameters()}
    if devices != {"cpu"}:
        raise InputError(
            f"int8 weights are for CPUs, the model is on {', '.join(sorted(devices))}; leave "
            "--quantize out, or load it in 8 bits with bitsandbytes"
        )
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        raise InputError(
            "this build of torch has no FBGEMM, which multiplies 8-bit integers on x86 CPUs; leave "
            "--quantize out"
        )
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                try:
                    setattr(module, name, Int8Linear(child))
                except CheckpointError as error:
                    raise CheckpointError(f"{name} {error}") from error
    model.float()


def _pack(weight: Tensor) -> Any:
    """(outputs, inputs) float -> what FBGEMM multiplies with."""
    weight = weight.float()
    scales = weight.abs().amax(1) / MOST_WEIGHT
    if not torch.isfinite(scales).all():
        raise CheckpointError("has weights that are not finite; download the checkpoint again")
    scales = scales.clamp_min(MIN_SCALE)
    engine = torch.backends.quantized.engine
    with warnings.catch_warnings():
        # torch announces an end of quantized tensors without a date; the products stay.
        warnings.simplefilter("ignore", UserWarning)
        steps = torch._make_per_channel_quantized_tensor(
            (weight / scales[:, None]).round_().to(torch.int8),
            scales.double(),
            torch.zeros(len(scales), dtype=torch.long),
            0,
        )
        try:
            torch.backends.quantized.engine = "fbgemm"
            return torch.ops.quantized.linear_prepack(steps, None)
        finally:
            torch.backends.quantized.engine = engine
