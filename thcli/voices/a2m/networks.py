"""Network of `a2m-s`: predictors of the mouth's motion and its closures, in one sum.

The sound has 100 rows per second, the motion 50. The predictors are a linear filter of the phones
and networks of the phones, of the spectrum and of both. They err differently: phones are the same
for every speaker and microphone, the spectrum has what phones leave out. The networks are dilated
gated convolutions (van den Oord et al. 2016) with a third of a second of context to each side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.voices.a2m.features import INPUT_COLUMNS, PHONE_COLUMNS, SOUND_COLUMNS

AUDIO_STRIDE = 2  # audio rows per motion row
TAPS, SPACING = 11, 2  # of the linear filter, in motion rows
REACH = 20  # motion rows to each side that a row may depend on (measured by a test)
POINTS = 468
CLOSURES = 2  # logits: lips shut, lower lip at the upper teeth

SOUND, PHONES, BOTH = slice(0, SOUND_COLUMNS), slice(SOUND_COLUMNS, None), slice(0, INPUT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Member:
    """A network of the sum.

    hears: its columns of the input.  share: of the sum.  correlated: whether its training asks for
    motion that rises and falls with the truth, besides motion that is near it.
    """

    name: str
    hears: slice
    width: int
    dilations: tuple[int, ...]
    correlated: bool
    share: float


LINEAR_SHARE = 0.1
MEMBERS = (
    Member("phones", PHONES, 48, (1, 2, 4, 8, 1), False, 0.15),
    Member("phones 2", PHONES, 48, (1, 2, 4, 8, 1), False, 0.15),
    Member("wide phones", PHONES, 64, (1, 2, 4, 8, 2), True, 0.15),
    Member("both", BOTH, 64, (1, 2, 4, 8, 1), True, 0.15),
    Member("both 2", BOTH, 64, (1, 2, 4, 8, 2), True, 0.15),
    Member("sound", SOUND, 48, (1, 2, 4, 8, 1), True, 0.15),
)


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
    """Stack of gated convolutions, (B, INPUT_COLUMNS, T) -> (B, outputs, T)."""

    def __init__(self, member: Member, outputs: int, width: int, drop: float) -> None:
        super().__init__()
        self.hears = member.hears
        self.drop = nn.Dropout1d(drop / 2)
        inputs = len(range(INPUT_COLUMNS)[member.hears])
        self.stem = nn.Conv1d(inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList([GatedConv(width, d, drop) for d in member.dilations])
        self.out = nn.Conv1d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.drop(x[:, self.hears]))
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

    def __init__(self, narrow: int = 1, shapes: int = 12, drop: float = 0.0) -> None:
        super().__init__()
        outputs = shapes + 1 + CLOSURES
        self.linear = nn.Conv1d(
            PHONE_COLUMNS, outputs, TAPS, padding=TAPS // 2 * SPACING, dilation=SPACING
        )
        self.networks = nn.ModuleList(
            [TemporalNetwork(m, outputs, m.width // narrow, drop) for m in MEMBERS]
        )
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
        """Return the outputs of the linear filter and of each of MEMBERS.

        (1 + len(MEMBERS), B, T / 2, shapes + 1 + CLOSURES).
        """
        rows = self.pool(x)
        outputs = [self.linear(rows[:, PHONES]), *(network(rows) for network in self.networks)]
        return torch.stack(outputs).transpose(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        shares = [LINEAR_SHARE, *(member.share for member in MEMBERS)]
        weights = torch.tensor(shares, dtype=x.dtype, device=x.device)
        out: Tensor = torch.tensordot(weights, self.members(x), 1)
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
