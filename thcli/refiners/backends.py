"""Table of refiners, the backends that improve coarse frames."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

REFINERS = Stage(
    "refiner",
    {
        "fadm-s": Backend(
            "thcli.refiners.fadm.small:load",
            "small network of thcli, 192 x 192, 2 steps from the coarse frame",
            ("fadm-s",),
            reads=("refine",),
        ),
        "fadm": Backend(
            "thcli.refiners.fadm.refiner:load",
            "attribute-guided diffusion, 256 x 256, 100 steps per frame",
            ("fadm-diffusion", "deca"),
            reads=("refine",),
        ),
    },
    {"any": "fadm-s", "free": ""},
)
