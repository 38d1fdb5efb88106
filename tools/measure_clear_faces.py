"""Mesh logits of all boxes that the default detector finds in pictures.

    python tools/measure_clear_faces.py PICTURE_OR_FOLDER... --sheet doubtful.png

Prints a row for each box whose logit is below `--below`, with its place, score and logit, and how
many boxes lie above. The sheet has one crop for each row, lowest logit first: whether a crop is a
face is judged by eye. `faces/landmarks/detected.py` leaves out what lies below its limit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pictures import find_pictures, measure_each

import thcli
from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Image
from thcli.faces.landmarks.detected import CLEAR_LOGIT
from thcli.pipeline.observe.face_finder import FaceFinder

TILE, COLUMNS, MARGIN = 128, 10, 0.4


@dataclass(frozen=True)
class Box:
    """A box of the detector with the logit of the mesh that was fitted to it."""

    path: Path
    number: int
    count: int
    score: float
    logit: float
    crop: Image


def boxes(path: Path, finder: FaceFinder) -> Iterator[Box]:
    """Yield each box of a picture in which a mesh can be fitted."""
    image = thcli.read_image(str(path))
    fitted = [finder.landmarker.fit(image, found) for found in finder.detector.detect(image)]
    faces = [face for face in fitted if face is not None]
    for number, face in enumerate(faces):
        x0, y0, x1, y1 = face.box
        side = max(x1 - x0, y1 - y0) * (1 + MARGIN)
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        scale = TILE / max(side, 1.0)
        shift = [TILE / 2 - scale * c for c in centre]
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        crop = cv2.warpAffine(image, matrix, (TILE, TILE), flags=cv2.INTER_AREA)
        yield Box(path, number, len(faces), face.score, face.logit, crop.astype(np.uint8))


def sheet(found: list[Box]) -> Image:
    """Return the crops with their logits, lowest first."""
    tiles = []
    for box in found:
        tile = box.crop.copy()
        cv2.putText(tile, f"{box.logit:.1f}", (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0))
        tiles.append(tile)
    tiles += [np.zeros((TILE, TILE, 3), np.uint8)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def main() -> None:
    """Print the boxes below a limit and write their sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--below", type=float, default=12.0)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    files, finder = (
        find_pictures(given.paths),
        FaceFinder.load(FaceOptions(), RunOptions(threads=1)),
    )
    every = [
        box for each in measure_each(files, lambda path: [*boxes(path, finder)]) for box in each
    ]
    low = sorted((box for box in every if box.logit < given.below), key=lambda box: box.logit)
    for box in low:
        place = f"box {box.number} of {box.count}"
        sys.stdout.write(f"{box.logit:6.1f}  score {box.score:.2f}  {box.path.name}, {place}\n")
    dropped = sum(box.logit < CLEAR_LOGIT for box in every)
    sys.stdout.write(
        f"{len(files)} pictures, {len(every)} boxes, {len(low)} below {given.below:g}, "
        f"{dropped} below {CLEAR_LOGIT:g}\n"
    )
    if given.sheet and low:
        cv2.imwrite(str(given.sheet), sheet(low)[..., ::-1])


if __name__ == "__main__":
    main()
