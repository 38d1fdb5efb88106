"""Measured pictures on disk: a folder's pictures, tracked, unrolled and kept, so that an interrupted training goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.geometry import angles_from_matrix
from thcli.core.options import FaceOptions, RunOptions
from thcli.core.protocols import Parser
from thcli.core.types import Array, Face, Image
from thcli.editors.atlas import layout as plan
from thcli.faces.backends import PARSERS
from thcli.media.failures import unwritable
from thcli.motion.canonical import decompose
from thcli.pipeline.sources.source_image import FaceFinder
from thcli.train.atlas.measure import HALF, measured
from thcli.train.atlas.regress import Rows

TURNED = (
    30.0,
    32.0,
)  # degrees of pitch and yaw: a face turned further teaches nothing of its hidden half
_WAITING, _KEPT, _LEFT = 0, 1, 2
_EVERY = 100  # pictures between writings of what is done
STAGE = "measure"

_TABLES: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "textures": ((plan.ROWS, HALF, 3), np.uint8),
    "weights": ((plan.ROWS, HALF), np.uint8),
    "details": ((plan.ROWS // 2, HALF // 2, 2), np.float16),
    "shapes": ((468, 3), np.float32),
    "angles": ((3,), np.float32),
}


@dataclass(frozen=True, slots=True)
class Tools:
    """What finds a face, and what says where it is hidden (None: nothing hides it)."""

    face_finder: FaceFinder
    parser: Parser | None

    @staticmethod
    def load(run: RunOptions, hidden: bool) -> Tools:
        """Raises WeightsError when one's weights are not there."""
        parser = PARSERS.backend(PARSERS.resolve("auto", run)).load(run) if hidden else None
        return Tools(FaceFinder.load(FaceOptions(), run), parser)

    def mesh(self, picture: Image) -> Array | None:
        """(468, 3) of the largest face; None without one."""
        found: list[Face] = self.face_finder.find(picture)
        if not found:
            return None
        face = self.face_finder.refined(picture, max(found, key=lambda one: one.area))
        return None if face.mesh is None else np.asarray(face.mesh, np.float64)


def gathered(
    paths: Sequence[Path], folder: Path, tools: Callable[[], Tools], on: Listener
) -> tuple[Rows, Array, npt.NDArray[np.int64]]:
    """The pictures that show a face turned little, measured: (rows, angles (N, 3) in degrees, which of `paths` each is).

    folder: where they are kept (some 80 KB each); what is there already is not measured again.  tools: only loaded when something is
    missing.  Raises MediaError when no picture shows such a face, or for one that cannot be read; OutputError.
    """
    tables, state = _opened(paths, folder)
    waiting = np.flatnonzero(state == _WAITING)
    if len(waiting):
        began = time.monotonic()
        on(Started(STAGE, len(waiting), "pictures"))
        means = tools()
        for done, number in enumerate(waiting.tolist()):
            state[number] = _KEPT if _one(paths[number], number, tables, means) else _LEFT
            if done % _EVERY == _EVERY - 1:
                _keep(tables, state, folder)
                on(Step(STAGE, done + 1))
        _keep(tables, state, folder)
        on(Finished(STAGE, len(waiting), time.monotonic() - began))
    kept = np.flatnonzero(state == _KEPT)
    if not len(kept):
        raise MediaError(
            "None of the pictures shows a face from the front.",
            "Give portraits, as CelebA-HQ's are.",
        )
    rows = Rows(*(tables[name][kept] for name in ("textures", "weights", "details", "shapes")))
    return rows, tables["angles"][kept].astype(np.float64), kept


def _one(path: Path, number: int, tables: dict[str, npt.NDArray[Any]], tools: Tools) -> bool:
    """Measures a picture; whether it is of use."""
    picture = media.read_image(path)
    mesh = tools.mesh(picture)
    if mesh is None:
        return False
    posed = decompose(mesh)
    angles = angles_from_matrix(posed.rotation)
    if abs(angles[0]) > TURNED[0] or abs(angles[1]) > TURNED[1]:
        return False
    found = measured(picture, mesh, tools.parser)
    tables["textures"][number], tables["weights"][number], tables["details"][number] = (
        found.texture,
        found.weight,
        found.detail,
    )
    tables["shapes"][number], tables["angles"][number] = posed.shape, angles
    return True


def _opened(
    paths: Sequence[Path], folder: Path
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.uint8]]:
    """The tables, made anew when the folder has other pictures' or none."""
    names = json.dumps([path.name for path in paths])
    listed, state = folder / "pictures.json", folder / "state.npy"
    known = listed.is_file() and state.is_file() and listed.read_text("utf-8") == names
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tables: dict[str, npt.NDArray[Any]] = {
            name: np.lib.format.open_memmap(
                folder / f"{name}.npy",
                mode="r+" if known else "w+",
                dtype=kind,
                shape=(len(paths), *shape),
            )
            for name, (shape, kind) in _TABLES.items()
        }
        if not known:
            np.save(state, np.zeros(len(paths), np.uint8))
            listed.write_text(names, "utf-8")
    except OSError as exc:
        raise unwritable(folder, exc) from exc
    cv2.setNumThreads(1)
    return tables, np.asarray(np.load(state), np.uint8)


def _keep(tables: dict[str, npt.NDArray[Any]], state: npt.NDArray[np.uint8], folder: Path) -> None:
    try:
        for table in tables.values():
            getattr(table, "flush")()  # noqa: B009  # a memory map's, which its type here does not know
        np.save(folder / "state.npy", state)
    except OSError as exc:
        raise unwritable(folder, exc) from exc
