"""Aligned faces by person: a folder for each, pictures in it. What the identity network learns from, and is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from thcli.core.errors import MediaError
from thcli.core.types import Image
from thcli.faces.identity.aligned import SIZE

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
HOW = "Give a folder with a folder for each person, holding pictures as `thcli align --template arcface --size 112` cuts them."


@dataclass(frozen=True, slots=True)
class Person:
    """One row of a set. person: its number, by the folders' names."""

    path: Path
    person: int


def people(folder: Path) -> list[Person]:
    """The pictures of FOLDER/PERSON/ in a fixed order. Raises MediaError when fewer than two persons have some."""
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder of faces.", HOW)
    rooms = [room for room in sorted(folder.iterdir()) if room.is_dir()]
    found = [sorted(p for p in room.iterdir() if p.suffix.lower() in SUFFIXES) for room in rooms]
    filled = [paths for paths in found if paths]
    if len(filled) < 2:
        raise MediaError(
            f"{folder} holds pictures of {len(filled)} persons: two are the least.", HOW
        )
    return [Person(path, number) for number, paths in enumerate(filled) for path in paths]


def read_face(path: Path) -> Image:
    """One picture as the (112, 112, 3) RGB that networks see; another size is resized. Raises MediaError."""
    try:
        coded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as exc:
        raise MediaError(f"{path} cannot be read: {exc}.") from exc
    pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB) if len(coded) else None
    if pixels is None:
        raise MediaError(f"{path} is not a picture.")
    if pixels.shape[:2] != (SIZE, SIZE):
        pixels = cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(pixels, np.uint8)
