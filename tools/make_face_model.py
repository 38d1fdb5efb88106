"""Makes thcli/motion/data/model3d.safetensors: the shapes that the mesh face model counts identity and expression in.

    python tools/make_face_model.py LONDON GRID thcli/motion/data

LONDON and GRID: as for tools/make_motion_data.py, whose face.safetensors must be there; the tracker's weights must be pulled.
Identity: principal shapes of 93 neutral faces and their mirror images. Expression: the sliders of `motion.sliders`, then principal
shapes of what 89 spoken sentences and 93 smiles have beyond these, the symmetric ones before the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from make_motion_data import ATTRIBUTION, LICENCE, Tracker, clip, mesh_of, stills, symmetric
from safetensors.numpy import save_file

from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import canonical, closure
from thcli.motion import sliders as synth
from thcli.motion.model3d import IDENTITY, SHAPES, SIDES, SLIDERS

FLIP = np.array([-1.0, 1.0, 1.0])
SMILES = 30  # times that a smile counts as much as a frame of speech: there are 93 of them and 6,700 of these
HIDDEN = (
    30,
    10,
)  # further shapes, symmetric and not, that keep expressions out of the identity and are not reported
MIDDLE = 0.06  # canonical units in which a brow's left half gives way to its right


def main(london: Path, grid: Path, out: Path) -> None:
    tracker = Tracker()
    calm, happy = (_shapes(london, tracker, ending) for ending in ("neutral", "smiling"))
    spoken = np.concatenate([_moving(path, tracker) for path in sorted(grid.glob("grid_*.mp4"))])
    persons = calm - canonical.neutral()
    both = np.concatenate([persons, persons[:, topology.PAIRS] * FLIP])
    sliders = _sliders()
    moving = np.concatenate([spoken, np.repeat(happy - calm, SMILES, 0)])
    rest = _beyond(moving, sliders)
    even = _principal(symmetric(rest), HIDDEN[0])
    odd = _principal(rest - symmetric(rest), HIDDEN[1])
    parts = [
        sliders,
        even[: len(SHAPES)],
        odd[: len(SIDES)],
        even[len(SHAPES) :],
        odd[len(SIDES) :],
    ]
    expression = np.concatenate(parts)
    spread = _size(expression) / _size(sliders[:1])
    spread[: len(sliders)] = 1  # a slider's own unit is its spread
    table = {
        "identity": _principal(both, IDENTITY).astype(np.float16),
        "expression": (expression / spread[:, None, None]).astype(np.float16),
        "spread": spread.astype(np.float32),
    }
    path = out / "model3d.safetensors"
    save_file(table, path, {"licence": LICENCE, "attribution": ATTRIBUTION})
    path.chmod(0o644)
    sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


def _shapes(folder: Path, tracker: Tracker, ending: str) -> Array:
    return canonical.decompose(
        np.stack([mesh_of(face) for face in stills(folder, tracker, ending)])
    ).shape


def _moving(path: Path, tracker: Tracker) -> Array:
    """(T, 468, 3) a clip's expression from its own calm frames on: eyes as open as usual, mouth shut."""
    motion = clip(path, tracker)
    rows = np.asarray(motion.arrays["expression"], np.float64)[motion.valid]
    shapes = canonical.neutral() + rows
    eyes = canonical.eye_openings(shapes).mean(-1)
    unrest = 6 * canonical.mouth_opening(shapes) + 2 * np.abs(eyes / np.median(eyes) - 1)
    calm = np.argsort(unrest, kind="stable")[: max(len(rows) // 5, 1)]
    return np.asarray(rows - rows[calm].mean(0))


def _sliders() -> Array:
    """(7, 468, 3) what each of SLIDERS at 1 adds to the neutral mesh."""
    table = synth.shapes()
    side = canonical.neutral()[:, 0] / MIDDLE
    halves = {"brow_left": 1 / (1 + np.exp(side)), "brow_right": 1 / (1 + np.exp(-side))}
    shapes = {name: half[:, None] * table.brow for name, half in halves.items()}
    for name, openings in (("blink_left", [0.0, 1.0]), ("blink_right", [1.0, 0.0])):
        shut = canonical.neutral()[None].copy()
        closure.set_lids(shut, canonical.neutral(), np.array([openings]))
        shapes[name] = shut[0] - canonical.neutral()
    return np.stack([shapes[name] if name in shapes else getattr(table, name) for name in SLIDERS])


def _beyond(rows: Array, sliders: Array) -> Array:
    """Rows (N, 468, 3) without what the sliders explain, least squares."""
    flat, base = rows.reshape(len(rows), -1), sliders.reshape(len(sliders), -1)
    return np.asarray((flat - flat @ np.linalg.pinv(base) @ base).reshape(rows.shape))


def _size(shapes: Array) -> Array:
    """(K,) root mean square of how far shapes (K, 468, 3) move the points."""
    return np.asarray(np.sqrt((shapes**2).sum(-1).mean(-1)))


def _principal(rows: Array, count: int) -> Array:
    """(count, 468, 3) principal shapes of rows (N, 468, 3), a root mean square of the rows each. Their mean is not taken away: it is at rest."""
    flat = rows.reshape(len(rows), -1)
    values, axes = np.linalg.eigh(flat.T @ flat / len(flat))
    order = np.argsort(-values)[:count]
    return np.asarray((axes[:, order] * np.sqrt(values[order])).T.reshape(count, *rows.shape[1:]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
