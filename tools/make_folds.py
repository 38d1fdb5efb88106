"""Build thcli/motion/data/folds.safetensors, the folds and shading of a smile.

    python tools/make_folds.py LONDON thcli/motion/data/folds.safetensors [PERSONS]

LONDON: a folder of `*_neutral.jpg` and `*_smiling.jpg` pairs (Face Research Lab London Set, CC BY
4.0). PERSONS: use the first so many; all by default. The tracker's weights must be installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from make_motion_data import FLIP, LICENCE, Tracker
from safetensors.numpy import save_file

from thcli.core.types import Array, Array32
from thcli.engines.mesh import raster
from thcli.engines.mesh.raster import SampleGrid
from thcli.faces.landmarks import topology
from thcli.motion import canonical

ATTRIBUTION = (
    "Derived from: Face Research Lab London Set, L. DeBruine & B. Jones (2017), "
    "doi:10.6084/m9.figshare.5047666.v5, CC BY 4.0; changed: brightness was unwrapped along "
    "tracked points, and the differences between neutral and smiling faces averaged."
)
SIDE, MARGIN = 128, 3  # pixels of the field, and around the face
BLUR, FLOOR = 1.2, 6.0  # pixels; brightness added before the logarithm
RIDGE = 3.0  # mean smiles squared
EYE_FADE, LIP_FADE, RIM_FADE = 5, 3, 9  # pixels over which the field fades


def places() -> Array:
    """Return the pixels of the mesh points in the field, (468, 2)."""
    flat = canonical.neutral()[:, :2]
    low, high = flat.min(0), flat.max(0)
    scale = (SIDE - 1 - 2 * MARGIN) / float((high - low).max())
    return np.asarray((flat - (low + high) / 2) * scale + (SIDE - 1) / 2)


class Unwrapper:
    """Map from the field to a face, over the mesh without eyes and mouth."""

    def __init__(self) -> None:
        self._grid = SampleGrid(0, 0, 1, SIDE, SIDE)
        order = np.arange(len(topology.TRIANGLES))
        self._places = np.concatenate([places(), np.zeros((topology.POINTS, 1))], 1)
        self._ids = raster.rasterize(self._places, topology.TRIANGLES, order, self._grid)

    @property
    def skin(self) -> Array32:
        """Weight of the field, (SIDE, SIDE), 0 at eyes, lips and the face's edge."""
        inside = (self._ids >= 0).astype(np.uint8)
        oval = np.zeros_like(inside)
        cv2.fillPoly(oval, [np.rint(places()[topology.OVAL]).astype(np.int32)], (1,))
        fades = [(oval & inside, RIM_FADE)]
        for ring, width in (
            (topology.LIPS_OUTER, LIP_FADE),
            *((e, EYE_FADE) for e in topology.EYES),
        ):
            hole = np.ones_like(inside)
            cv2.fillPoly(hole, [np.rint(places()[ring]).astype(np.int32)], (0,))
            fades.append((hole, width))
        near = [cv2.distanceTransform(m, cv2.DIST_L2, 5) / width for m, width in fades]
        return np.asarray(np.clip(np.min(near, 0), 0, 1), np.float32)

    def brightness(self, image: Array, mesh: Array) -> Array32:
        """Return the log brightness of a face over the field, (SIDE, SIDE)."""
        maps = raster.linear_maps(self._places, mesh[:, :2], topology.TRIANGLES)
        positions = raster.sample_maps(self._ids, maps, self._grid)
        grey = cv2.remap(image, positions, None, cv2.INTER_LINEAR).astype(np.float32).mean(-1)
        return np.log(cv2.GaussianBlur(grey, (0, 0), BLUR) + FLOOR)


def main(london: Path, out: Path, persons: int) -> None:
    """Compute and save the field."""
    tracker, unwrap = Tracker(), Unwrapper()
    skin, changes, shapes = unwrap.skin, [], []
    neutrals = sorted(london.glob("*_neutral.jpg"))[:persons]
    if not neutrals:
        raise SystemExit(f"{london}: no *_neutral.jpg")
    for neutral in neutrals:
        pair = []
        for path in (neutral, neutral.with_name(neutral.name.replace("neutral", "smiling"))):
            read = cv2.imread(str(path))
            if read is None:
                raise SystemExit(f"{path}: missing, or no picture")
            image = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
            face = tracker.find(image)
            if face is None:
                raise SystemExit(f"no face in {path}")
            mesh = np.asarray(face.mesh, np.float64)
            pair.append((unwrap.brightness(image, mesh), canonical.decompose(mesh).shape))
        change = pair[1][0] - pair[0][0]
        changes.append(change - np.median(change[skin > 0]))
        shapes.append(pair[1][1] - pair[0][1])
    mean = np.mean(shapes, 0)
    smile = (mean + mean[topology.PAIRS] * FLIP) / 2
    amounts = np.array([(shape * smile).sum() / (smile**2).sum() for shape in shapes])
    field = np.tensordot(amounts, np.stack(changes), 1) / (amounts @ amounts + RIDGE)
    field = (field + field[:, ::-1]) / 2 * skin
    table = {
        "field": field.astype(np.float16),
        "places": places().astype(np.float32),
        "smile": smile.astype(np.float32),
    }
    save_file(table, out, {"licence": LICENCE, "attribution": ATTRIBUTION})
    out.chmod(0o644)
    sys.stdout.write(f"{len(amounts)} persons, smiles {amounts.min():.2f}..{amounts.max():.2f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10**6)
