"""Blur of the eyes of pictures, which decides whether networks paint eyes and mouth.

    python tools/measure_blur.py PICTURE_OR_FOLDER...
    python tools/measure_blur.py PICTURE_OR_FOLDER... --thumbnail 64

Prints the blur of each picture's largest face as a deviation in widths of an eye, then how many
pictures exceed `MOST_BLUR` of `engines/mesh/prepared_source.py`, and quantiles. `--thumbnail`
shrinks each face to so many pixels first and enlarges it again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from pictures import find_pictures, measure_each

import thcli
from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Image
from thcli.engines.mesh.eyes.reading import read_eyes
from thcli.engines.mesh.mouth.colours import skin_tone
from thcli.engines.mesh.prepared_source import MOST_BLUR
from thcli.pipeline.observe.face_finder import FaceFinder


def blur_of(image: Image, finder: FaceFinder) -> tuple[float, float] | None:
    """Return the blur and the width in pixels of the largest face, None without eyes to measure."""
    faces = finder.find(image)
    if not faces:
        return None
    face = max(faces, key=lambda each: each.area)
    mesh = np.asarray(face.mesh, np.float64)
    eyes = read_eyes(image, mesh, skin_tone(image, mesh))
    return None if eyes is None else (eyes.share, float(np.ptp(mesh[:, 0])))


def as_thumbnail(image: Image, face_width: float, pixels: int) -> Image:
    """Return the image as if its face had had so many pixels and was enlarged."""
    height, width = image.shape[:2]
    scale = min(pixels / face_width, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def main() -> None:
    """Print the blur of each picture and how many are too blurred."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--thumbnail", type=int, default=0, metavar="PIXELS")
    given = parser.parse_args()
    files, finder = (
        find_pictures(given.paths),
        FaceFinder.load(FaceOptions(), RunOptions(threads=1)),
    )

    def measure(path: Path) -> float | None:
        image = thcli.read_image(str(path))
        measured = blur_of(image, finder)
        if measured and given.thumbnail:
            measured = blur_of(as_thumbnail(image, measured[1], given.thumbnail), finder)
        if not measured:
            return None
        sys.stdout.write(f"{measured[0]:.4f}  face of {measured[1]:.0f} pixels  {path.name}\n")
        return measured[0]

    found = [blur for blur in measure_each(files, measure) if blur is not None]
    if not found:
        raise SystemExit("No picture shows a face whose eyes can be measured.")
    low, middle, high = np.quantile(found, [0.05, 0.5, 0.95])
    over = sum(blur > MOST_BLUR for blur in found)
    sys.stdout.write(
        f"{len(found)} of {len(files)} pictures, {over} above {MOST_BLUR}; "
        f"5, 50, 95 %: {low:.4f} {middle:.4f} {high:.4f}; {min(found):.4f} to {max(found):.4f}\n"
    )


if __name__ == "__main__":
    main()
