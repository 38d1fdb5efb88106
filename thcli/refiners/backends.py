"""Refiners: backends that improve coarse frames."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

REFINERS = Stage(
    "refiner",
    {
        "fadm-s": Backend(
            "thcli.refiners.fadm.small:load",
            "our own small one, 192 x 192, from the coarse frame in 2 steps",
            ("fadm-s",),
        ),
        "fadm": Backend(
            "thcli.refiners.fadm.refiner:load",
            "attribute-guided diffusion, 256 x 256, 100 steps a frame",
            ("fadm-diffusion", "deca"),
        ),
    },
    {"any": "fadm-s", "free": ""},
)
