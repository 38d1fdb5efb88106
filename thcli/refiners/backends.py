"""Table of refiners, the backends that improve coarse frames."""

from __future__ import annotations

from thcli.core.options import RunOptions
from thcli.weights.backend import Backend, Stage

REFINERS = Stage(
    "refiner",
    {
        "detail": Backend(
            "thcli.refiners.detail.backend:load",
            "no network: the fine detail of the source alone",
        ),
        "fadm-s": Backend(
            "thcli.refiners.fadm.small:load",
            "corrects the geometry of the mesh engine's frames, 192 x 192",
            ("fadm-s",),
        ),
        "fadm": Backend(
            "thcli.refiners.fadm.refiner:load",
            "attribute-guided diffusion, 256 x 256, 100 steps per frame",
            ("fadm-diffusion", "deca"),
            reads=("refine",),
        ),
    },
    {"any": "detail", "free": "detail"},
)
DETAIL_ALONE = "detail"
"""Refiner without a network."""
OF_MESH_FRAMES = "fadm-s"
"""Refiner that corrects the frames of the mesh engine, and no others."""


def choose_refiner(name: str, run: RunOptions, *, mesh_frames: bool) -> str:
    """Return the name of a refiner; auto depends on the frames and the licence.

    Args:
        name: of a refiner, or auto.
        run: its licence limits auto.
        mesh_frames: the coarse frames are known to be the mesh engine's.
    """
    if name == "auto" and mesh_frames and run.licence == "any":
        return OF_MESH_FRAMES
    return REFINERS.resolve(name, run)
