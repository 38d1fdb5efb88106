"""Backends of the 3-D face models."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

FACE_MODELS = Stage(
    "model3d",
    {
        "mesh": Backend(
            "thcli.motion.model3d:load", "pose, identity and expression sliders of the 468 points"
        ),
        "tddfa": Backend(
            "thcli.faces.model3d.tddfa:load",
            "3DDFA_V2, MobileNet; pose, 40 shape, 10 expression",
            ("tddfa-mb1", "tddfa-mean-std"),
        ),
        "tddfa-mb05": Backend(
            "thcli.faces.model3d.tddfa:load_small",
            "the same, half as wide",
            ("tddfa-mb05", "tddfa-mean-std"),
        ),
        "deep3d": Backend(
            "thcli.faces.model3d.deep3d:load",
            "Deep3DFaceRecon, ResNet-50; BFM 2009, 80 and 64",
            ("deep3d",),
        ),
        "deca": Backend(
            "thcli.faces.model3d.deca:load", "DECA, ResNet-50; FLAME, 100 and 50, jaw", ("deca",)
        ),
    },
    {"any": "mesh", "free": "mesh"},
)
