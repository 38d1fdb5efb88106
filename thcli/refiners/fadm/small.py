"""fadm-s, the small refiner.

It has FADM's networks with few channels and predicts flows of the coarse frame (`alignment`). More
steps do not change its result: the network runs once, and options of sampling are refused.
Attributes of the free 3-D model replace DECA's.
"""

from __future__ import annotations

from thcli.core.options import RunOptions
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.refiners.fadm.attributes import ATTRIBUTE_COUNT
from thcli.refiners.fadm.network import Diffusion, NetworkShape, shape_of
from thcli.refiners.fadm.refiner import FadmRefiner
from thcli.weights import check_licence
from thcli.weights.tensors import load_tensors

NAME = "fadm-s"
SIDE = 192
SHAPE = NetworkShape(
    width=32,
    multipliers=(1, 2, 3, 4),
    blocks=1,
    attention=(),
    inner=16,
    attributes=ATTRIBUTE_COUNT,
    steps=100,
    sees_images=True,
    patch=4,
)


def is_stored_as_half(key: str) -> bool:
    """Return whether a tensor of the bundled file is in half precision.

    Learned tensors are, the schedule's tables are not.
    """
    return key.split("diffusion.")[-1].startswith("denoise_fn.") and not key.endswith("inv_freq")


def load(run: RunOptions) -> FadmRefiner:
    """Load the bundled network.

    Raises:
        WeightsError: the weights are missing, another model's, or refused by --licence.
    """
    check_licence(NAME, run.licence)
    tensors = load_tensors(NAME, prefix="diffusion.", offline=run.offline)
    network = Diffusion(shape_of(tensors, NAME))
    single = {key: value.float() for key, value in tensors.items()}
    loaded = load_state(network, single, NAME)
    return FadmRefiner(loaded, None, run, None, SIDE)
