"""The frozen speech encoder of the published checkpoints: Vougioukas et al.'s "speech-driven animation" (SDA), pre-trained on LRW.

The checkpoint's own layout was never published; this is the public encoder of the same family (DinoMan/speech-driven-animation,
facts of sda/encoder_audio.py and rnn_audio.py), with the sizes that the calling code tells. A file of another layout is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from thcli.audio.windows import framed
from thcli.core.errors import WeightsError
from thcli.core.protocols import Speech
from thcli.core.types import Array32
from thcli.engines.shared.networks.checkpoint import load as load_state

RATE, WINDOW, HOP = 16000, 3200, 640  # samples: 0.2 s windows, 25 a second
HEARD = 256
FIRST_KERNEL, FIRST_STRIDE = 80, 16  # 5 ms and 1 ms
MARK = "rnn.weight_ih_l0"  # a key that every such encoder has


class Windows(nn.Module):
    """(N, 1, WINDOW) samples -> (N, HEARD): convolutions whose strides are the prime factors of what is left, each twice as wide."""

    def __init__(self) -> None:
        super().__init__()
        self.cl, self.activations = nn.ModuleList(), nn.ModuleList()
        length, inside, out = WINDOW, 1, 16
        after_first = -(-WINDOW // FIRST_STRIDE)
        plan = [(FIRST_KERNEL, FIRST_STRIDE), *((2 * f, f) for f in factors(after_first))]
        for kernel, stride in plan[:-1]:
            padding = (-(-length // stride) - 1) * stride + kernel - length
            length = (length + padding - kernel) // stride + 1
            self.cl.append(nn.Conv1d(inside, out, kernel, stride, math.ceil(padding / 2)))
            self.activations.append(nn.Sequential(nn.BatchNorm1d(out), nn.ReLU()))
            inside, out = out, 2 * out
        self.cl.append(nn.Conv1d(inside, HEARD, length))
        self.activations.append(nn.Tanh())

    def forward(self, samples: Tensor) -> Tensor:
        for layer, activation in zip(self.cl, self.activations, strict=True):
            samples = activation(layer(samples))
        return samples.flatten(1)


class SpeechEncoder(nn.Module):
    """Windows, then two GRU layers that remember all that was heard before."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Windows()
        self.rnn = nn.GRU(HEARD, HEARD, 2, batch_first=True)

    def forward(self, windows: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """windows (N, WINDOW) in their order, memory (2, 1, HEARD) -> (N, HEARD) and the memory after them."""
        out, after = self.rnn(self.encoder(windows[:, None])[None], memory)
        return out[0], after

    def rows(self, speech: Speech) -> Iterator[Array32]:
        """(T, HEARD) parts at 25 rows a second, in memory that does not depend on the length; silence before and after the sound."""
        memory = torch.zeros(2, 1, HEARD)

        def heard(windows: Array32) -> Array32:
            nonlocal memory
            with torch.inference_mode():
                found, memory = self(torch.from_numpy(np.ascontiguousarray(windows)), memory)
            return np.asarray(found.numpy())

        yield from framed(speech.blocks(), HOP, WINDOW, heard, HOP // 2)


def factors(number: int) -> list[int]:
    """The prime factors, rising."""
    found, factor = [], 2
    while number > 1:
        while number % factor == 0:
            found.append(factor)
            number //= factor
        factor += 1
    return found


def filled(tensors: Mapping[str, Tensor], name: str) -> SpeechEncoder:
    """The encoder with these tensors, whatever stands before their names. Raises WeightsError when they are of another layout."""
    marks = [key for key in tensors if key.endswith(MARK)]
    if not marks:
        raise WeightsError(
            f"The speech encoder of {name} has a layout that is not known.", "Use --voice dh-s."
        )
    prefix = marks[0].removesuffix(MARK)
    own = {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key.startswith(prefix) and "_flat" not in key
    }
    return load_state(SpeechEncoder(), own, f"{name}'s speech encoder")
