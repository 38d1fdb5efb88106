"""fadm-s, the small refiner: FADM's networks made narrow, begun at the coarse frame, which say where things belong (`beside`); numbers of the free 3-D model in DECA's place."""

from __future__ import annotations

from thcli.core.options import RunOptions
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.faces.adapters.common import check_licence
from thcli.refiners.fadm.attributes import COUNT
from thcli.refiners.fadm.network import Diffusion, Shape, shape_of
from thcli.refiners.fadm.refiner import Fadm, Recipe
from thcli.weights.tensors import load_tensors

NAME = "fadm-s"
SIDE = 192
SHAPE = Shape(
    width=32,
    times=(1, 2, 3, 4),
    blocks=1,
    attention=(),
    inner=16,
    attributes=COUNT,
    steps=100,
    beside=True,
    patch=4,
)
FEW = Recipe(steps=2, sampler="ddim", eta=0.0, strength=0.3)


def halved(key: str) -> bool:
    """Whether a tensor of the shipped file is in half precision: what is learnt is, the schedule's tables are not."""
    return key.split("diffusion.")[-1].startswith("denoise_fn.") and not key.endswith("inv_freq")


def load(run: RunOptions) -> Fadm:
    """The shipped network. Raises WeightsError when it is not here, is another model's, or is refused by --licence."""
    check_licence(NAME, run.licence)
    tensors = load_tensors(NAME, prefix="diffusion.", offline=run.offline)
    network = Diffusion(shape_of(tensors, NAME))
    return Fadm(
        load_state(network, {key: value.float() for key, value in tensors.items()}, NAME),
        None,
        run,
        FEW,
        SIDE,
    )
