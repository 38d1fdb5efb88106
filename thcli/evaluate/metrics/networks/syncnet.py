"""SyncNet (Chung and Zisserman 2016): embeddings of 0.2 s of a mouth and of its sound.

Layout of `syncnet_v2.model`: netcnnaud, netfcaud, netcnnlip, netfclip.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

CPU = torch.device("cpu")
WEIGHTS = "syncnet"
FRAMES, ROWS, COEFFICIENTS = 5, 20, 13  # frames of a window, its rows of sound, numbers of a row
WIDTH, SIDE = 1024, 224  # of an embedding; pixels of a face
Size = tuple[int, ...]


def _convolution(inputs: int, outputs: int, kernel: Size, stride: int, padding: Size) -> nn.Module:
    if len(kernel) == 2:
        return nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), 1, (padding[0], padding[1]))
    steps = (1, stride, stride)
    shape, border = (kernel[0], kernel[1], kernel[2]), (padding[0], padding[1], padding[2])
    return nn.Conv3d(inputs, outputs, shape, steps, border)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, WIDTH))


def _sound_network() -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = (1, 64, 192, 384, 256, 256)
    pools = {64: ((1, 1), (1, 1)), 192: ((3, 3), (1, 2))}
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += [_convolution(inputs, outputs, (3, 3), 1, (1, 1)), nn.BatchNorm2d(outputs)]
        layers.append(nn.ReLU())
        if outputs in pools:
            layers.append(nn.MaxPool2d(*pools[outputs]))
        elif number == len(widths) - 2:
            layers.append(nn.MaxPool2d(3, 2))
    layers += [_convolution(256, 512, (5, 4), 1, (0, 0)), nn.BatchNorm2d(512), nn.ReLU()]
    return nn.Sequential(*layers)


def _mouth_network() -> nn.Sequential:
    steps: Sequence[tuple[int, int, Size, int, Size]] = (
        (3, 96, (5, 7, 7), 2, (0, 0, 0)),
        (96, 256, (1, 5, 5), 2, (0, 1, 1)),
        (256, 256, (1, 3, 3), 1, (0, 1, 1)),
        (256, 256, (1, 3, 3), 1, (0, 1, 1)),
        (256, 256, (1, 3, 3), 1, (0, 1, 1)),
        (256, 512, (1, 6, 6), 1, (0, 0, 0)),
    )
    borders = {0: (0, 0, 0), 1: (0, 1, 1), 4: (0, 0, 0)}  # of the maxima after these steps
    layers: list[nn.Module] = []
    for number, (inputs, outputs, kernel, stride, padding) in enumerate(steps):
        layers.append(_convolution(inputs, outputs, kernel, stride, padding))
        layers += [nn.BatchNorm3d(outputs), nn.ReLU()]
        if number in borders:
            layers.append(nn.MaxPool3d((1, 3, 3), (1, 2, 2), borders[number]))
    return nn.Sequential(*layers)


class SyncNet(nn.Module):
    """SyncNet with its two streams."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud, self.netfcaud = _sound_network(), _head()
        self.netcnnlip, self.netfclip = _mouth_network(), _head()

    def encode_sound(self, rows: Tensor) -> Tensor:
        """Return (B, 1024). rows: (B, 1, 13, 20) cepstra, 100 a second."""
        found: Tensor = self.netfcaud(self.netcnnaud(rows).flatten(1))
        return found

    def encode_mouths(self, frames: Tensor) -> Tensor:
        """Return (B, 1024). frames: (B, 3, 5, 224, 224) BGR in 0..255, 25 a second."""
        found: Tensor = self.netfclip(self.netcnnlip(frames).flatten(1))
        return found


def build_syncnet(tensors: dict[str, Tensor], device: torch.device = CPU) -> SyncNet:
    """Build the network from the published file. Raises WeightsError for other keys or shapes."""
    network = SyncNet()
    load_state(network, tensors, WEIGHTS, device)
    return network


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the published layout."""
    load_state(SyncNet(), checkpoint.tensors(), WEIGHTS, CPU)


def sync_distances(mouths: Tensor, sounds: Tensor, reach: int = 15) -> Tensor:
    """Return the mean distance (2 * reach + 1,) for each shift of the sound, in frames.

    The sound is zero beyond its ends, as in the authors' program.

    Args:
        mouths, sounds: (T, 1024) embeddings.
        reach: frames to each side.
    """
    padded = nn.functional.pad(sounds, (0, 0, reach, reach))
    count = len(mouths)
    return torch.stack(
        [
            nn.functional.pairwise_distance(mouths, padded[shift : shift + count]).mean()
            for shift in range(2 * reach + 1)
        ]
    )
