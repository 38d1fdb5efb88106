"""Head poses that are given: a pose file, added angles, an orbit.

Angles are pitch, yaw and roll in degrees as `thcli fit` gives them: positive pitch looks down,
positive yaw turns the nose to the image's left, positive roll tilts clockwise.
"""

from __future__ import annotations

import csv
import math
import re
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.options import ViewOptions
from thcli.core.text_files import read_csv, reading_reason
from thcli.core.types import Array

ANGLES = ("pitch", "yaw", "roll")
COLUMNS = ("seconds", *ANGLES)
MAX_ROWS = 2_000_000  # about a day at 25 frames per second


@dataclass(frozen=True, slots=True)
class PoseCurve:
    """Head poses by time.

    seconds: (N,) increasing.  degrees: (N, 3) pitch, yaw, roll.
    """

    seconds: Array
    degrees: Array

    @classmethod
    def read(cls, path: Path) -> PoseCurve:
        """Read a CSV file with a header that names at least COLUMNS.

        Rows without angles (a frame without a face) are left out.

        Raises:
            MediaError: the file cannot be read, lacks a column, has another text than a number,
                times that do not increase, or no pose.
        """
        try:
            values = _read_rows(read_csv(path), path)
        except (OSError, ValueError, csv.Error) as exc:
            raise MediaError(
                f"The pose file {path} cannot be read: {reading_reason(exc)}.", _HINT
            ) from exc
        if not len(values):
            raise MediaError(f"The pose file {path} has no pose.", _HINT)
        if (np.diff(values[:, 0]) <= 0).any():
            raise MediaError(f"The times of the pose file {path} do not increase.", _HINT)
        return cls(values[:, 0], values[:, 1:])

    def sample(self, seconds: Array) -> Array:
        """Return the poses (T, 3) in degrees at times since the first row, linear between rows.

        The last row holds after its end.
        """
        times = self.seconds - self.seconds[0]
        return np.stack([np.interp(seconds, times, column) for column in self.degrees.T], 1)


def _read_rows(table: csv.DictReader[str], path: Path) -> Array:
    """Return seconds, pitch, yaw and roll of each row, (N, 4)."""
    table.fieldnames = [name.strip() for name in table.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in table.fieldnames]
    if missing:
        if re.search("[;\t]", "".join(table.fieldnames)):
            raise MediaError(
                f"The columns of the pose file {path} are separated by semicolons or tabs.",
                "Separate them by commas, and write numbers with a point: 0.5",
            )
        raise MediaError(f"The pose file {path} has no column {', '.join(missing)}.", _HINT)
    rows = array("d")
    for line in table:
        texts = [line[name] for name in COLUMNS]
        if not any(texts[1:]):
            continue
        try:
            numbers = [float(text) for text in texts]
        except (TypeError, ValueError) as exc:
            where = f"line {table.line_num} of the pose file {path}"
            raise MediaError(f"A value in {where} is not a number.", _HINT) from exc
        if not all(map(math.isfinite, numbers)):
            raise MediaError(f"Line {table.line_num} of the pose file {path} is not finite.", _HINT)
        if len(rows) >= MAX_ROWS * len(COLUMNS):
            raise MediaError(
                f"The pose file {path} has more than {MAX_ROWS} poses.",
                "Shorten it: between its rows poses are linear.",
            )
        rows.extend(numbers)
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def added_angles(view: ViewOptions, seconds: Array, length: float) -> Array:
    """Return the angles (T, 3) in degrees that --yaw, --pitch, --roll and --orbit add.

    The orbit's yaw is a whole sine over the clip: it begins and ends at 0.

    Args:
        view: added angles and orbit.
        seconds: (T,) time of each frame since the first.
        length: time of the last frame since the first.
    """
    degrees = np.tile([view.pitch, view.yaw, view.roll], (len(seconds), 1)).astype(np.float64)
    if length > 0:
        degrees[:, 1] += view.orbit * np.sin(2 * np.pi * seconds / length)
    return degrees


_HINT = (
    "Make one with 'thcli fit VIDEO -o poses.csv', or give its columns " + ", ".join(COLUMNS) + "."
)
