"""Measure a lip-sync: unchanged pixels outside of the lower face, and the mouth against its driver.

    python tools/measure_lip_sync.py FOOTAGE RESULT DRIVER

RESULT is lossless (--codec ffv1). DRIVER is a motion file, or the video that drove the lips.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from thcli import media
from thcli.core.imaging import to_uint8
from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Array, Face, Image
from thcli.faces.tracking.track import Tracker
from thcli.motion import canonical
from thcli.motion.closure import region_mask
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.observe.face_finder import FaceFinder

MARGIN = 0.08  # face heights around the hull of the lower face
CHIN = 152


def read_faces(path: str) -> tuple[list[Image], list[Face | None]]:
    """Read the frames of a video and the largest face of each."""
    finder = FaceFinder.load(FaceOptions(), RunOptions())
    tracker = Tracker(finder.detector, finder.landmarker)
    with media.read(path) as frames:
        images = [to_uint8(frame.pixels) for frame in frames]
    found = [tracker.update(image) for image in images]
    return images, [max(faces, key=lambda face: face.area) if faces else None for faces in found]


def driver_shapes(path: str) -> Array:
    """Return the canonical shapes (T, 468, 3) of a motion file or a video."""
    if path.endswith(".safetensors"):
        file = MotionFile(Path(path))
        rows = np.asarray(file.window(0, len(file)).arrays["expression"], np.float64)
        return np.asarray(canonical.neutral() + rows)
    return shapes(read_faces(path)[1])


def shapes(faces: list[Face | None]) -> Array:
    """Return canonical shapes (T, 468, 3), NaN without a face."""
    return np.stack(
        [
            np.full((468, 3), np.nan) if face is None else canonical.decompose(face.mesh).shape
            for face in faces
        ]
    )


def correlation(a: Array, b: Array) -> float:
    """Return the correlation of two series (T,), as far as both are known."""
    known = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[known], b[known])[0, 1])


def main(footage: str, result: str, driver: str) -> None:
    """Print the figures of one result."""
    cv2.setNumThreads(1)
    images, own = read_faces(footage)
    made, again = read_faces(result)
    wanted = driver_shapes(driver)
    lower = region_mask("lips")[:, 0] > 0
    outside = []
    for image, new, face in zip(images, made, own, strict=False):
        if face is None or face.mesh is None:
            continue
        points = np.asarray(face.mesh[:, :2], np.float32)
        hull = cv2.convexHull(points[lower]).astype(np.int32)
        inside = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), hull, (1,))
        reach = round(MARGIN * float(np.linalg.norm(points[10] - points[CHIN])))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        difference = np.abs(image.astype(int) - new).mean(-1)[cv2.dilate(inside, disc) == 0]
        outside.append((difference.mean(), (difference == 0).mean()))
    mean, same = np.mean(outside, 0)
    worst = max(row[0] for row in outside)
    sys.stdout.write(f"outside: L1 {mean:.4f}, worst frame {worst:.4f}, unchanged {same:.4f}\n")
    tracked, count = shapes(again), min(len(again), len(wanted))
    openings = [canonical.mouth_opening(rows[:count]) for rows in (wanted, tracked)]
    jaws = [rows[:count, CHIN, 1] for rows in (wanted, tracked)]
    ratio = np.nanstd(openings[1]) / np.nanstd(openings[0])
    sys.stdout.write(f"opening: r {correlation(*openings):.3f}, amplitude {ratio:.2f}\n")
    sys.stdout.write(f"jaw: r {correlation(*jaws):.3f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
