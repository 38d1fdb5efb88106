"""Pictures of faces with CelebA's 40 labels: which a folder has, whose they are, which part of the persons is meant.

FOLDER/images/NAME.jpg (or in FOLDER itself), cut as FFHQ's; FOLDER/attributes.txt, as CelebA writes it: a count, the names of the
attributes, then a picture a line with -1 or 1 for each; FOLDER/identities.txt, where there is one: a picture and its person's number a line.
Persons are told apart by the last digit of their number, so that what measures never saw whom an editor learnt from; without that file
the digit is a checksum's of the picture's name.
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

from thcli.core.errors import MediaError, UsageError
from thcli.core.types import Image
from thcli.editors.shared.celeba import CELEBA

HOW = "Give a folder with images/ and attributes.txt, as CelebA has it."
DIGITS = 10


@dataclass(frozen=True, slots=True)
class Labelled:
    """paths: N pictures.  labels: (N, 40) bool, in CelebA's order.  digits: (N,) the last digit of each person's number."""

    paths: tuple[Path, ...]
    labels: npt.NDArray[np.bool_]
    digits: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def only(self, digits: Sequence[int]) -> Labelled:
        """The pictures of the persons whose number ends in one of these. Raises MediaError when there are none."""
        kept = np.isin(self.digits, list(digits))
        if not kept.any():
            raise MediaError(
                f"No picture's person has a number that ends in {', '.join(map(str, digits))}.", HOW
            )
        return self.at(np.flatnonzero(kept))

    def at(self, numbers: npt.NDArray[np.int64]) -> Labelled:
        """The pictures at these places."""
        return Labelled(
            tuple(self.paths[n] for n in numbers), self.labels[numbers], self.digits[numbers]
        )

    def fingerprint(self) -> str:
        """Changes when pictures are added, removed, renamed or labelled otherwise."""
        digest = hashlib.sha256("\n".join(path.name for path in self.paths).encode())
        digest.update(np.packbits(self.labels).tobytes())
        return digest.hexdigest()[:16]


def labelled(folder: Path) -> Labelled:
    """All pictures of a folder that have labels, in the order of the attribute file. Raises MediaError naming what is wrong."""
    table = folder / "attributes.txt"
    if not table.is_file():
        raise MediaError(f"There is no {table}.", HOW)
    lines = table.read_text("utf-8").splitlines()
    names = lines[1].split() if len(lines) > 1 else []
    if sorted(names) != sorted(CELEBA):
        raise MediaError(f"{table} has not the 40 attributes of CelebA in its second line.", HOW)
    order = [names.index(name) for name in CELEBA]
    room = folder / "images" if (folder / "images").is_dir() else folder
    persons = _persons(folder / "identities.txt")
    paths, rows, digits = [], [], []
    for number, line in enumerate(lines[2:], 3):
        name, *values = line.split() or [""]
        if not name:
            continue
        if len(values) != len(names) or set(values) - {"-1", "1"}:
            raise MediaError(
                f"{table}, line {number}: {name} has not {len(names)} labels of -1 or 1.", HOW
            )
        paths.append(room / name)
        rows.append([values[place] == "1" for place in order])
        digits.append(persons.get(name, zlib.crc32(name.encode())) % DIGITS)
    if not paths:
        raise MediaError(f"{table} names no pictures.", HOW)
    return Labelled(tuple(paths), np.array(rows, np.bool_), np.array(digits, np.int64))


def digits_of(text: str) -> tuple[int, ...]:
    """Last digits as they are written on the command line: "0-5", "9", "6,7,8". Raises UsageError."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not (
            first.isdigit()
            and (last or first).isdigit()
            and 0 <= int(first) <= int(last or first) < DIGITS
        ):
            raise UsageError(
                f"{text!r} are no last digits of persons' numbers.", "Give such as 0-5, 9 or 6,7,8."
            )
        found += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(found))


def pixels(paths: Sequence[Path], side: int) -> Image:
    """(N, side, side, 3) uint8 RGB: whole pictures made that small. Raises MediaError for one that cannot be read."""
    out = np.empty((len(paths), side, side, 3), np.uint8)
    for number, path in enumerate(paths):
        coded = (
            np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else np.zeros(0, np.uint8)
        )
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB) if len(coded) else None
        if picture is None:
            raise MediaError(f"{path} is not a picture that can be read.")
        out[number] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return out


def _persons(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
    if any(len(row) != 2 or not row[1].isdigit() for row in rows):
        raise MediaError(f"{path} is not a list of pictures, each with its person's number.", HOW)
    return {name: int(person) for name, person in rows}
