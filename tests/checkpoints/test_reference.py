"""The reference implementation arranges every representation as the model does."""

from dataclasses import replace

import pytest
import torch

from llava_video.checkpoints.reference import arrange_reference
from llava_video.representation import PRESETS, make_layout
from llava_video.representation.packing import pack_video


@pytest.mark.parametrize("name", PRESETS)
def test_the_loop_over_frames_arranges_as_packing_does(name: str) -> None:
    representation = replace(PRESETS[name].representation, max_frames=7)
    if representation.slow_stride > 7:
        representation = replace(representation, slow_stride=3)
    projected = torch.randn(7, representation.tokens_per_frame, 4)
    newline, separator = torch.randn(4), torch.randn(4)
    packed = pack_video(
        projected, make_layout(representation, 7), newline_D=newline, separator_D=separator
    )
    expected = arrange_reference(projected, representation, newline, separator)
    torch.testing.assert_close(packed, expected)
