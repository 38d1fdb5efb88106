"""Checks of imported weights: for each row of weights.toml the module that knows its networks.

Rows that users import as a folder have a module that converts it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from thcli.weights.layout import Checkpoint, FolderConverter, LayoutCheck

# The row, and the module whose `check_layout` builds its networks or reads its arrays. Of the rows
# that are missing here, graphs of a runtime library, only the file format is checked.
MODULES = {
    "fomm-vox": "thcli.engines.fomm.engine",
    "fomm-vox-adv": "thcli.engines.fomm.engine",
    "monkeynet": "thcli.engines.monkeynet.engine",
    "x2face": "thcli.engines.x2face.engine",
    "x2face-audio": "thcli.voices.x2face.voice",
    "facevid2vid": "thcli.engines.facevid2vid.engine",
    "facevid2vid-new": "thcli.engines.facevid2vid.engine",
    "facevid2vid-beta": "thcli.engines.facevid2vid.engine",
    "fadm-facevid": "thcli.engines.facevid2vid.engine",
    "liveportrait-appearance": "thcli.engines.liveportrait.engine",
    "liveportrait-motion": "thcli.engines.liveportrait.engine",
    "liveportrait-warping": "thcli.engines.liveportrait.engine",
    "liveportrait-spade": "thcli.engines.liveportrait.engine",
    "liveportrait-stitching": "thcli.engines.liveportrait.engine",
    "fadm-s": "thcli.refiners.fadm.refiner",
    "resshift-s": "thcli.refiners.resshift.refiner",
    "fadm-diffusion": "thcli.refiners.fadm.refiner",
    "gfpgan": "thcli.refiners.restoration.refiner",
    "codeformer": "thcli.refiners.restoration.refiner",
    "restoreformer": "thcli.refiners.restoration.refiner",
    "dva-s": "thcli.editors.dva.small",
    "dva": "thcli.editors.dva.editor",
    "clip-s": "thcli.editors.clip.small",
    "a2m-s": "thcli.voices.a2m.voice",
    "a2m-s-free": "thcli.voices.a2m.voice",
    "phones-en": "thcli.audio.phones",
    "dh-s": "thcli.voices.diffused_heads.voice",
    "diffused-heads": "thcli.voices.diffused_heads.published",
    "diffused-heads-lrw": "thcli.voices.diffused_heads.published",
    "real3d": "thcli.voices.real3d.voice",
    "real3d-video": "thcli.engines.real3d.engine",
    "hubert-base": "thcli.audio.hubert",
    "hubert-large": "thcli.audio.hubert",
    "identity-s": "thcli.faces.identity.small",
    "parse-s": "thcli.faces.parsing.small",
    "pfd-s": "thcli.faces.parsing.small",
    "patches-s": "thcli.engines.mesh.patches.painter",
    "mouths-s": "thcli.engines.mesh.patches.inside_painter",
    "bfm": "thcli.faces.model3d.bfm.model",
    "deca": "thcli.faces.model3d.deca",
    "deep3d": "thcli.faces.model3d.deep3d",
    "tddfa-mb1": "thcli.faces.model3d.tddfa",
    "tddfa-mb05": "thcli.faces.model3d.tddfa",
    "tddfa-mean-std": "thcli.faces.model3d.tddfa",
    "attributes-judge": "thcli.evaluate.metrics.attribute_scores",
    "alexnet": "thcli.evaluate.metrics.networks.lpips",
    "lpips-alex": "thcli.evaluate.metrics.networks.lpips",
    "vgg16": "thcli.evaluate.metrics.networks.lpips",
    "lpips-vgg": "thcli.evaluate.metrics.networks.lpips",
    "inception-fid": "thcli.evaluate.metrics.networks.inception",
    "i3d": "thcli.evaluate.metrics.networks.i3d",
    "syncnet": "thcli.evaluate.metrics.networks.syncnet",
    "vgg19": "thcli.train.keypoint_models.perceptual",
    "atlas-s": "thcli.editors.atlas.painter",
    "atlas-free": "thcli.editors.atlas.painter",
    "removers-s": "thcli.editors.atlas.removers.painter",
    "dva-classifier": "thcli.editors.dva.attributes",
    "dva-s-attributes": "thcli.editors.dva.attributes",
    "clip-vit-b32": "thcli.editors.clip.official",
    "clip-vit-b16": "thcli.editors.clip.official",
    "facexlib-retinaface-r50": "thcli.faces.adapters.facexlib_torch",
    "facexlib-retinaface-mobilenet": "thcli.faces.adapters.facexlib_torch",
    "facexlib-awing": "thcli.faces.adapters.facexlib_torch",
    "facexlib-bisenet": "thcli.faces.adapters.facexlib_parse",
    "facexlib-parsenet": "thcli.faces.adapters.facexlib_parse",
    "face-alignment-s3fd": "thcli.faces.adapters.face_alignment_torch",
    "face-alignment-2dfan4": "thcli.faces.adapters.face_alignment_torch",
    "blazeface-short": "thcli.faces.detection.blazeface",
    "blazeface-full": "thcli.faces.detection.blazeface",
    "facemesh-attention": "thcli.faces.landmarks.facemesh",
    "selfie": "thcli.faces.compositing.person_matte",
    "palm": "thcli.faces.detection.hands",
    "hand": "thcli.faces.detection.hands",
}

# The module whose `convert_folder` makes the row's file.
CONVERTERS = {"bfm": "thcli.faces.model3d.bfm.convert"}


def layout_checks() -> dict[str, LayoutCheck]:
    """Return the check of each row; its module is imported when the check is called."""
    return {name: _deferred_check(module) for name, module in MODULES.items()}


def _deferred_check(module: str) -> LayoutCheck:
    def check(checkpoint: Checkpoint) -> None:
        import_module(module).check_layout(checkpoint)

    return check


def folder_converters() -> dict[str, FolderConverter]:
    """Return the conversion of each row that is imported as a folder, imported when called."""
    return {name: _deferred_conversion(module) for name, module in CONVERTERS.items()}


def _deferred_conversion(module: str) -> FolderConverter:
    def convert(folder: Path, target: Path) -> None:
        import_module(module).convert_folder(folder, target)

    return convert
