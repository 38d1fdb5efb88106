"""Frontal picture of a face (`thcli encode --frontal`)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.errors import MediaError, UsageError
from thcli.core.geometry import bounding_box
from thcli.core.options import EncodeOptions, OutputOptions
from thcli.core.protocols import EmbeddingEngine, Engine, MotionStore
from thcli.core.types import Array32, Image
from thcli.engines.backends import ENGINES
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.media.info import MediaInfo
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.target import OutputTarget
from thcli.motion.control.frontal import frontal_target, most_frontal_frame
from thcli.motion.observe import rebuild_driver_meshes
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.output_names import srgb_video_info
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.sources.source_image import CROP_SCALE
from thcli.pipeline.stages.embedded_face import embed_face, read_frames


def check_frontal(options: EncodeOptions) -> None:
    """Check --frontal before any work.

    Raises:
        UsageError: the engine renders no frontal picture, or the file is no image.
        OutputError: the file exists or cannot be written.
    """
    if options.frontal is None:
        return
    backend = ENGINES.backend(options.engine)
    if not (backend.reads_option("expression") or backend.reads_option("x2face.pose_code")):
        raise UsageError(
            f"--frontal has no effect with engine {options.engine}.", "It works with: mesh, x2face."
        )
    target = OutputTarget(options.frontal, options.overwrite)
    if target.kind != "image":
        raise UsageError(f"{options.frontal} is not the name of an image.", "Name it NAME.png.")
    target.check(0)


def write_frontal(
    info: MediaInfo,
    motion: MotionStore,
    options: EncodeOptions,
    engine: Engine,
    face_finder: FaceFinder,
    job: Job,
) -> None:
    """Write the most frontal face of an input, turned to the front, in a square crop.

    An engine that embeds faces writes the face that it embeds.

    Args:
        info: the probed image, folder or video.
        motion: of its chosen face.
        options: `frontal` is the file.
        engine: mesh engine, or one that embeds faces.
        face_finder: detector and landmarker.
        job: reports warnings.

    Raises:
        NoFaceError: the face is turned too far in every frame.
        MediaError: the input shows fewer frames than before.
        OutputError: the file cannot be written.
    """
    target = options.frontal
    if target is None:
        return
    if isinstance(engine, EmbeddingEngine):
        embedded = embed_face(engine, info, motion, options, face_finder, job)
        _write(embedded, info, target, options, job)
        return
    number = most_frontal_frame(motion)
    images = list(read_frames(info, {number}, options, job))
    if not images:
        raise MediaError(f"Frame {number} of {info.path} can no longer be read.")
    (image,) = images
    middle = rebuild_driver_meshes(motion.window(number, number + 1))[0].mean(0)[:2]
    faces = face_finder.find(image)
    face = min(faces, key=lambda one: float(np.hypot(*((one.box[:2] + one.box[2:]) / 2 - middle))))
    turned = frontal_target(face)
    (picture,) = engine.render(engine.encode_source(image, face), turned, None)
    box = bounding_box(np.asarray(turned.arrays["points"][0], np.float64))
    _write(_crop_square(picture, box), info, target, options, job)


def _crop_square(image: Image, box: Array32) -> Image:
    """Crop a square around a face's box (4,)."""
    placement = align.square_within(box, (image.shape[1], image.shape[0]), CROP_SCALE)
    return np.asarray(crop(image, placement), np.uint8)


def _write(picture: Image, info: MediaInfo, target: Path, options: EncodeOptions, job: Job) -> None:
    plan = media.WritePlan(
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        frames=1,
        provenance=Provenance("encode", options.engine),
    )
    output = OutputOptions(overwrite=options.overwrite, audio="none")
    size = picture.shape[1], picture.shape[0]
    with media.write(target, size, srgb_video_info(info), output, plan, on=job.on) as out:
        out.write(picture, 0, 1)
