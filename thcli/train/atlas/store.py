"""On-disk storage of measured faces, so that an interrupted measurement can be resumed."""

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
from thcli.editors.atlas import layout
from thcli.faces.backends import PARSERS
from thcli.media.failures import to_output_error
from thcli.motion.canonical import decompose
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.train.atlas.measure import HALF, measure_face
from thcli.train.atlas.regress import MeasuredFaces

MAX_PITCH, MAX_YAW = 30.0, 32.0  # degrees; half of a face that is turned further is hidden
_PENDING, _MEASURED, _REJECTED = 0, 1, 2  # states of an image
_FLUSH_INTERVAL = 100  # images between writes of the tables and states
STAGE = "measure"

_TABLES: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "textures": ((layout.ROWS, HALF, 3), np.uint8),
    "weights": ((layout.ROWS, HALF), np.uint8),
    "details": ((layout.ROWS // 2, HALF // 2, 2), np.float16),
    "shapes": ((468, 3), np.float32),
    "angles": ((3,), np.float32),
}


@dataclass(frozen=True, slots=True)
class FaceTools:
    """The tracker, and the parser that finds occlusion (None: nothing is occluded)."""

    face_finder: FaceFinder
    parser: Parser | None

    @staticmethod
    def load(run: RunOptions, hidden: bool) -> FaceTools:
        """Load the tracker, and with `hidden` the parser.

        Raises:
            WeightsError: Weights are missing.
        """
        parser = PARSERS.backend(PARSERS.resolve("auto", run)).load(run) if hidden else None
        return FaceTools(FaceFinder.load(FaceOptions(), run), parser)

    def mesh(self, image: Image) -> Array | None:
        """Return the mesh (468, 3) of the largest face, None without one."""
        found: list[Face] = self.face_finder.find(image)
        if not found:
            return None
        face = self.face_finder.refine_landmarks(image, max(found, key=lambda one: one.area))
        return None if face.mesh is None else np.asarray(face.mesh, np.float64)


def measure_faces(
    paths: Sequence[Path], folder: Path, tools: Callable[[], FaceTools], on: Listener
) -> tuple[MeasuredFaces, Array, npt.NDArray[np.int64]]:
    """Measure the images that show a face near the front.

    Args:
        paths: Images.
        folder: Storage, about 80 KB per image; images measured before are not measured again.
        tools: Loads the tracker; called only when an image is missing.
        on: Listener for progress.

    Returns:
        The faces, their angles (N, 3) in degrees, and the index of each in `paths`.

    Raises:
        MediaError: No image shows such a face, or an image cannot be read.
        OutputError: The folder cannot be written.
    """
    tables, state = _open_tables(paths, folder)
    pending = np.flatnonzero(state == _PENDING)
    if len(pending):
        start = time.monotonic()
        on(Started(STAGE, len(pending), "pictures"))
        loaded = tools()
        for done, row in enumerate(pending.tolist(), 1):
            usable = _measure_image(paths[row], row, tables, loaded)
            state[row] = _MEASURED if usable else _REJECTED
            if done % _FLUSH_INTERVAL == 0:
                _flush(tables, state, folder)
                on(Step(STAGE, done))
        _flush(tables, state, folder)
        on(Finished(STAGE, len(pending), time.monotonic() - start))
    rows = np.flatnonzero(state == _MEASURED)
    if not len(rows):
        raise MediaError(
            "None of the images shows a face near the front.", "Give portraits, as in CelebA-HQ."
        )
    faces = MeasuredFaces(
        *(tables[name][rows] for name in ("textures", "weights", "details", "shapes"))
    )
    return faces, tables["angles"][rows].astype(np.float64), rows


def _measure_image(
    path: Path, row: int, tables: dict[str, npt.NDArray[Any]], tools: FaceTools
) -> bool:
    """Measure an image into its row; return False when it shows no usable face."""
    image = media.read_image(path)
    mesh = tools.mesh(image)
    if mesh is None:
        return False
    head = decompose(mesh)
    angles = angles_from_matrix(head.rotation)
    if abs(angles[0]) > MAX_PITCH or abs(angles[1]) > MAX_YAW:
        return False
    measured = measure_face(image, mesh, tools.parser)
    tables["textures"][row] = measured.texture
    tables["weights"][row] = measured.weight
    tables["details"][row] = measured.detail
    tables["shapes"][row], tables["angles"][row] = head.shape, angles
    return True


def _open_tables(
    paths: Sequence[Path], folder: Path
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.uint8]]:
    """Open the tables and states; create them when the folder has none for these images."""
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
        raise to_output_error(folder, exc) from exc
    cv2.setNumThreads(1)
    return tables, np.asarray(np.load(state), np.uint8)


def _flush(tables: dict[str, npt.NDArray[Any]], state: npt.NDArray[np.uint8], folder: Path) -> None:
    try:
        for table in tables.values():
            getattr(table, "flush")()  # noqa: B009  # a memory map, typed as an array
        np.save(folder / "state.npy", state)
    except OSError as exc:
        raise to_output_error(folder, exc) from exc
