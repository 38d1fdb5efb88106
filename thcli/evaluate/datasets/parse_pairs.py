"""Folders of face images with a class label for each pixel.

A folder holds images/NAME.jpg (or .png) and masks/NAME.png, a palette or grey image of class
numbers. A dataset is such a folder, or a folder of them. Where one has an index.csv (a curated
set), only those with one are used for the test, else all.
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

from thcli.core.errors import MediaError
from thcli.core.options import ReadOptions
from thcli.core.types import Image
from thcli.faces.parsing import CLASSES
from thcli.media.failures import check_file
from thcli.media.reading.open_image import FAILURES, open_image
from thcli.media.reading.pixel_limit import PixelLimit

Labels = npt.NDArray[np.uint8]
SUFFIXES = (".jpg", ".jpeg", ".png")
TESTED = 10  # one of so many pairs is in the test set
SIDE = 256  # pixels of pairs in memory
THUMB = 16  # pixels of the grey thumbnails that detect duplicates
# RMS difference of thumbnails of equal images, levels of 255. Another JPEG of the same image
# differs by less than 1, other images by 15 or more.
SAME = 3.0


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """An image and its labels.

    tested: True when its folder is used for the test.
    """

    image: Path
    labels: Path
    tested: bool

    @property
    def kept_out(self) -> bool:
        """Return True when the pair belongs to the test set.

        One of TESTED pairs does, by the last number in its name (the HQ index of CelebAMask-HQ),
        else by the name's checksum.
        """
        numbers = re.findall(r"\d+", self.image.stem)
        key = int(numbers[-1]) if numbers else zlib.crc32(self.image.stem.encode())
        return self.tested and key % TESTED == 0


def list_pairs(folder: Path) -> list[LabelledPair]:
    """List all pairs of a dataset in the order of their names.

    Raises MediaError when there are none, or an image has no labels.
    """
    folders = (
        [folder]
        if (folder / "images").is_dir()
        else sorted(p.parent for p in folder.glob("*/images"))
    )
    curated = [source for source in folders if (source / "index.csv").is_file()] or folders
    found = []
    for source in folders:
        for image in sorted(
            p for p in (source / "images").iterdir() if p.suffix.lower() in SUFFIXES
        ):
            labels = source / "masks" / f"{image.stem}.png"
            if not labels.is_file():
                raise MediaError(
                    f"{image} has no labels: there is no {labels}.",
                    "Add them, or remove the image.",
                )
            found.append(LabelledPair(image, labels, source in curated))
    if not found:
        raise MediaError(
            f"{folder} holds no pairs.", "It needs images/ and masks/, or folders that have them."
        )
    return found


@dataclass(frozen=True, slots=True)
class PairSet:
    """N pairs in memory.

    images: (N, SIDE, SIDE, 3) uint8 RGB.
    labels: (N, SIDE, SIDE) uint8 class numbers.
    names: file names of the images.
    """

    images: Image
    labels: Labels
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self) -> str:
        """Return a hash that changes with the labels and the names."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(self.labels[:, ::8, ::8].tobytes())
        return digest.hexdigest()[:16]


def load_pairs(chosen: Sequence[LabelledPair]) -> PairSet:
    """Load pairs at SIDE pixels: images by area means, labels by the nearest neighbour.

    Raises MediaError for an invalid file.
    """
    images = np.empty((len(chosen), SIDE, SIDE, 3), np.uint8)
    labels = np.empty((len(chosen), SIDE, SIDE), np.uint8)
    for index, pair in enumerate(chosen):
        with _open_image(pair.image) as image:
            images[index] = np.asarray(
                image.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.BOX)
            )
        labels[index] = _nearest(read_labels(pair))
    return PairSet(images, labels, tuple(pair.image.name for pair in chosen))


def read_labels(pair: LabelledPair) -> Labels:
    """Read the class numbers of a pair, (H, W).

    Raises MediaError for an invalid file.
    """
    with _open_image(pair.labels) as image:
        if image.mode not in ("P", "L"):
            raise MediaError(
                f"{pair.labels} is not an image of class numbers (its mode is {image.mode}).",
                "Write palette or grey PNGs.",
            )
        labels = np.array(image, np.uint8)
    if (highest := int(labels.max())) >= len(CLASSES):
        raise MediaError(
            f"{pair.labels} has the class {highest}; the highest is {len(CLASSES) - 1}."
        )
    return labels


def load_test_pairs(folder: Path) -> PairSet:
    """Load the pairs that training never sees.

    Raises MediaError as `list_pairs` and `load_pairs`, and when there are none.
    """
    chosen = [pair for pair in list_pairs(folder) if pair.kept_out]
    if not chosen:
        raise MediaError(
            f"{folder} is too small: none of its pairs is in the test set.",
            f"One of {TESTED} pairs is.",
        )
    return load_pairs(chosen)


def load_train_pairs(folder: Path) -> PairSet:
    """Load all other pairs, without duplicates of each other or of the test set."""
    every = list_pairs(folder)
    kept_out = [pair for pair in every if pair.kept_out]
    pair_set = load_pairs([pair for pair in every if not pair.kept_out])
    fresh = np.flatnonzero(find_new_images(pair_set.images, load_pairs(kept_out).images))
    if not len(fresh):
        raise MediaError(f"{folder} has no pair that is not in the test set.", "Add pairs.")
    return PairSet(
        pair_set.images[fresh], pair_set.labels[fresh], tuple(pair_set.names[i] for i in fresh)
    )


def find_new_images(images: Image, others: Image) -> npt.NDArray[np.bool_]:
    """Return (N,) True for images that are neither among `others` nor earlier in `images`.

    Images are compared up to compression and size.

    Args:
        images, others: (N, SIDE, SIDE, 3).
    """
    seen = np.concatenate([_thumbs(others), _thumbs(images)])
    squares = (seen**2).sum(1)
    out = np.ones(len(images), bool)
    for index in range(len(images)):
        own = len(others) + index
        apart = squares[:own] + squares[own] - 2 * (seen[:own] @ seen[own])
        out[index] = not (apart < SAME**2 * THUMB**2).any()
    return out


def _thumbs(images: Image) -> npt.NDArray[np.float32]:
    cell = SIDE // THUMB
    out = np.empty((len(images), THUMB * THUMB), np.float32)
    for index, image in enumerate(images):
        grey = image.mean(2, dtype=np.float32)
        out[index] = grey.reshape(THUMB, cell, THUMB, cell).mean((1, 3)).ravel()
    return out


def _nearest(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Resize labels (H, W) to SIDE x SIDE by the nearest neighbour."""
    rows, columns = (np.arange(SIDE) * n // SIDE for n in labels.shape)
    return np.asarray(labels[rows[:, None], columns])


def _open_image(path: Path) -> Pillow.Image:
    check_file(path)
    image = open_image(path, PixelLimit.of(ReadOptions()))
    try:
        # A JPEG is decoded at a half or a quarter of its size, which equals averaging.
        image.draft("RGB", (SIDE, SIDE))
        image.load()
    except FAILURES as exc:
        raise MediaError(
            f"{path} cannot be read as an image: {exc}.", "Replace it, or remove the pair."
        ) from exc
    return image
