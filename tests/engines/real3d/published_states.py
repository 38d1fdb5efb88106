"""States in the layout of the published files of Real3D-Portrait."""

from __future__ import annotations

from torch import Tensor, nn

from tests.golden import fill

KEPT = ("resample_filter", "noise_strength")


def has_spectral_norm(key: str) -> bool:
    inside = "deform_based_generator." in key and key.endswith(".weight")
    return inside and (
        ".in_conv.layers.0." in key or ".layers.2." in key or ".layers.1.layers.0." in key
    )


def published_layout(model: nn.Module) -> dict[str, Tensor]:
    """Return a state with the keys and shapes of the published files, spectral norms included."""
    out: dict[str, Tensor] = {}
    for key, tensor in model.state_dict().items():
        if has_spectral_norm(key) and tensor.dim() == 4:
            out[f"{key}_orig"] = tensor
            out[f"{key}_u"], out[f"{key}_v"] = tensor[:, 0, 0, 0], tensor[0].flatten()
        else:
            out[key] = tensor
    return out


def published_state(model: nn.Module) -> dict[str, Tensor]:
    """Fill such a state with reproducible values."""
    return fill.state(published_layout(model), 0, keep=lambda key: key.endswith(KEPT))
