"""The projector: vision features to the width of the language model."""

from __future__ import annotations

from torch import Tensor, nn


class Projector(nn.Module):
    """Two linear layers with an exact GELU between them (``mlp2x_gelu``)."""

    def __init__(self, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(vision_width, text_width)
        self.activation = nn.GELU()
        self.linear_2 = nn.Linear(text_width, text_width)

    def hidden(self, features: Tensor) -> Tensor:
        """The first linear layer and the GELU: (..., C) -> (..., D)."""
        return self.activation(self.linear_1(features))  # type: ignore[no-any-return]

    def forward(self, features: Tensor) -> Tensor:
        """Both layers: (..., C) -> (..., D)."""
        return self.linear_2(self.hidden(features))  # type: ignore[no-any-return]
