"""Table of refiners, the backends that improve coarse frames."""

from __future__ import annotations

from thcli.core.options import RunOptions
from thcli.weights.backend import Backend, Stage

SAMPLING = ("steps", "sampler", "eta", "strength", "noise")
RESTORATION = {
    "gfpgan": "restores each face, 512 x 512: a StyleGAN 2 steered by the frame",
    "codeformer": "restores each face, 512 x 512: codes of clean faces by a transformer",
    "restoreformer": "restores each face, 512 x 512: a dictionary of clean faces",
}
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
        "resshift-s": Backend(
            "thcli.refiners.resshift.refiner:load",
            "residual shifting after the detail of the source, 128 x 128",
            ("resshift-s",),
            reads=("refine.steps", "refine.noise"),
        ),
        "fadm": Backend(
            "thcli.refiners.fadm.refiner:load",
            "attribute-guided diffusion, 256 x 256, 100 steps per frame",
            ("fadm-diffusion", "deca"),
            reads=tuple(f"refine.{name}" for name in SAMPLING),
        ),
        **{
            name: Backend(
                f"thcli.refiners.restoration.refiner:load_{name}",
                about,
                (name,),
                reads=("refine.fidelity",),
            )
            for name, about in RESTORATION.items()
        },
    },
    {"any": "resshift-s", "free": "detail"},
)
DETAIL_ALONE = "detail"
"""Refiner without a network."""
DETAIL_FIRST = (DETAIL_ALONE, "resshift-s")
"""Refiners without a network before the detail."""
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
