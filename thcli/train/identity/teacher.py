"""A known recognition network as the teacher: every picture's vector and inner maps, and its mirror image's vector, worked out once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.types import Array32, Image
from thcli.faces.identity.onnx import OnnxIdentity
from thcli.media.failures import unwritable

SIDES = (14, 7)  # of the teacher's maps that are hints (Romero et al. 2015, FitNets)
GRIDS = (8, 4)  # what they are reduced to, which our maps of 64-pixel pictures have
Maps = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Lessons:
    """vectors: (N, 2, D), of each picture and of its mirror image.  maps: of each picture, (N, C, G, G) each, in units of each channel's
    spread; none without hints. Files on the disk stand behind them: a row is read when it is asked for."""

    vectors: Array32
    maps: tuple[Maps, ...] = ()


def lessons(
    teacher: OnnxIdentity,
    kind: str,
    hints: bool,
    paths: Sequence[Path],
    read: Callable[[Path], Image],
    folder: Path,
    on: Listener,
) -> Lessons:
    """What the teacher says of every picture. Kept in folder/teacher-*.npy, so that it is asked once.

    kind: of its input.  read: path -> crop.  Raises OutputError when the folder cannot be written, WeightsError.
    """
    digest = hashlib.sha256(f"{kind} {teacher.path.stat().st_size} {teacher.path.name}".encode())
    for path in paths:
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
    stem = folder / f"teacher-{digest.hexdigest()[:16]}"
    kept = stem.with_suffix(".npy")
    try:
        if not kept.is_file():
            _save(kept, _vectors(teacher, paths, read, on))
        if not hints:
            return Lessons(np.load(kept))
        files = [stem.with_name(f"{stem.name}-{side}.npy") for side in SIDES]
        if not all(file.is_file() for file in files):
            _maps(teacher, files, paths, read, on)
        return Lessons(np.load(kept), tuple(np.load(file, mmap_mode="r") for file in files))
    except OSError as exc:
        raise unwritable(kept, exc) from exc


def _vectors(
    teacher: OnnxIdentity, paths: Sequence[Path], read: Callable[[Path], Image], on: Listener
) -> Array32:
    rows: list[Array32] = []
    with _told("teach", len(paths), on) as step:
        for path in paths:
            crop = read(path)
            rows.append(teacher.vectors([crop, np.ascontiguousarray(crop[:, ::-1])]))
            step(len(rows))
    return np.stack(rows)


def _maps(
    teacher: OnnxIdentity,
    files: Sequence[Path],
    paths: Sequence[Path],
    read: Callable[[Path], Image],
    on: Listener,
) -> None:
    """Writes the reduced maps in units of the spread that each channel has over the first pictures."""
    look = teacher.inner(SIDES)
    first = [look([read(path)])[1] for path in paths[:: max(1, len(paths) // 64)]]
    means = [
        np.concatenate([maps[i] for maps in first]).mean((0, 2, 3), keepdims=True)[0]
        for i in range(len(SIDES))
    ]
    spreads = [
        np.concatenate([maps[i] for maps in first]).std((0, 2, 3), keepdims=True)[0] + 1e-6
        for i in range(len(SIDES))
    ]
    partial = [file.with_suffix(".partial") for file in files]
    stores: list[Any] = [
        np.lib.format.open_memmap(path, "w+", np.float16, (len(paths), len(mean), grid, grid))
        for path, mean, grid in zip(partial, means, GRIDS, strict=True)
    ]
    with _told("teach more", len(paths), on) as step:
        for number, path in enumerate(paths):
            for store, mean, spread, grid, whole in zip(
                stores, means, spreads, GRIDS, look([read(path)])[1], strict=True
            ):
                store[number] = _reduced((whole[0] - mean) / spread, grid)
            step(number + 1)
    for store, path, file in zip(stores, partial, files, strict=True):
        store.flush()
        path.replace(file)


def _reduced(plane: npt.NDArray[Any], grid: int) -> Array32:
    """(C, S, S) by area to (C, grid, grid), as adaptive pooling does to ours: the means of cells that may overlap."""
    side = plane.shape[-1]
    low = [i * side // grid for i in range(grid)]
    high = [-(-(i + 1) * side // grid) for i in range(grid)]
    rows = np.stack([plane[:, a:b].mean(1) for a, b in zip(low, high, strict=True)], 1)
    return np.asarray(
        np.stack([rows[:, :, a:b].mean(2) for a, b in zip(low, high, strict=True)], 2), np.float32
    )


@contextmanager
def _told(stage: str, total: int, on: Listener) -> Iterator[Callable[[int], None]]:
    """Tells a listener of a stage; gives what tells of its steps."""
    began, done = time.perf_counter(), 0
    on(Started(stage, total, "pictures"))

    def step(count: int) -> None:
        nonlocal done
        done = count
        on(Step(stage, count))

    yield step
    on(Finished(stage, done, time.perf_counter() - began))


def _save(path: Path, rows: Array32) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, rows)
    partial.replace(path)
