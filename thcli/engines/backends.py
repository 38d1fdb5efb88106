"""Table of engines, the backends that render a source with a motion."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

VIEW = ("view.yaw", "view.pitch", "view.roll")
MOTION = ("motion.mode", "motion.strength", "motion.smooth", "motion.causal")

MESH_ENGINE = "mesh"
WHOLE_VIDEO_ENGINES = (MESH_ENGINE, "liveportrait")  # animate each frame of a source video
ENGINES = Stage(
    "engine",
    {
        MESH_ENGINE: Backend(
            "thcli.engines.mesh.engine:load",
            "warps the source's own texture; no generative weights",
            ("selfie", "palm", "hand"),
            reads=(
                "motion",
                "mesh.matte",
                "mesh.patches",
                "mesh.folds",
                "mouth",
                "camera",
                "view",
                "expression",
                "also",
            ),
        ),
        "fomm": Backend(
            "thcli.engines.fomm.engine:load",
            "first-order model, vox-adv-256",
            ("fomm-vox-adv",),
            reads=MOTION,
        ),
        "fomm-vox": Backend(
            "thcli.engines.fomm.engine:load_vox",
            "first-order model, vox-256",
            ("fomm-vox",),
            reads=MOTION,
        ),
        "facevid2vid": Backend(
            "thcli.engines.facevid2vid.engine:load",
            "face vid2vid, 3-D keypoints, SPADE generator; free view",
            ("facevid2vid",),
            reads=("motion", *VIEW, "view.pose_file"),
        ),
        "facevid2vid-new": Backend(
            "thcli.engines.facevid2vid.engine:load_new",
            "face vid2vid, vox-256-new of its author",
            ("facevid2vid-new",),
            reads=("motion", *VIEW, "view.pose_file"),
        ),
        "facevid2vid-beta": Backend(
            "thcli.engines.facevid2vid.engine:load_beta",
            "face vid2vid, older checkpoint of its author, original generator",
            ("facevid2vid-beta",),
            reads=("motion", *VIEW, "view.pose_file"),
        ),
        "facevid2vid-fadm": Backend(
            "thcli.engines.facevid2vid.engine:load_fadm",
            "face vid2vid, checkpoint whose frames FADM was trained on",
            ("fadm-facevid",),
            reads=("motion", *VIEW, "view.pose_file"),
        ),
        "liveportrait": Backend(
            "thcli.engines.liveportrait.engine:load",
            "LivePortrait; stitching, eyes and lips, 512 x 512",
            (
                "liveportrait-appearance",
                "liveportrait-motion",
                "liveportrait-warping",
                "liveportrait-spade",
                "liveportrait-stitching",
            ),
            reads=("motion", *VIEW, "liveportrait"),
        ),
        "real3d": Backend(
            "thcli.engines.real3d.engine:load",
            "Real3D-Portrait; volume rendering with torso and background, 512 x 512",
            ("real3d-video", "bfm", "selfie", "parse-s"),
            reads=("motion", "view", "real3d"),
        ),
        "monkeynet": Backend(
            "thcli.engines.monkeynet.engine:load",
            "Monkey-Net, config vox",
            ("monkeynet",),
            reads=MOTION,
        ),
        "x2face": Backend(
            "thcli.engines.x2face.engine:load",
            "X2Face, a code of 128 numbers per frame; driven by pictures, poses or sound",
            ("x2face",),
            reads=(*MOTION, "x2face", "also"),
        ),
    },
)


def animates_one_frame(engine: str) -> bool:
    """Return whether an engine of the table animates one frame of a source video as a picture."""
    return engine in ENGINES.rows and engine not in WHOLE_VIDEO_ENGINES
