"""On-disk storage of measured faces, so that an interrupted measurement can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Listener
from thcli.core.geometry import angles_from_matrix
from thcli.core.types import Array
from thcli.editors.atlas import layout
from thcli.motion.canonical import decompose
from thcli.train.atlas.measure import HALF, measure_face
from thcli.train.atlas.regress import MeasuredFaces
from thcli.train.data.face_tools import FaceTools
from thcli.train.data.image_tables import ImageTables, Layout

MAX_PITCH, MAX_YAW = 30.0, 32.0  # degrees; half of a face that is turned further is hidden
STAGE = "measure"

_TABLES: Layout = {
    "textures": ((layout.ROWS, HALF, 3), np.uint8),
    "weights": ((layout.ROWS, HALF), np.uint8),
    "details": ((layout.ROWS // 2, HALF // 2, 2), np.float16),
    "shapes": ((468, 3), np.float32),
    "angles": ((3,), np.float32),
}


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
    tables = ImageTables.open([path.name for path in paths], _TABLES, folder)

    def load() -> Callable[[int], bool]:
        loaded = tools()
        return lambda row: _measure_image(paths[row], row, tables.values, loaded)

    rows = tables.fill(STAGE, load, on)
    if not len(rows):
        raise MediaError(
            "None of the images shows a face near the front.", "Give portraits, as in CelebA-HQ."
        )
    faces = MeasuredFaces(
        *(tables.values[name][rows] for name in ("textures", "weights", "details", "shapes"))
    )
    return faces, tables.values["angles"][rows].astype(np.float64), rows


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
