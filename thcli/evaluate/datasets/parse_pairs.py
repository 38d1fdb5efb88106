"""Pictures of faces with a label for each pixel: which pairs a folder has, which are kept for the test, how they come into memory.

A folder of pairs holds images/NAME.jpg (or .png) and masks/NAME.png, a palette or grey picture of class numbers; a dataset is such a
folder, or a folder of them. Where one has an index.csv (a curated set), only those with one are tested on, else all.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from thcli.core.errors import MediaError
from thcli.core.types import Image
from thcli.faces.parsing import CLASSES

Labels = npt.NDArray[np.uint8]
PICTURES = (".jpg", ".jpeg", ".png")
TESTED = 10  # of so many pairs one is kept out of training
SIDE = 256  # pixels at which pairs are kept in memory
THUMB = 16  # pixels of the grey thumbnails that tell whether two files show the same picture
SAME = 3.0  # root mean square difference of such thumbnails, of 255; another JPEG of a picture differs by less than 1, others by 15 or more


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and its labels. tested: of a folder on which is tested."""

    picture: Path
    labels: Path
    tested: bool

    @property
    def kept_out(self) -> bool:
        """Whether it is for the test: by the last number of its name (the HQ index in CelebAMask-HQ), else by the name's checksum."""
        numbers = re.findall(r"\d+", self.picture.stem)
        key = int(numbers[-1]) if numbers else zlib.crc32(self.picture.stem.encode())
        return self.tested and key % TESTED == 0


def pairs(folder: Path) -> list[Pair]:
    """All pairs of a dataset, in the order of their names. Raises MediaError when there are none, or a picture has no labels."""
    folders = (
        [folder]
        if (folder / "images").is_dir()
        else sorted(p.parent for p in folder.glob("*/images"))
    )
    curated = [home for home in folders if (home / "index.csv").is_file()] or folders
    found = []
    for home in folders:
        for picture in sorted(
            p for p in (home / "images").iterdir() if p.suffix.lower() in PICTURES
        ):
            labels = home / "masks" / f"{picture.stem}.png"
            if not labels.is_file():
                raise MediaError(
                    f"{picture} has no labels: there is no {labels}.",
                    "Add them, or take the picture out.",
                )
            found.append(Pair(picture, labels, home in curated))
    if not found:
        raise MediaError(
            f"{folder} holds no pairs.", "It needs images/ and masks/, or folders that have them."
        )
    return found


@dataclass(frozen=True, slots=True)
class Shelf:
    """Pairs in memory. pictures: (N, SIDE, SIDE, 3).  labels: (N, SIDE, SIDE) class numbers.  names: file names of the pictures."""

    pictures: Image
    labels: Labels
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def fingerprint(self) -> str:
        """Changes with the labels and the names."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(self.labels[:, ::8, ::8].tobytes())
        return digest.hexdigest()[:16]


def read(chosen: Sequence[Pair]) -> Shelf:
    """The pairs at SIDE pixels: pictures averaged, labels by the nearest. Raises MediaError for a file that is not what it should be."""
    pictures = np.empty((len(chosen), SIDE, SIDE, 3), np.uint8)
    labels = np.empty((len(chosen), SIDE, SIDE), np.uint8)
    for place, pair in enumerate(chosen):
        with _opened(pair.picture) as image:
            pictures[place] = np.asarray(
                image.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.BOX)
            )
        with _opened(pair.labels) as image:
            if image.mode not in ("P", "L"):
                raise MediaError(
                    f"{pair.labels} is no picture of class numbers (its mode is {image.mode}).",
                    "Write palette or grey PNGs.",
                )
            labels[place] = _nearest(np.asarray(image))
        if (highest := int(labels[place].max())) >= len(CLASSES):
            raise MediaError(
                f"{pair.labels} has the class {highest}; the last one is {len(CLASSES) - 1}."
            )
    return Shelf(pictures, labels, tuple(pair.picture.name for pair in chosen))


def test_shelf(folder: Path) -> Shelf:
    """The pairs that training never sees. Raises MediaError as `pairs` and `read` do, and when there are none."""
    chosen = [pair for pair in pairs(folder) if pair.kept_out]
    if not chosen:
        raise MediaError(
            f"{folder} is too small: none of its pairs is kept for the test.",
            f"One of {TESTED} is.",
        )
    return read(chosen)


def train_shelf(folder: Path) -> Shelf:
    """All other pairs, each picture once, and none that the test shows under another name (or in another folder)."""
    every = pairs(folder)
    kept_out = [pair for pair in every if pair.kept_out]
    shelf = read([pair for pair in every if not pair.kept_out])
    fresh = np.flatnonzero(first_shown(shelf.pictures, read(kept_out).pictures))
    if not len(fresh):
        raise MediaError(
            f"{folder} has no pair to learn from that is not of the test too.", "Add pairs."
        )
    return Shelf(shelf.pictures[fresh], shelf.labels[fresh], tuple(shelf.names[i] for i in fresh))


def first_shown(pictures: Image, others: Image) -> npt.NDArray[np.bool_]:
    """(N,) whether each of the pictures (N, SIDE, SIDE, 3) is neither among the others nor before it, up to compression and size."""
    seen = np.concatenate([_thumbs(others), _thumbs(pictures)])
    squares = (seen**2).sum(1)
    out = np.ones(len(pictures), bool)
    for place in range(len(pictures)):
        own = len(others) + place
        apart = squares[:own] + squares[own] - 2 * (seen[:own] @ seen[own])
        out[place] = not (apart < SAME**2 * THUMB**2).any()
    return out


def _thumbs(pictures: Image) -> npt.NDArray[np.float32]:
    cell = SIDE // THUMB
    out = np.empty((len(pictures), THUMB * THUMB), np.float32)
    for place, picture in enumerate(pictures):
        grey = picture.mean(2, dtype=np.float32)
        out[place] = grey.reshape(THUMB, cell, THUMB, cell).mean((1, 3)).ravel()
    return out


def _nearest(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W) labels at SIDE x SIDE, without mixing numbers."""
    rows, columns = (np.arange(SIDE) * n // SIDE for n in labels.shape)
    return np.asarray(labels[rows[:, None], columns])


def _opened(path: Path) -> Pillow.Image:
    try:
        image = Pillow.open(path)
        image.draft(
            "RGB", (SIDE, SIDE)
        )  # a JPEG is decoded at a half or a quarter of its size, which is what averaging gives
        image.load()
    except (OSError, UnidentifiedImageError) as exc:
        raise MediaError(
            f"{path} cannot be read as a picture: {exc}.", "Replace it, or take the pair out."
        ) from exc
    return image
