"""Feature maps of identity-s for perceptual losses.

It is not the network of the distance `pfd`, which evaluates results.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from thcli.faces.identity.network import IdentityNet
from thcli.weights.tensors import load_tensors

TEACHER = "identity-s"


def load_teacher() -> IdentityNet:
    """Load identity-s, frozen.

    Raises:
        WeightsError: The weights are missing.
    """
    network = IdentityNet()
    network.load_state_dict({key: value.float() for key, value in load_tensors(TEACHER).items()})
    return network.eval().requires_grad_(False)


class IdentityFeatures(nn.Module):
    """Normalised feature maps of identity-s for a perceptual loss, as in LPIPS."""

    def __init__(self) -> None:
        """Load identity-s.

        Raises:
            WeightsError: The weights are missing.
        """
        super().__init__()
        self.network = load_teacher()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps at a quarter of the side and three coarser ones.

        Args:
            images: (B, 3, H, W) in [0, 1].
        """
        net = self.network
        x = F.relu(net.stem_norm(net.stem(F.avg_pool2d(images, 2) * 2 - 1)))
        maps = [x]
        for block in net.blocks:
            x = block(x)
            maps.append(x)
        chosen = (maps[0], maps[1], maps[3], maps[5])
        return [F.normalize(features.float(), dim=1, eps=1e-3) for features in chosen]
