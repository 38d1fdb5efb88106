"""Losses of the networks that paint small patches: features of identity-s, image gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from thcli.faces.identity.network import IdentityNet
from thcli.weights.tensors import load_tensors

TEACHER = "identity-s"  # of the feature loss; `pfd`, which evaluates results, has another network


class FeatureMaps(nn.Module):
    """First feature maps of identity-s, normalised over the channels as in LPIPS."""

    def __init__(self) -> None:
        """Load identity-s.

        Raises:
            WeightsError: The weights are missing.
        """
        super().__init__()
        network = IdentityNet()
        state: Mapping[str, Tensor] = load_tensors(TEACHER)
        network.load_state_dict({key: value.float() for key, value in state.items()})
        network.eval().requires_grad_(False)
        self.stem, self.norm, self.block = network.stem, network.stem_norm, network.blocks[0]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps at a half and a quarter of the side. images: (B, 3, H, W), about 0..1."""
        x = F.relu(self.norm(self.stem(images * 2 - 1)))
        return [F.normalize(maps.float(), dim=1, eps=1e-3) for maps in (x, self.block(x))]


def gradient_loss(error: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean difference of the image gradients."""
    across = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]
    down = (error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]
    return across.mean() + down.mean()
