"""The network of `a2m-s`: a conditional VAE with a flow prior over the mouth's motion, given what is heard.

The sound has a hundred rows a second, the motion fifty, the latent 12.5. Temperature 0 takes the middle of the prior, which the training
keeps at the likeliest motion; above, the flow turns noise into other ways of saying the same. The shape of the model follows
Real3D-Portrait's (Ye et al. 2024; shared/specs/REAL3D_A2M.md) at a twentieth of its size; differs on purpose: log-mel instead of
HuBERT, an opening of its own beside the shape's coefficients, a decoder that is also trained on the prior's middle.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.voices.a2m.features import COLUMNS

WIDTH = 64
LATENT = 8
STRIDE = 4  # rows of motion to one of the latent
HEARD = 2  # rows of the sound to one of motion
REACH = 96  # rows of motion to either side that a row may depend on (measured by a test)
POINTS = 468


class Gated(nn.Module):
    """x + W(tanh(a) sigmoid(b)) of a dilated convolution (van den Oord et al. 2016)."""

    def __init__(self, width: int, dilation: int, drop: float = 0.0, condition: int = 0) -> None:
        super().__init__()
        self.drop = nn.Dropout1d(
            drop
        )  # whole channels: cheap, and time has no gaps to fill them from
        self.conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.condition = nn.Conv1d(condition, 2 * width, 1) if condition else None
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        both = self.conv(self.drop(x))
        if self.condition is not None:
            both = both + self.condition(given)
        a, b = both.chunk(2, 1)
        out: Tensor = x + self.out(torch.tanh(a) * torch.sigmoid(b))
        return out


class Coupling(nn.Module):
    """Shifts one half of the latent by what the other half and the condition say; its inverse takes the shift back."""

    def __init__(self, condition: int, width: int = 32) -> None:
        super().__init__()
        self.pre = nn.Conv1d(LATENT // 2, width, 1)
        self.blocks = nn.ModuleList([Gated(width, 1, condition=condition) for _ in range(2)])
        self.post = nn.Conv1d(width, LATENT // 2, 1)
        nn.init.zeros_(self.post.weight)
        assert self.post.bias is not None
        nn.init.zeros_(self.post.bias)

    def shift(self, kept: Tensor, given: Tensor) -> Tensor:
        h = self.pre(kept)
        for block in self.blocks:
            h = block(h, given)
        out: Tensor = self.post(h)
        return out


class Flow(nn.Module):
    """Four mean-only couplings, the halves swapped after each: latent <-> noise, both (B, LATENT, T), volume preserving."""

    def __init__(self, condition: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList([Coupling(condition) for _ in range(4)])

    def forward(self, z: Tensor, given: Tensor) -> Tensor:
        """Latent to noise."""
        for coupling in self.couplings:
            kept, moved = z.chunk(2, 1)
            z = torch.cat([moved + coupling.shift(kept, given), kept], 1)  # type: ignore[operator]  # a module's own method
        return z

    def reverse(self, noise: Tensor, given: Tensor) -> Tensor:
        """Noise to latent."""
        z = noise
        for coupling in reversed(list(self.couplings)):
            moved, kept = z.chunk(2, 1)
            z = torch.cat([kept, moved - coupling.shift(kept, given)], 1)  # type: ignore[operator]
        return z


class Speaker(nn.Module):
    """(B, T, COLUMNS) inputs -> (B, T / 2, shapes + 1): coefficients of the mouth's shapes in standard deviations, then the opening.

    T is a multiple of 8. Buffers: basis (shapes, 468, 3) one standard deviation of each shape, canonical units; unit: the opening
    (mean gap of the inner lips, canonical units) that counts as 1; gain: how far the likeliest motion falls short of true motion.
    """

    basis: Tensor
    unit: Tensor
    gain: Tensor

    def __init__(self, width: int = WIDTH, shapes: int = 12, drop: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(COLUMNS, width, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, stride=HEARD, padding=2),
            nn.GELU(),
        )
        self.listen = nn.ModuleList([Gated(width, 2 ** (i % 4), drop) for i in range(8)])
        self.given = nn.Conv1d(width, width, 2 * STRIDE, STRIDE, STRIDE // 2)
        self.flow = Flow(width)
        self.latent = nn.ConvTranspose1d(LATENT, width, STRIDE, STRIDE)
        self.say = nn.ModuleList([Gated(width, dilation, drop) for dilation in (1, 2)])
        self.out = nn.Conv1d(width, shapes + 1, 1)
        self.register_buffer("basis", torch.zeros(shapes, POINTS, 3))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("gain", torch.ones(()))

    def hear(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width, T / 2) what is heard at each row of motion, and (B, width, T / 8) at each of the latent."""
        h: Tensor = self.stem(x.transpose(1, 2))
        for block in self.listen:
            h = block(h)
        return h, F.gelu(self.given(h))

    def decode(self, h: Tensor, z: Tensor) -> Tensor:
        """(B, T / 2, shapes + 1) of what is heard and a latent."""
        x = h + self.latent(z)
        for block in self.say:
            x = block(x)
        rows: Tensor = self.out(F.gelu(x)).transpose(1, 2)
        return torch.cat([rows[..., :-1], F.softplus(rows[..., -1:], beta=2)], -1)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """noise: (B, LATENT, T / 8), zero for the likeliest motion."""
        h, given = self.hear(x)
        return self.decode(h, self.flow.reverse(noise, given))
