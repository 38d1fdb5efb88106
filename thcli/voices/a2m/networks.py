"""Network of `a2m-s`: a conditional VAE with a flow prior over the mouth's motion.

The audio has 100 rows per second, the motion 50 and the latent 12.5. Temperature 0 takes the centre
of the prior, which training keeps at the most likely motion. Above 0 the flow turns noise into
variations. The architecture follows Real3D-Portrait (Ye et al., ICLR 2024) at a twentieth of its
size. Deliberate differences: log-mel instead of HuBERT, a separate opening beside the shape
coefficients, and a decoder that is also trained on the centre of the prior.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.voices.a2m.features import INPUT_COLUMNS

WIDTH = 64
LATENT = 8
LATENT_STRIDE = 4  # motion rows per latent row
AUDIO_STRIDE = 2  # audio rows per motion row
REACH = 96  # motion rows to each side that a row may depend on (measured by a test)
POINTS = 468


class GatedConv(nn.Module):
    """Residual gated dilated convolution, x + W(tanh(a) sigmoid(b)) (van den Oord et al. 2016)."""

    def __init__(self, width: int, dilation: int, drop: float = 0.0, condition: int = 0) -> None:
        super().__init__()
        self.drop = nn.Dropout1d(drop)  # whole channels: neighbours in time are correlated
        self.conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.condition = nn.Conv1d(condition, 2 * width, 1) if condition else None
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        gates = self.conv(self.drop(x))
        if self.condition is not None:
            gates = gates + self.condition(condition)
        a, b = gates.chunk(2, 1)
        out: Tensor = x + self.out(torch.tanh(a) * torch.sigmoid(b))
        return out


class Coupling(nn.Module):
    """Additive coupling: one half of the latent is shifted by a function of the other half."""

    def __init__(self, condition: int, width: int = 32) -> None:
        super().__init__()
        self.pre = nn.Conv1d(LATENT // 2, width, 1)
        self.blocks = nn.ModuleList([GatedConv(width, 1, condition=condition) for _ in range(2)])
        self.post = nn.Conv1d(width, LATENT // 2, 1)
        nn.init.zeros_(self.post.weight)
        assert self.post.bias is not None
        nn.init.zeros_(self.post.bias)

    def shift(self, unchanged: Tensor, condition: Tensor) -> Tensor:
        """Return the shift of one half from the other half and the condition."""
        h = self.pre(unchanged)
        for block in self.blocks:
            h = block(h, condition)
        out: Tensor = self.post(h)
        return out


class Flow(nn.Module):
    """Four mean-only couplings with swapped halves: latent <-> noise, volume preserving."""

    def __init__(self, condition: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList([Coupling(condition) for _ in range(4)])

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Map a latent (B, LATENT, T) to noise."""
        for coupling in self.couplings:
            unchanged, shifted = z.chunk(2, 1)
            shift = coupling.shift(unchanged, condition)  # type: ignore[operator]  # own method
            z = torch.cat([shifted + shift, unchanged], 1)
        return z

    def reverse(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Map noise (B, LATENT, T) to a latent."""
        z = noise
        for coupling in reversed(list(self.couplings)):
            shifted, unchanged = z.chunk(2, 1)
            shift = coupling.shift(unchanged, condition)  # type: ignore[operator]
            z = torch.cat([unchanged, shifted - shift], 1)
        return z


class MouthNetwork(nn.Module):
    """Audio to mouth motion: (B, T, INPUT_COLUMNS) inputs -> (B, T / 2, shapes + 1) rows.

    T is a multiple of 8. Columns are coefficients of the mouth's shapes in standard deviations,
    then the opening.

    Buffers:
        basis: (shapes, 468, 3) one standard deviation of each shape, canonical units.
        unit: opening (mean gap of the inner lips, canonical units) that an output of 1 stands for.
        gain: amplitude of true motion over that of the most likely motion.
    """

    basis: Tensor
    unit: Tensor
    gain: Tensor

    def __init__(self, width: int = WIDTH, shapes: int = 12, drop: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(INPUT_COLUMNS, width, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, stride=AUDIO_STRIDE, padding=2),
            nn.GELU(),
        )
        self.listen = nn.ModuleList([GatedConv(width, 2 ** (i % 4), drop) for i in range(8)])
        self.given = nn.Conv1d(width, width, 2 * LATENT_STRIDE, LATENT_STRIDE, LATENT_STRIDE // 2)
        self.flow = Flow(width)
        self.latent = nn.ConvTranspose1d(LATENT, width, LATENT_STRIDE, LATENT_STRIDE)
        self.say = nn.ModuleList([GatedConv(width, dilation, drop) for dilation in (1, 2)])
        self.out = nn.Conv1d(width, shapes + 1, 1)
        self.register_buffer("basis", torch.zeros(shapes, POINTS, 3))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("gain", torch.ones(()))

    def encode_audio(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return audio embeddings per motion row and per latent row.

        (B, width, T / 2) and (B, width, T / 8).
        """
        h: Tensor = self.stem(x.transpose(1, 2))
        for block in self.listen:
            h = block(h)
        return h, F.gelu(self.given(h))

    def decode(self, h: Tensor, z: Tensor) -> Tensor:
        """Return rows (B, T / 2, shapes + 1) of the audio embedding h and a latent z."""
        x = h + self.latent(z)
        for block in self.say:
            x = block(x)
        rows: Tensor = self.out(F.gelu(x)).transpose(1, 2)
        return torch.cat([rows[..., :-1], F.softplus(rows[..., -1:], beta=2)], -1)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the rows for noise (B, LATENT, T / 8); zero noise gives the most likely motion."""
        h, condition = self.encode_audio(x)
        return self.decode(h, self.flow.reverse(noise, condition))
