"""Folders of face images with CelebA's 40 labels and person numbers.

FOLDER/images/NAME.jpg (or in FOLDER itself) are FFHQ crops. FOLDER/attributes.txt is as CelebA's: a
count, the attribute names, then an image per line with -1 or 1 for each. FOLDER/identities.txt, if
present, has an image and its person's number per line. Sets are split by the last digit of that
number, so that the classifier that measures has not seen the persons that an editor learnt from.
Without that file the digit is that of a checksum of the image's name.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError, UsageError
from thcli.core.text_files import read_text
from thcli.core.types import Image
from thcli.editors.shared.celeba import CELEBA

HINT = "Give a folder with images/ and attributes.txt, as CelebA has it."
DIGITS = 10


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """N labelled images.

    paths: of the images.
    labels: (N, 40) bool, in CelebA's order.
    digits: (N,) last digit of each person's number.
    """

    paths: tuple[Path, ...]
    labels: npt.NDArray[np.bool_]
    digits: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def of_persons(self, digits: Sequence[int]) -> LabelledImages:
        """Return the images of persons with these last digits. Raises MediaError without any."""
        kept = np.isin(self.digits, list(digits))
        if not kept.any():
            raise MediaError(
                f"No person has a number that ends in {', '.join(map(str, digits))}.",
                HINT,
            )
        return self.at(np.flatnonzero(kept))

    def at(self, numbers: npt.NDArray[np.int64]) -> LabelledImages:
        """Return the images at these indices."""
        return LabelledImages(
            tuple(self.paths[n] for n in numbers), self.labels[numbers], self.digits[numbers]
        )

    def fingerprint(self) -> str:
        """Return a hash that changes when images are added, removed, renamed or relabelled."""
        digest = hashlib.sha256("\n".join(path.name for path in self.paths).encode())
        digest.update(np.packbits(self.labels).tobytes())
        return digest.hexdigest()[:16]


def read_labelled_folder(folder: Path) -> LabelledImages:
    """List all labelled images of a folder in the order of the attribute file.

    Raises MediaError that names the defect.
    """
    table = folder / "attributes.txt"
    if not table.is_file():
        raise MediaError(f"There is no {table}.", HINT)
    lines = _read_lines(table)
    names = lines[1].split() if len(lines) > 1 else []
    if sorted(names) != sorted(CELEBA):
        raise MediaError(f"Line 2 of {table} does not name CelebA's 40 attributes.", HINT)
    order = [names.index(name) for name in CELEBA]
    images = folder / "images" if (folder / "images").is_dir() else folder
    persons = _persons(folder / "identities.txt")
    paths, rows, digits = [], [], []
    for number, line in enumerate(lines[2:], 3):
        name, *values = line.split() or [""]
        if not name:
            continue
        if len(values) != len(names) or set(values) - {"-1", "1"}:
            raise MediaError(
                f"{table}, line {number}: {name} does not have {len(names)} labels of -1 or 1.",
                HINT,
            )
        paths.append(images / name)
        rows.append([values[column] == "1" for column in order])
        digits.append(persons.get(name, zlib.crc32(name.encode())) % DIGITS)
    if not paths:
        raise MediaError(f"{table} names no images.", HINT)
    return LabelledImages(tuple(paths), np.array(rows, np.bool_), np.array(digits, np.int64))


def parse_digits(text: str) -> tuple[int, ...]:
    """Parse last digits such as "0-5", "9" or "6,7,8". Raises UsageError."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not (
            first.isdigit()
            and (last or first).isdigit()
            and 0 <= int(first) <= int(last or first) < DIGITS
        ):
            raise UsageError(
                f"{text!r} are not last digits of persons' numbers.", "Use 0-5, 9 or 6,7,8."
            )
        found += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(found))


def load_images(paths: Sequence[Path], side: int) -> Image:
    """Load images as (N, side, side, 3) uint8 RGB. Raises MediaError for an unreadable one."""
    out = np.empty((len(paths), side, side, 3), np.uint8)
    for number, path in enumerate(paths):
        out[number] = cv2.resize(media.read_image(path), (side, side), interpolation=cv2.INTER_AREA)
    return out


def _read_lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except (OSError, ValueError) as exc:
        raise MediaError(f"{path} cannot be read: {exc}.", HINT) from exc


def _persons(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    rows = [line.split() for line in _read_lines(path) if line.strip()]
    if any(len(row) != 2 or not row[1].isdecimal() for row in rows):
        raise MediaError(f"{path} does not list images with their persons' numbers.", HINT)
    return {name: int(person) for name, person in rows}
