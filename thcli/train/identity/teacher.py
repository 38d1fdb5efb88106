"""Outputs of a teacher recognition network for all training images, computed once and stored.

They are the vectors of each image and of its mirror image, and the feature maps of the image.
"""

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
from thcli.media.failures import to_output_error
from thcli.train.data.disk_arrays import create_arrays

SIDES = (14, 7)  # of the teacher's feature maps used as hints (Romero et al. 2015, FitNets)
GRIDS = (8, 4)  # sides that they are pooled to, those of our maps for 64-pixel images
Maps = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class TeacherOutputs:
    """Stored outputs of a teacher; maps are memory-mapped.

    vectors: (N, 2, D) of each image and of its mirror image. maps: (N, C, G, G) each, standardised
    per channel; empty without hints.
    """

    vectors: Array32
    maps: tuple[Maps, ...] = ()


def compute_teacher_outputs(
    teacher: OnnxIdentity,
    kind: str,
    hints: bool,
    paths: Sequence[Path],
    read: Callable[[Path], Image],
    folder: Path,
    on: Listener,
) -> TeacherOutputs:
    """Return the teacher's outputs for all images, from folder/teacher-*.npy or computed now.

    Args:
        teacher: The teacher network.
        kind: Kind of its input, part of the file name.
        hints: Include feature maps.
        paths: Images.
        read: path -> crop.
        folder: Dataset folder, where the outputs are stored.
        on: Listener for progress.

    Raises:
        OutputError: The folder cannot be written.
        WeightsError: The teacher has no suitable feature maps.
    """
    digest = hashlib.sha256(f"{kind} {teacher.path.stat().st_size} {teacher.path.name}".encode())
    for path in paths:
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
    stem = folder / f"teacher-{digest.hexdigest()[:16]}"
    stored = stem.with_suffix(".npy")
    try:
        if not stored.is_file():
            _save(stored, _vectors(teacher, paths, read, on))
        if not hints:
            return TeacherOutputs(np.load(stored))
        files = [stem.with_name(f"{stem.name}-{side}.npy") for side in SIDES]
        if not all(file.is_file() for file in files):
            _maps(teacher, files, paths, read, on)
        return TeacherOutputs(
            np.load(stored), tuple(np.load(file, mmap_mode="r") for file in files)
        )
    except OSError as exc:
        raise to_output_error(stored, exc) from exc


def _vectors(
    teacher: OnnxIdentity, paths: Sequence[Path], read: Callable[[Path], Image], on: Listener
) -> Array32:
    rows: list[Array32] = []
    with _report_progress("teach", len(paths), on) as step:
        for path in paths:
            crop = read(path)
            rows.append(teacher.encode_crops([crop, np.ascontiguousarray(crop[:, ::-1])]))
            step(len(rows))
    return np.stack(rows)


def _maps(
    teacher: OnnxIdentity,
    files: Sequence[Path],
    paths: Sequence[Path],
    read: Callable[[Path], Image],
    on: Listener,
) -> None:
    """Write the pooled maps, standardised per channel over a sample of about 64 images."""
    encode = teacher.with_feature_maps(SIDES)
    sample = [encode([read(path)])[1] for path in paths[:: max(1, len(paths) // 64)]]
    joined = [np.concatenate([maps[i] for maps in sample]) for i in range(len(SIDES))]
    means = [maps.mean((0, 2, 3), keepdims=True)[0] for maps in joined]
    deviations = [maps.std((0, 2, 3), keepdims=True)[0] + 1e-6 for maps in joined]
    partial = [file.with_suffix(".partial") for file in files]
    arrays: list[Any] = create_arrays(
        {
            path: ((len(paths), len(mean), grid, grid), np.float16)
            for path, mean, grid in zip(partial, means, GRIDS, strict=True)
        }
    )
    with _report_progress("teach more", len(paths), on) as step:
        for number, path in enumerate(paths):
            _, maps = encode([read(path)])
            for array, mean, deviation, grid, plane in zip(
                arrays, means, deviations, GRIDS, maps, strict=True
            ):
                array[number] = _pool_map((plane[0] - mean) / deviation, grid)
            step(number + 1)
    for array, path, file in zip(arrays, partial, files, strict=True):
        array.flush()
        path.replace(file)


def _pool_map(plane: npt.NDArray[Any], grid: int) -> Array32:
    """Pool (C, S, S) to (C, grid, grid) as adaptive average pooling does: cells may overlap."""
    side = plane.shape[-1]
    low = [i * side // grid for i in range(grid)]
    high = [-(-(i + 1) * side // grid) for i in range(grid)]
    rows = np.stack([plane[:, a:b].mean(1) for a, b in zip(low, high, strict=True)], 1)
    return np.asarray(
        np.stack([rows[:, :, a:b].mean(2) for a, b in zip(low, high, strict=True)], 2), np.float32
    )


@contextmanager
def _report_progress(stage: str, total: int, on: Listener) -> Iterator[Callable[[int], None]]:
    """Report a stage to a listener; yield the function that reports its steps."""
    start, done = time.perf_counter(), 0
    on(Started(stage, total, "pictures"))

    def step(count: int) -> None:
        nonlocal done
        done = count
        on(Step(stage, count))

    yield step
    on(Finished(stage, done, time.perf_counter() - start))


def _save(path: Path, rows: Array32) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, rows)
    partial.replace(path)
