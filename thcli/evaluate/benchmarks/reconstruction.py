"""How nearly an editor gives back what it took apart: the crops of a clip, inverted and decoded with the clip's own identity."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.imaging import to_uint8
from thcli.core.options import EditOptions, TemplateOptions
from thcli.core.protocols import Editor
from thcli.core.types import Array32, Face, Image
from thcli.editors.backends import EDITORS
from thcli.evaluate.metrics.image import mean_squared_error, ssim
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.faces.crops.crop import crop, moved
from thcli.pipeline.editing.steps import Mean
from thcli.pipeline.observe.crop_track import place_of

MOST = 24  # frames of a clip, from its beginning
FEW = 4  # of them that are also done one by one


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Of an unedited clip in the editor's crop. ssim: mean.  mse: mean, of pixels in 0..1.  seconds: of the processor, a frame, there and
    back, all frames at once; alone: the same frame by frame."""

    editor: str
    frames: int
    ssim: float
    mse: float
    seconds: float
    alone: float


def reconstruction(clip: Path, name: str, options: EditOptions) -> Reconstruction:
    """Measures an editor on the first frames of a clip. Raises NoFaceError, WeightsError, DeviceError."""
    editor: Editor = EDITORS.backend(name).load(options.run, options.editor)
    crops, faces = _crops(clip, editor, options)
    if not crops:
        raise NoFaceError(f"{clip} shows no face.", "Give a clip that shows one.")
    identities, landmarks = editor.encode(crops, faces)
    mean = Mean()
    mean.add(identities)
    who = mean.value()
    assert who is not None  # there are crops
    began = time.process_time()
    back = _there_and_back(editor, crops, who, landmarks)
    seconds = (time.process_time() - began) / len(crops)
    began, few = time.process_time(), min(len(crops), FEW)
    for i in range(few):
        _there_and_back(editor, crops[i : i + 1], who, landmarks[i : i + 1])
    alone = (time.process_time() - began) / few
    likeness = float(np.mean([ssim(a, b) for a, b in zip(crops, back, strict=True)]))
    error = (
        float(np.mean([mean_squared_error(a, b) for a, b in zip(crops, back, strict=True)]))
        / 255**2
    )
    return Reconstruction(
        name, len(crops), round(likeness, 4), round(error, 6), round(seconds, 3), round(alone, 3)
    )


def _there_and_back(
    editor: Editor, crops: list[Image], who: Array32, landmarks: Array32
) -> list[Image]:
    return editor.decode(editor.invert(crops, who, landmarks), who, landmarks)


def _crops(clip: Path, editor: Editor, options: EditOptions) -> tuple[list[Image], list[Face]]:
    template = TemplateOptions(template=editor.template, size=editor.crop_size)
    follow = main_face_tracker(options.faces, options.run)()
    crops: list[Image] = []
    faces: list[Face] = []
    with media.read(clip, options.read) as reader:
        for frame in reader:
            picture = to_uint8(frame.pixels)
            face = follow(picture)
            if face is None:
                continue
            where = place_of(face, template)
            crops.append(np.asarray(crop(picture, where), np.uint8))
            faces.append(moved(face, where.crop_from_frame))
            if len(crops) == MOST:
                break
    return crops, faces
