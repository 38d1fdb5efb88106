"""Training losses of DVA: L_simple and L_reg (Kim et al. 2023, eq. 4 and 5).

L_reg leaves to the noise only what the face does not determine.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thcli.diffusion import process
from thcli.diffusion.schedule import Schedule
from thcli.editors.dva.network import NoiseEstimator


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of a batch.

    simple, regularization: (B,).
    faces: x0 predicted from each of the two noises, within the mask, (B, 3, H, W).
    """

    simple: Tensor
    regularization: Tensor
    faces: tuple[Tensor, Tensor]

    @property
    def total(self) -> Tensor:
        return self.simple.mean() + self.regularization.mean()


def compute_losses(
    network: NoiseEstimator,
    table: Schedule,
    images: Tensor,
    face: Tensor,
    mask: Tensor,
    index: Tensor,
    noises: tuple[Tensor, Tensor],
) -> Losses:
    """Compute both losses of images that are noised twice.

    L_simple is the mean |noise - prediction| of both. L_reg is the mean |difference| of the two
    predicted faces over all pixels; x0 is not clipped.

    Args:
        network: noise estimator.
        table: schedule.
        images: (B, 3, H, W) in [-1, 1].
        face: z_face (B, 512).
        mask: (B, 1, H, W), 1 on the face.
        index: (B,) step.
        noises: two of (B, 3, H, W).
    """
    timesteps = torch.from_numpy(table.timesteps).to(index.device)[index]
    simple, faces = [], []
    for noise in noises:
        noisy = process.diffuse(table, images, index, noise)
        predicted = network(noisy, timesteps, face)
        simple.append((noise - predicted).abs().mean((1, 2, 3)))
        faces.append(mask * process.predict_x0(table, noisy, index, predicted, "eps"))
    first, second = faces
    return Losses(simple[0] + simple[1], (first - second).abs().mean((1, 2, 3)), (first, second))
