"""Frozen speech encoder of the published checkpoints ("speech-driven animation", pre-trained on
LRW).

Vougioukas et al. The checkpoint's own layout was never published. This is the public encoder of the
same family (DinoMan/speech-driven-animation, facts of sda/encoder_audio.py and rnn_audio.py) with
the sizes in the calling code. A file of another layout is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from thcli.audio.windows import map_windows
from thcli.core.errors import WeightsError
from thcli.core.protocols import Speech
from thcli.core.types import Array32
from thcli.engines.shared.networks.checkpoint import load as load_state

RATE, WINDOW, HOP = 16000, 3200, 640  # samples: windows of 0.2 s, 25 per second
EMBEDDING_WIDTH = 256
FIRST_KERNEL, FIRST_STRIDE = 80, 16  # 5 ms and 1 ms
MARKER_KEY = "rnn.weight_ih_l0"  # in every encoder of this layout


class WindowEncoder(nn.Module):
    """Convolutional encoder of windows: (N, 1, WINDOW) samples -> (N, EMBEDDING_WIDTH).

    Strides are the prime factors of the remaining length; each layer has twice the channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cl, self.activations = nn.ModuleList(), nn.ModuleList()
        length, in_channels, out_channels = WINDOW, 1, 16
        remaining = -(-WINDOW // FIRST_STRIDE)
        plan = [
            (FIRST_KERNEL, FIRST_STRIDE),
            *((2 * factor, factor) for factor in prime_factors(remaining)),
        ]
        for kernel, stride in plan[:-1]:
            padding = (-(-length // stride) - 1) * stride + kernel - length
            length = (length + padding - kernel) // stride + 1
            self.cl.append(
                nn.Conv1d(in_channels, out_channels, kernel, stride, math.ceil(padding / 2))
            )
            self.activations.append(nn.Sequential(nn.BatchNorm1d(out_channels), nn.ReLU()))
            in_channels, out_channels = out_channels, 2 * out_channels
        self.cl.append(nn.Conv1d(in_channels, EMBEDDING_WIDTH, length))
        self.activations.append(nn.Tanh())

    def forward(self, samples: Tensor) -> Tensor:
        for layer, activation in zip(self.cl, self.activations, strict=True):
            samples = activation(layer(samples))
        return samples.flatten(1)


class SpeechEncoder(nn.Module):
    """WindowEncoder followed by two GRU layers over all previous windows."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WindowEncoder()
        self.rnn = nn.GRU(EMBEDDING_WIDTH, EMBEDDING_WIDTH, 2, batch_first=True)

    def forward(self, windows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Encode windows (N, WINDOW) in order with state (2, 1, EMBEDDING_WIDTH).

        Returns:
            (N, EMBEDDING_WIDTH) and the state after them.
        """
        out, next_state = self.rnn(self.encoder(windows[:, None])[None], state)
        return out[0], next_state

    def encode_speech(self, speech: Speech) -> Iterator[Array32]:
        """Yield (T, EMBEDDING_WIDTH) parts at 25 rows per second.

        Memory does not depend on the length. The sound is padded with silence on both sides.
        """
        state = torch.zeros(2, 1, EMBEDDING_WIDTH)

        def encode(windows: Array32) -> Array32:
            nonlocal state
            with torch.inference_mode():
                embeddings, state = self(torch.from_numpy(np.ascontiguousarray(windows)), state)
            return np.asarray(embeddings.numpy())

        yield from map_windows(speech.blocks(), HOP, WINDOW, encode, HOP // 2)


def prime_factors(number: int) -> list[int]:
    """Return the prime factors in ascending order."""
    factors, factor = [], 2
    while number > 1:
        while number % factor == 0:
            factors.append(factor)
            number //= factor
        factor += 1
    return factors


def build_speech_encoder(tensors: Mapping[str, Tensor], name: str) -> SpeechEncoder:
    """Build the encoder with these tensors, under any prefix of their names.

    Raises:
        WeightsError: the tensors have another layout.
    """
    markers = [key for key in tensors if key.endswith(MARKER_KEY)]
    if not markers:
        raise WeightsError(
            f"The speech encoder of {name} has an unknown layout.", "Use --voice dh-s."
        )
    prefix = markers[0].removesuffix(MARKER_KEY)
    state = {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key.startswith(prefix) and "_flat" not in key
    }
    return load_state(SpeechEncoder(), state, f"{name}'s speech encoder")
