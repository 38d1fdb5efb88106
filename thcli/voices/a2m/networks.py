"""Network of `a2m-s`: predictors of the mouth's motion and its closures, in one sum.

The sound has 100 rows per second, the motion 50. The predictors are a linear filter of the phones,
two networks of the phones and a network of the spectrum. They err differently: phones are the same
for every speaker and microphone, the spectrum has what phones leave out. The networks are dilated
gated convolutions (van den Oord et al. 2016) with a third of a second of context to each side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.voices.a2m.features import PHONE_COLUMNS, SOUND_COLUMNS

WIDTH = 48
AUDIO_STRIDE = 2  # audio rows per motion row
DILATIONS = (1, 2, 4, 8, 1)
SHARES = (0.2, 0.35, 0.35, 0.1)  # of the linear filter, twice the phones, and the spectrum
TAPS, SPACING = 11, 2  # of the linear filter, in motion rows
REACH = 20  # motion rows to each side that a row may depend on (measured by a test)
POINTS = 468
CLOSURES = 2  # logits: lips shut, lower lip at the upper teeth


class GatedConv(nn.Module):
    """Residual gated dilated convolution, x + W(tanh(a) sigmoid(b)) (van den Oord et al. 2016)."""

    def __init__(self, width: int, dilation: int, drop: float = 0.0) -> None:
        super().__init__()
        self.drop = nn.Dropout1d(drop)  # whole channels: neighbours in time are correlated
        self.conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.conv(self.drop(x)).chunk(2, 1)
        out: Tensor = x + self.out(torch.tanh(a) * torch.sigmoid(b))
        return out


class TemporalNetwork(nn.Module):
    """Stack of gated convolutions, (B, inputs, T) -> (B, outputs, T)."""

    def __init__(self, inputs: int, outputs: int, width: int, drop: float) -> None:
        super().__init__()
        self.drop = nn.Dropout1d(drop / 2)
        self.stem = nn.Conv1d(inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList([GatedConv(width, dilation, drop) for dilation in DILATIONS])
        self.out = nn.Conv1d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.drop(x))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.out(F.gelu(x))
        return out


class MouthNetwork(nn.Module):
    """Sound to mouth motion: (B, T, INPUT_COLUMNS) -> (B, T / 2, shapes + 1 + CLOSURES), T even.

    Columns are coefficients of the mouth's shapes in standard deviations, the opening, and logits
    of the two closures.

    Buffers:
        basis: (shapes, 468, 3) one standard deviation of each shape, canonical units.
        unit: opening (mean gap of the inner lips, canonical units) that an output of 1 stands for.
        mean: (shapes + 1,) mean of the outputs while a person speaks.
        gain: (shapes + 1,) deviation of true motion over that of the outputs.
        unexplained: (shapes + 1,) share of the true variance that the sound does not tell.
        deviation: (shapes + 1,) standard deviation of true motion.
    """

    basis: Tensor
    unit: Tensor
    mean: Tensor
    gain: Tensor
    unexplained: Tensor
    deviation: Tensor

    def __init__(self, width: int = WIDTH, shapes: int = 12, drop: float = 0.0) -> None:
        super().__init__()
        outputs = shapes + 1 + CLOSURES
        self.linear = nn.Conv1d(
            PHONE_COLUMNS, outputs, TAPS, padding=TAPS // 2 * SPACING, dilation=SPACING
        )
        self.phones = nn.ModuleList(
            [TemporalNetwork(PHONE_COLUMNS, outputs, width, drop) for _ in SHARES[1:-1]]
        )
        self.sound = TemporalNetwork(SOUND_COLUMNS, outputs, width, drop)
        self.register_buffer("basis", torch.zeros(shapes, POINTS, 3))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("mean", torch.zeros(shapes + 1))
        self.register_buffer("gain", torch.ones(shapes + 1))
        self.register_buffer("unexplained", torch.zeros(shapes + 1))
        self.register_buffer("deviation", torch.ones(shapes + 1))

    def pool(self, x: Tensor) -> Tensor:
        """Return the means of three rows of sound around each motion row, (B, columns, T / 2)."""
        return F.avg_pool1d(x.transpose(1, 2), 3, AUDIO_STRIDE, 1, count_include_pad=False)

    def members(self, x: Tensor) -> Tensor:
        """Return the outputs of each predictor, (4, B, T / 2, shapes + 1 + CLOSURES)."""
        rows = self.pool(x)
        sound, phones = rows[:, :SOUND_COLUMNS], rows[:, SOUND_COLUMNS:]
        outputs = [self.linear(phones), *(net(phones) for net in self.phones), self.sound(sound)]
        return torch.stack(outputs).transpose(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        shares = torch.tensor(SHARES, dtype=x.dtype, device=x.device)
        out: Tensor = torch.tensordot(shares, self.members(x), 1)
        return out

    def with_amplitude(self, rows: Tensor, noise: Tensor, temperature: float) -> Tensor:
        """Return rows (..., shapes + 1) with the deviation of true motion, about its mean.

        The likeliest motion is the mean of many and varies less than each of them. At temperature 0
        it is amplified; at 1 noise makes up for all that the sound does not tell, and in between
        both do.

        Args:
            rows: (..., shapes + 1) outputs.
            noise: like rows, standard normal.
            temperature: 0 or more.
        """
        told = (1 - self.unexplained * min(temperature, 1.0) ** 2).sqrt()
        likeliest = self.mean + (rows - self.mean) * self.gain * told
        return likeliest + temperature * self.unexplained.sqrt() * self.deviation * noise
