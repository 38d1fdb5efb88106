"""What DVA is trained by: L_simple, and L_reg, which leaves to the noise only what the face does not say (Kim et al. 2023, eq. 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thcli.diffusion import process
from thcli.diffusion.schedule import Schedule
from thcli.editors.dva.network import NoiseEstimator


@dataclass(frozen=True, slots=True)
class Losses:
    """simple, regular: (B,).  faces: x0 as each of the two noises lets it be guessed, within the mask, (B, 3, H, W)."""

    simple: Tensor
    regular: Tensor
    faces: tuple[Tensor, Tensor]

    @property
    def total(self) -> Tensor:
        return self.simple.mean() + self.regular.mean()


def losses(
    network: NoiseEstimator,
    table: Schedule,
    pictures: Tensor,
    face: Tensor,
    mask: Tensor,
    index: Tensor,
    noises: tuple[Tensor, Tensor],
) -> Losses:
    """Of pictures (B, 3, H, W) in [-1, 1] whose faces are z_face (B, 512) and lie in mask (B, 1, H, W), at steps index (B,), noised twice.

    L_simple: mean |noise - guess|, of both.  L_reg: mean |difference of the two guessed faces|, over all pixels; x0 is not clipped.
    """
    told = torch.from_numpy(table.timesteps).to(index.device)[index]
    simple, faces = [], []
    for noise in noises:
        noisy = process.diffuse(table, pictures, index, noise)
        guess = network(noisy, told, face)
        simple.append((noise - guess).abs().mean((1, 2, 3)))
        faces.append(mask * process.to_x0(table, noisy, index, guess, "eps"))
    first, second = faces
    return Losses(simple[0] + simple[1], (first - second).abs().mean((1, 2, 3)), (first, second))
