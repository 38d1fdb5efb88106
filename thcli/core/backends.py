"""The table of backends: stage -> name -> where its factory stands, which weights it needs, what it is for.

Nothing is imported until a backend is asked for, and loading one never imports the others. A new backend is a module, a
line here and a row in the contract test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from thcli.core.errors import UsageError
from thcli.core.options import RunOptions


@dataclass(frozen=True, slots=True)
class Backend:
    """One row. factory: "module:function", called with RunOptions, and with the backend's own options where it has some.

    weights: names in weights.toml that it loads.
    """

    factory: str
    about: str
    weights: tuple[str, ...] = ()
    package: str = ""  # a library of the dependencies that does the work

    def load(self, run: RunOptions, *own: Any) -> Any:
        """The backend itself; an engine takes the job's options too.

        Raises WeightsError or DeviceError when one is not there, WeightsError when the job's licence does not allow its weights.
        """
        if run.licence != "any":
            check = import_module("thcli.weights").check_licence
            for name in self.weights:
                check(name, run.licence)
        module, _, name = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(import_module(module), name)
        return factory(run, *own)


TABLE: dict[str, dict[str, Backend]] = {
    "detector": {
        "blazeface": Backend(
            "thcli.faces.blazeface:load", "short, then full range", ("blazeface-short", "blazeface-full")
        ),
        "yunet": Backend(
            "thcli.faces.backends.opencv_zoo:load_detector", "YuNet; boxes and five points", ("yunet",), "opencv-python"
        ),
        "insightface": Backend(
            "thcli.faces.backends.insightface_onnx:load_detector",
            "SCRFD-10G; boxes and five points",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "face-alignment": Backend(
            "thcli.faces.backends.face_alignment_torch:load_detector",
            "S3FD; boxes",
            ("face-alignment-s3fd",),
            "face-alignment",
        ),
        "facexlib": Backend(
            "thcli.faces.backends.facexlib_torch:load_detector",
            "RetinaFace ResNet-50; boxes and five points",
            ("facexlib-retinaface-r50",),
            "facexlib",
        ),
        "facexlib-mobilenet": Backend(
            "thcli.faces.backends.facexlib_torch:load_small_detector",
            "RetinaFace MobileNet 0.25; boxes and five points",
            ("facexlib-retinaface-mobilenet",),
            "facexlib",
        ),
    },
    "landmarker": {
        "facemesh": Backend(
            "thcli.faces.facemesh:load", "468 points, refined lips, eyes and irises", ("facemesh-attention",)
        ),
        "insightface": Backend(
            "thcli.faces.backends.insightface_onnx:load_points106",
            "106 points",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "insightface-68": Backend(
            "thcli.faces.backends.insightface_onnx:load_points68",
            "68 points with depth",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "face-alignment": Backend(
            "thcli.faces.backends.face_alignment_torch:load_landmarks",
            "FAN; 68 points",
            ("face-alignment-2dfan4",),
            "face-alignment",
        ),
        "facexlib": Backend(
            "thcli.faces.backends.facexlib_torch:load_landmarks",
            "AWing; 98 points",
            ("facexlib-awing",),
            "facexlib",
        ),
    },
    "identity": {
        "identity-s": Backend("thcli.faces.identity.small:load", "our own small network; 512 numbers", ("identity-s",)),
        "sface": Backend(
            "thcli.faces.backends.opencv_zoo:load_identity", "SFace; 128 numbers", ("sface",), "opencv-python"
        ),
        "insightface": Backend(
            "thcli.faces.backends.insightface_onnx:load_identity",
            "ArcFace R50 on WebFace600K; 512 numbers",
            ("insightface-buffalo-l",),
            "insightface",
        ),
    },
    "parser": {
        "parse-s": Backend("thcli.faces.parsing.small:load", "our own small network; 19 regions", ("parse-s",)),
        "mesh-parse": Backend(
            "thcli.faces.parsing.mesh:load",
            "15 of the 19 regions by the 468 points, colours and a person matte",
            ("selfie",),
        ),
        "facexlib": Backend(
            "thcli.faces.backends.facexlib_parse:load_bisenet", "BiSeNet; 512 x 512", ("facexlib-bisenet",), "facexlib"
        ),
        "facexlib-parsenet": Backend(
            "thcli.faces.backends.facexlib_parse:load_parsenet",
            "ParseNet; 512 x 512",
            ("facexlib-parsenet",),
            "facexlib",
        ),
    },
    "model3d": {
        "mesh": Backend("thcli.motion.model3d:load", "pose, identity and expression sliders of the 468 points"),
        "tddfa": Backend(
            "thcli.faces.model3d.tddfa:load",
            "3DDFA_V2, MobileNet; pose, 40 shape, 10 expression",
            ("tddfa-mb1", "tddfa-mean-std"),
        ),
        "tddfa-mb05": Backend(
            "thcli.faces.model3d.tddfa:load_small", "the same, half as wide", ("tddfa-mb05", "tddfa-mean-std")
        ),
        "deep3d": Backend(
            "thcli.faces.model3d.deep3d:load", "Deep3DFaceRecon, ResNet-50; BFM 2009, 80 and 64", ("deep3d",)
        ),
        "deca": Backend("thcli.faces.model3d.deca:load", "DECA, ResNet-50; FLAME, 100 and 50, jaw", ("deca",)),
    },
    "engine": {
        "mesh": Backend(
            "thcli.engines.mesh.engine:load", "warps the source's own texture; no generative weights", ("selfie",)
        ),
        "fomm": Backend("thcli.engines.fomm.engine:load", "first-order model, vox-adv-256", ("fomm-vox-adv",)),
        "fomm-vox": Backend("thcli.engines.fomm.engine:load_vox", "first-order model, vox-256", ("fomm-vox",)),
        "facevid2vid": Backend(
            "thcli.engines.facevid2vid.engine:load", "3-D keypoints, SPADE generator; free view", ("facevid2vid",)
        ),
        "facevid2vid-new": Backend(
            "thcli.engines.facevid2vid.engine:load_new", "the same from its author", ("facevid2vid-new",)
        ),
        "facevid2vid-beta": Backend(
            "thcli.engines.facevid2vid.engine:load_beta",
            "its older checkpoint, original generator",
            ("facevid2vid-beta",),
        ),
        "facevid2vid-fadm": Backend(
            "thcli.engines.facevid2vid.engine:load_fadm", "the one that FADM was trained behind", ("fadm-facevid",)
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
        ),
        "monkeynet": Backend("thcli.engines.monkeynet.engine:load", "Monkey-Net, config vox", ("monkeynet",)),
        "x2face": Backend("thcli.engines.x2face.engine:load", "X2Face, a code of 128 numbers a frame", ("x2face",)),
    },
    "refiner": {
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
    "editor": {
        "dva-s": Backend(
            "thcli.editors.dva.small:load",
            "a small diffusion video autoencoder of our own, 96 x 96; one identity a clip",
            ("dva-s", "identity-s"),
        ),
        "dva": Backend(
            "thcli.editors.dva.editor:load",
            "Diffusion Video Autoencoders, 256 x 256; one identity a clip",
            ("dva",),
        ),
    },
    "painter": {
        "atlas": Backend(
            "thcli.editors.atlas.painter:load",
            "directions of shape, colours and detail on the 468 points",
            ("atlas-s",),
        ),
        "atlas-free": Backend(
            "thcli.editors.atlas.painter:load_free",
            "smiling alone: shape and colours from free recordings",
            ("atlas-free",),
        ),
        "drawn": Backend(
            "thcli.editors.drawn.painter:load",
            "draws glasses, beards, make-up and colours on the 468 points; nothing learnt",
        ),
    },
    "text": {
        "clip-s": Backend("thcli.editors.clip.small:load", "our own small model of the words for faces", ("clip-s",)),
        "clip-b32": Backend(
            "thcli.editors.clip.official:load_b32", "OpenAI CLIP ViT-B/32", ("clip-vit-b32",), "open_clip_torch"
        ),
        "clip-b16": Backend(
            "thcli.editors.clip.official:load_b16", "OpenAI CLIP ViT-B/16", ("clip-vit-b16",), "open_clip_torch"
        ),
    },
    "voice": {
        "a2m": Backend(
            "thcli.voices.a2m.voice:load",
            "log-mel and pitch to the mouth, a head that moves by itself",
            ("a2m-s", "a2m-s-free"),
        ),
        "a2m-free": Backend("thcli.voices.a2m.voice:load_free", "the same, of free recordings alone", ("a2m-s-free",)),
        "dh-s": Backend(
            "thcli.voices.diffused_heads.voice:load",
            "Diffused Heads made small: paints 96 x 96 pictures of what a2m says",
            ("dh-s", "a2m-s", "a2m-s-free"),
        ),
        "diffused-heads": Backend(
            "thcli.voices.diffused_heads.published:load",
            "Diffused Heads, CREMA; 128 x 128 pictures",
            ("diffused-heads",),
        ),
        "diffused-heads-lrw": Backend(
            "thcli.voices.diffused_heads.published:load_lrw",
            "Diffused Heads, LRW: a checkpoint of your own",
            ("diffused-heads-lrw", "diffused-heads"),
        ),
        "real3d": Backend(
            "thcli.voices.real3d.voice:load",
            "Real3D-Portrait's audio to motion; 64 expressions of BFM 2009",
            ("real3d", "hubert-large"),
        ),
    },
}


def backend(stage: str, name: str) -> Backend:
    """The row of a stage's backend. Raises UsageError naming those that there are."""
    rows = TABLE[stage]
    if name not in rows:
        raise UsageError(f"There is no {stage} named {name!r}.", f"There are: {', '.join(sorted(rows)) or 'none yet'}.")
    return rows[name]


# What "auto" stands for: under any licence, and where only free weights may be used ("" for nothing).
AUTO: dict[str, dict[str, str]] = {
    "parser": {"any": "parse-s", "free": "mesh-parse"},
    "identity": {"any": "identity-s", "free": ""},
    "model3d": {"any": "mesh", "free": "mesh"},
    "text": {"any": "clip-s", "free": ""},
    "editor": {"any": "dva-s", "free": ""},
    "voice": {"any": "a2m", "free": "a2m-free"},
    "refiner": {"any": "fadm-s", "free": ""},
}


def chosen(stage: str, name: str, run: RunOptions) -> str:
    """The backend that a name means: itself, or for "auto" the stage's default under the job's licence ("" when there is none)."""
    return AUTO[stage][run.licence] if name == "auto" else name
