"""Linear layers with 8-bit weights: what they compute, and what they refuse."""

from importlib.resources import files

import pytest
import torch
from torch import nn

from llava_video.budget.inference_memory import MemoryModel
from llava_video.chat.local_model import LocalModel
from llava_video.chat.protocol import answer_one
from llava_video.errors import CheckpointError, InputError
from llava_video.model.int8 import Int8Linear, quantize_linear_layers


def by_hand(linear: nn.Linear, inputs: torch.Tensor, num_steps: int) -> torch.Tensor:
    """Weights in whole steps of each output's scale, inputs in whole steps of each row's."""
    weight_scale = linear.weight.abs().amax(1, keepdim=True) / 127
    weight = (linear.weight / weight_scale).round() * weight_scale
    rows = inputs / inputs.abs().amax(-1, keepdim=True)
    low, high = min(0.0, rows.min()), max(0.0, rows.max())
    step = (high - low) / num_steps
    return ((rows / step).round() * step * inputs.abs().amax(-1, keepdim=True)) @ weight.T + (
        0 if linear.bias is None else linear.bias
    )


@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_what_rounded_weights_and_inputs_give(bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(96, 40, bias=bias)
    inputs = torch.randn(2, 7, 96)
    layer = Int8Linear(linear)
    expected = by_hand(linear, inputs, 127 if layer._seven_bits else 255)
    # The offset of the inputs is a whole step, too: one step of each input may differ.
    torch.testing.assert_close(layer(inputs), expected, rtol=0, atol=0.02)
    exact = linear(inputs)
    assert (layer(inputs) - exact).norm() < 0.02 * exact.norm()


def test_one_large_row_takes_no_bits_from_the_others() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(128, 64)
    inputs = torch.randn(10, 128)
    alone = Int8Linear(linear)(inputs[1:])
    inputs[0] *= 5000  # as the first tokens of a language model do
    together = Int8Linear(linear)(inputs)[1:]
    exact = linear(inputs)[1:]
    assert (together - exact).norm() < 0.02 * exact.norm()
    assert (together - alone).norm() < 0.02 * exact.norm()


def test_rows_of_zeros_give_the_bias_and_dtypes_are_kept() -> None:
    linear = nn.Linear(8, 4)
    layer = Int8Linear(linear)
    torch.testing.assert_close(layer(torch.zeros(3, 8)), linear.bias.expand(3, 4))
    assert layer(torch.zeros(3, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_every_linear_layer_is_replaced_and_the_rest_is_float32() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 2)))
    quantize_linear_layers(model.bfloat16())
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(Int8Linear) == 2 and nn.Linear not in kinds
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_it_is_for_running_only() -> None:
    model = nn.Sequential(nn.Linear(8, 8))
    quantize_linear_layers(model)
    with pytest.raises(InputError, match="cannot be saved"):
        model.state_dict()


def test_what_cannot_be_quantized_is_refused() -> None:
    broken = nn.Sequential(nn.Linear(8, 8))
    with torch.no_grad():
        broken[0].weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="0 has weights that are not finite"):
        quantize_linear_layers(broken)
    with pytest.raises(InputError, match="the model is on meta"):
        quantize_linear_layers(nn.Linear(8, 8, device="meta"))


def test_the_embedded_model_answers_with_int8_weights() -> None:
    video = files("llava_video") / "assets" / "samples" / "three_shapes.mp4"
    shown = {"type": "video", "video": str(video)}
    question = {"type": "text", "text": "In which direction does the ring move?"}
    model = LocalModel.load("tiny", device="cpu", int8=True)
    assert answer_one(model, [{"role": "user", "content": [shown, question]}]).text == "left"
    assert model.precision == "int8"
    network = model.network
    # What is counted before is what is held: linear weights in bytes, the rest in float32.
    held = sum(p.numel() * p.element_size() for p in network.parameters())
    held += sum(
        m.in_features * m.out_features for m in network.modules() if isinstance(m, Int8Linear)
    )
    counted = MemoryModel.of(model.config, int8=True).weight_bytes
    assert held == pytest.approx(counted, rel=0.05)


def test_int8_is_refused_where_it_makes_no_sense() -> None:
    with pytest.raises(InputError, match="the rest is float32"):
        LocalModel.load("tiny", device="cpu", int8=True, dtype="bfloat16")
