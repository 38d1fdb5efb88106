"""A known recognition network as the teacher: every picture's vector, and its mirror image's, embedded once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.types import Array32, Image
from thcli.faces.identity.onnx import OnnxIdentity


def lessons(
    teacher: OnnxIdentity, kind: str, paths: Sequence[Path], read: Callable[[Path], Image], folder: Path, on: Listener
) -> Array32:
    """(N, 2, D): what the teacher says of each picture and of its mirror image.

    read: path -> crop.  Kept in folder/teacher-*.npy, so that this is paid for once; a folder that cannot be written pays each time.
    """
    digest = hashlib.sha256(f"{kind} {teacher.path.stat().st_size} {teacher.path.name}".encode())
    for path in paths:
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
    kept = folder / f"teacher-{digest.hexdigest()[:16]}.npy"
    if kept.is_file():
        return np.asarray(np.load(kept), np.float32)
    began = time.perf_counter()
    on(Started("teach", len(paths), "pictures"))
    rows: list[Array32] = []
    for path in paths:
        crop = read(path)
        rows.append(teacher.vectors([crop, np.ascontiguousarray(crop[:, ::-1])]))
        on(Step("teach", len(rows)))
    on(Finished("teach", len(rows), time.perf_counter() - began))
    out = np.stack(rows)
    _keep(kept, out)
    return out


def _keep(path: Path, rows: Array32) -> None:
    partial = path.with_suffix(".partial.npy")
    try:
        np.save(partial, rows)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
