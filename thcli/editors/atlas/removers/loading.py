"""Parts of a file of removers: the tensors of both networks, and the priors of bare faces."""

from __future__ import annotations

from torch import Tensor

from thcli.core.errors import WeightsError
from thcli.core.options import RemoverNetwork
from thcli.editors.atlas.removers.parts import PARTS, PartName
from thcli.editors.atlas.removers.prior import PartPrior, Priors, coarse_size

_NAMES: tuple[RemoverNetwork, ...] = ("worn", "makeup")


def split_tensors(
    tensors: dict[str, Tensor], what: str
) -> tuple[dict[RemoverNetwork, dict[str, Tensor]], Priors]:
    """Return the tensors of each network, and the priors. Raises WeightsError without them.

    Args:
        tensors: of the file.
        what: name of the file, for messages.
    """
    own = {
        name: {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        for name in _NAMES
    }
    if not all(own.values()):
        raise WeightsError(
            f"{what} does not hold both networks ({', '.join(_NAMES)}).",
            "Train it again (thcli train removers), or use the bundled removers-s.",
        )
    priors: dict[PartName, PartPrior] = {}
    for part in PARTS:
        names = [f"prior.{part}.{name}" for name in ("mean", "basis", "spread")]
        if any(name not in tensors for name in names):
            raise WeightsError(
                f"{what} holds no prior of bare faces.", "Train one with thcli train removers."
            )
        mean, basis, spread = (tensors[name].float().cpu().numpy() for name in names)
        if basis.shape != (len(spread), len(mean)) or len(mean) != coarse_size(part):
            raise WeightsError(
                f"{what} was trained for another layout.", "Train it again: thcli train removers."
            )
        priors[part] = PartPrior(mean, basis, spread)
    return own, priors
