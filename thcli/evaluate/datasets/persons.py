"""Folders of aligned faces by person, FOLDER/PERSON/IMAGE, for the identity network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.types import Image
from thcli.faces.identity.aligned_crop import SIZE

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
HINT = (
    "Give a folder with a folder for each person, with images as "
    "`thcli align --template arcface --size 112` crops them."
)


@dataclass(frozen=True, slots=True)
class PersonImage:
    """One image and the index of its person, by the order of the folders' names."""

    path: Path
    person: int


def list_persons(folder: Path) -> list[PersonImage]:
    """List the images of FOLDER/PERSON/ in a fixed order.

    Raises MediaError when fewer than two persons have images.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder of faces.", HINT)
    persons = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    found = [sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) for path in persons]
    nonempty = [paths for paths in found if paths]
    if len(nonempty) < 2:
        raise MediaError(
            f"{folder} holds images of {len(nonempty)} persons; at least 2 are needed.", HINT
        )
    return [PersonImage(path, number) for number, paths in enumerate(nonempty) for path in paths]


def read_face(path: Path) -> Image:
    """Read an image as (112, 112, 3) RGB; other sizes are resized. Raises MediaError."""
    pixels = media.read_image(path)
    if pixels.shape[:2] != (SIZE, SIZE):
        pixels = np.asarray(
            cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8
        )
    return pixels
