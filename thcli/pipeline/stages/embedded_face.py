"""Frontal face that an engine embeds from pictures of an input (`thcli encode --frontal`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.imaging import to_uint8
from thcli.core.options import EncodeOptions
from thcli.core.protocols import EmbeddingEngine, MotionStore
from thcli.core.types import Image
from thcli.media.info import MediaInfo
from thcli.motion.file.windows import windows
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.sources.framing import SourceCrop, crop_source

PICTURES = 3  # frames of a video that are embedded: as many sources as in X2Face's paper


def embed_face(
    engine: EmbeddingEngine,
    info: MediaInfo,
    motion: MotionStore,
    options: EncodeOptions,
    face_finder: FaceFinder,
    job: Job,
) -> Image:
    """Embed the chosen face of PICTURES frames, spread over those that show it.

    Args:
        engine: embeds the crops.
        info: the probed image, folder or video.
        motion: of its chosen face.
        options: choice of the face, range of the input.
        face_finder: detector and landmarker.
        job: reports warnings.

    Returns:
        The frontal face, (crop_size, crop_size, 3) uint8.

    Raises:
        NoFaceError: none of the frames shows the face.
    """
    seen = np.flatnonzero(np.concatenate([window.valid for window in windows(motion)]))
    spread = np.linspace(0, max(len(seen) - 1, 0), min(PICTURES, len(seen)))
    numbers = {int(seen[place]) for place in spread.round().astype(int)}
    crops: list[SourceCrop] = []
    for image in read_frames(info, numbers, options, job):
        faces, select = face_finder.find(image), options.faces.select
        statistics = face_finder.statistics(select)
        statistics.add(faces, image)
        (chosen, *_) = face_finder.choose(statistics, select, str(info.path), job)
        crops.append(crop_source(engine, image, faces[chosen]))
    if not crops:
        raise NoFaceError(f"{info.path} shows no face.", "Choose another picture or video.")
    source = engine.encode_sources([one.image for one in crops], [one.face for one in crops])
    return engine.render_frontal(source)


def read_frames(
    info: MediaInfo, numbers: set[int], options: EncodeOptions, job: Job
) -> Iterator[Image]:
    """Yield the frames of these numbers, in order."""
    last = max(numbers, default=-1)
    with job.frames(info.path, options.read) as frames:
        for index, frame in enumerate(islice(frames, last + 1)):
            if index in numbers:
                yield to_uint8(frame.pixels)
