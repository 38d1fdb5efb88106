"""Pictures that a measurement is given: named files and all in named folders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from thcli.core.errors import ThcliError

T = TypeVar("T")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Return the pictures among files and in folders, each folder sorted."""
    named = (sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths)
    return [path for group in named for path in group if path.suffix.lower() in SUFFIXES]


def measure_each(files: Sequence[Path], measure: Callable[[Path], T]) -> list[T]:
    """Return what is measured of each picture; one that cannot be read is left out and named."""
    found = list[T]()
    for path in files:
        try:
            found.append(measure(path))
        except ThcliError as error:
            sys.stdout.write(f"{path.name}: left out, {error}\n")
    return found
