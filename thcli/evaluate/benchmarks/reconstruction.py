"""Reconstruction of a clip's crops by an editor, decoded with the clip's own identity."""

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
from thcli.core.types import Face, Image
from thcli.editors.backends import EDITORS
from thcli.evaluate.metrics.image import mean_squared_error, ssim
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.faces.crops.crop import crop, transform_face
from thcli.pipeline.editing.steps import RunningMean
from thcli.pipeline.observe.crop_templates import crop_placement

MAX_FRAMES = 24  # of a clip, from its beginning
SINGLE_FRAMES = 4  # that are also timed one by one


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Reconstruction of an unedited clip in the editor's crop.

    ssim: mean.
    ssim_without_noise: mean, decoded from x_T = 0: what identity and landmarks carry alone.
    mse: mean, of pixels in 0..1.
    seconds: CPU seconds per frame for inversion and decoding, all frames at once.
    alone: the same, frame by frame.
    """

    editor: str
    frames: int
    ssim: float
    ssim_without_noise: float
    mse: float
    seconds: float
    alone: float


def reconstruction(clip: Path, name: str, options: EditOptions) -> Reconstruction:
    """Measure an editor on the first frames of a clip.

    Raises NoFaceError, WeightsError, DeviceError.
    """
    editor: Editor = EDITORS.backend(name).load(options.run, options.editor)
    crops, faces = _crops(clip, editor, options)
    if not crops:
        raise NoFaceError(f"{clip} shows no face.", "Give a clip that shows one.")
    identities, landmarks = editor.encode(crops, faces)
    mean = RunningMean()
    mean.add(identities)
    identity = mean.value()
    assert identity is not None  # there are crops
    began = time.process_time()
    latents = editor.invert(crops, identity, landmarks)
    decoded = editor.decode(latents, identity, landmarks)
    seconds = (time.process_time() - began) / len(crops)
    without = editor.decode(np.zeros_like(latents), identity, landmarks)
    began, count = time.process_time(), min(len(crops), SINGLE_FRAMES)
    for i in range(count):
        points = landmarks[i : i + 1]
        editor.decode(editor.invert(crops[i : i + 1], identity, points), identity, points)
    alone = (time.process_time() - began) / count
    errors = [mean_squared_error(a, b) for a, b in zip(crops, decoded, strict=True)]
    return Reconstruction(
        name,
        len(crops),
        round(_similarity(crops, decoded), 4),
        round(_similarity(crops, without), 4),
        round(float(np.mean(errors)) / 255**2, 6),
        round(seconds, 3),
        round(alone, 3),
    )


def _similarity(crops: list[Image], decoded: list[Image]) -> float:
    return float(np.mean([ssim(a, b) for a, b in zip(crops, decoded, strict=True)]))


def _crops(clip: Path, editor: Editor, options: EditOptions) -> tuple[list[Image], list[Face]]:
    template = TemplateOptions(template=editor.template, size=editor.crop_size)
    follow = main_face_tracker(options.faces, options.run)()
    crops: list[Image] = []
    faces: list[Face] = []
    with media.read(clip, options.read) as reader:
        for frame in reader:
            image = to_uint8(frame.pixels)
            face = follow(image)
            if face is None:
                continue
            where = crop_placement(face, template)
            crops.append(np.asarray(crop(image, where), np.uint8))
            faces.append(transform_face(face, where.crop_from_frame))
            if len(crops) == MAX_FRAMES:
                break
    return crops, faces
