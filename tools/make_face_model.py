"""Build thcli/motion/data/model3d.safetensors, the shapes of the mesh face model.

    python tools/make_face_model.py LONDON GRID thcli/motion/data

LONDON and GRID: as for tools/make_motion_data.py, whose face.safetensors must exist; the tracker's
weights must be installed. Identity: principal shapes of 93 neutral faces and their mirror images.
Expression: the sliders of `motion.sliders`, then principal shapes of the rest of 89 spoken
sentences and 93 smiles, the symmetric ones before the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from make_motion_data import ATTRIBUTION, LICENCE, Tracker, clip, mesh_of, stills, symmetric
from safetensors.numpy import save_file

from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import canonical, closure, sliders
from thcli.motion.model3d import ASYMMETRIC_NAMES, IDENTITY_COUNT, SLIDER_NAMES, SYMMETRIC_NAMES

FLIP = np.array([-1.0, 1.0, 1.0])
SMILE_WEIGHT = 30  # weight of a smile (93 of them) against a frame of speech (6700 of them)
# further symmetric and asymmetric shapes that keep expressions out of the identity; not reported
HIDDEN = (30, 10)
BROW_BLEND = 0.06  # canonical units of the transition between the left and the right brow


def main(london: Path, grid: Path, out: Path) -> None:
    """Compute and save the shapes."""
    tracker = Tracker()
    neutral = _canonical_shapes(london, tracker, "neutral")
    smiling = _canonical_shapes(london, tracker, "smiling")
    clips = sorted(grid.glob("grid_*.mp4"))
    speech = np.concatenate([_expression_of_clip(path, tracker) for path in clips])
    identities = neutral - canonical.neutral()
    mirrored = np.concatenate([identities, identities[:, topology.PAIRS] * FLIP])
    slider_shapes = _slider_shapes()
    expressions = np.concatenate([speech, np.repeat(smiling - neutral, SMILE_WEIGHT, 0)])
    residual = _remove_sliders(expressions, slider_shapes)
    symmetric_shapes = _principal(symmetric(residual), HIDDEN[0])
    asymmetric_shapes = _principal(residual - symmetric(residual), HIDDEN[1])
    parts = [
        slider_shapes,
        symmetric_shapes[: len(SYMMETRIC_NAMES)],
        asymmetric_shapes[: len(ASYMMETRIC_NAMES)],
        symmetric_shapes[len(SYMMETRIC_NAMES) :],
        asymmetric_shapes[len(ASYMMETRIC_NAMES) :],
    ]
    expression = np.concatenate(parts)
    spread = _rms_displacement(expression) / _rms_displacement(slider_shapes[:1])
    spread[: len(slider_shapes)] = 1  # a slider's own unit is its spread
    table = {
        "identity": _principal(mirrored, IDENTITY_COUNT).astype(np.float16),
        "expression": (expression / spread[:, None, None]).astype(np.float16),
        "spread": spread.astype(np.float32),
    }
    path = out / "model3d.safetensors"
    save_file(table, path, {"licence": LICENCE, "attribution": ATTRIBUTION})
    path.chmod(0o644)
    sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


def _canonical_shapes(folder: Path, tracker: Tracker, ending: str) -> Array:
    """Return the canonical shapes of the stills with that ending, (N, 468, 3)."""
    return canonical.decompose(
        np.stack([mesh_of(face) for face in stills(folder, tracker, ending)])
    ).shape


def _expression_of_clip(path: Path, tracker: Tracker) -> Array:
    """Return a clip's expression relative to its resting frames, (T, 468, 3).

    Resting frames have ordinary eye openings and a shut mouth.
    """
    motion = clip(path, tracker)
    rows = np.asarray(motion.arrays["expression"], np.float64)[motion.valid]
    shapes = canonical.neutral() + rows
    eyes = canonical.eye_openings(shapes).mean(-1)
    activity = 6 * canonical.mouth_opening(shapes) + 2 * np.abs(eyes / np.median(eyes) - 1)
    resting = np.argsort(activity, kind="stable")[: max(len(rows) // 5, 1)]
    return np.asarray(rows - rows[resting].mean(0))


def _slider_shapes() -> Array:
    """Return the displacement of the neutral mesh by each of SLIDER_NAMES at 1, (7, 468, 3)."""
    slider_table = sliders.load_slider_shapes()
    side = canonical.neutral()[:, 0] / BROW_BLEND
    halves = {"brow_left": 1 / (1 + np.exp(side)), "brow_right": 1 / (1 + np.exp(-side))}
    shapes = {name: half[:, None] * slider_table.brow for name, half in halves.items()}
    for name, openings in (("blink_left", [0.0, 1.0]), ("blink_right", [1.0, 0.0])):
        closed_eye = canonical.neutral()[None].copy()
        closure.set_lids(closed_eye, canonical.neutral(), np.array([openings]))
        shapes[name] = closed_eye[0] - canonical.neutral()
    return np.stack([shapes.get(name, getattr(slider_table, name, None)) for name in SLIDER_NAMES])


def _remove_sliders(rows: Array, sliders: Array) -> Array:
    """Return rows (N, 468, 3) less the part that the sliders explain (least squares)."""
    flat, base = rows.reshape(len(rows), -1), sliders.reshape(len(sliders), -1)
    return np.asarray((flat - flat @ np.linalg.pinv(base) @ base).reshape(rows.shape))


def _rms_displacement(shapes: Array) -> Array:
    """Return the root mean square displacement of the points by shapes (K, 468, 3), (K,)."""
    return np.asarray(np.sqrt((shapes**2).sum(-1).mean(-1)))


def _principal(rows: Array, count: int) -> Array:
    """Return `count` principal shapes of rows (N, 468, 3), scaled to their root mean square.

    The mean is not removed: the origin is the face at rest.
    """
    flat = rows.reshape(len(rows), -1)
    values, axes = np.linalg.eigh(flat.T @ flat / len(flat))
    order = np.argsort(-values)[:count]
    return np.asarray((axes[:, order] * np.sqrt(values[order])).T.reshape(count, *rows.shape[1:]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
