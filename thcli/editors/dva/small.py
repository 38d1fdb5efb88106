"""dva-s."""

from __future__ import annotations

from torch import Tensor

from thcli.diffusion.process import Prediction
from thcli.editors.dva.small_network import Shape, unit

__all__ = ["PREDICTS", "SHAPE", "remainder_of", "unit"]

SHAPE = Shape()
PREDICTS: Prediction = "v"
UNIT = 0.25  # root mean square of what a painting leaves of its picture, pictures in [-1, 1]


def remainder_of(pictures: Tensor, painting: Tensor) -> Tensor:
    """What is diffused: the difference to the painting, about 1 in size."""
    return (pictures - painting) / UNIT
