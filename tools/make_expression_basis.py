"""Build thcli/motion/data/expression_basis.safetensors, the fixed basis of the motion codec.

    python tools/make_expression_basis.py GRID thcli/motion/data/expression_basis.safetensors

GRID: a folder of motion files that `thcli encode` made from `grid_*.mp4` (GRID audio-visual
sentence corpus, CC BY 4.0). The slider shapes of thcli/motion/data/face.safetensors count as well:
sentences have few smiles and raised brows. Principal components of the changes within a clip, with
the error at lips and lids counted most.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion.file.reader import MotionFile
from thcli.motion.sliders import load_slider_shapes

COMPONENTS = 32
LIPS, LIDS, BROWS = 8.0, 20.0, 2.0  # weights, others 1
BROW_POINTS = [46, 52, 53, 55, 63, 65, 66, 70, 105, 107, 276, 282, 283, 285, 293, 295, 296, 300]
BROW_POINTS += [334, 336]
SLIDER_COPIES = 40  # frames that each slider stands for, at strengths up to 1
ATTRIBUTION = (
    "Derived from: GRID audio-visual sentence corpus, M. Cooke, J. Barker, S. Cunningham & X. Shao "
    "(2006), doi:10.5281/zenodo.3625687; Face Research Lab London Set, L. DeBruine & B. Jones "
    "(2017), doi:10.6084/m9.figshare.5047666.v5. Both CC BY 4.0; changed: meshes were tracked, and "
    "principal components were computed."
)


def point_weights() -> Array:
    """Return the weight of each mesh point, (468,)."""
    weights = np.ones(topology.POINTS)
    weights[BROW_POINTS] = BROWS
    weights[list(topology.LIPS.upper) + list(topology.LIPS.lower)] = LIPS
    for rims in topology.LIDS:
        weights[list(rims.upper) + list(rims.lower)] = LIDS
    return weights


def clip_changes(path: Path) -> Array:
    """Return the changes from the mean of a clip's expressions, (T, 1404)."""
    motion = MotionFile(path)
    window = motion.window(0, len(motion))
    rows = np.asarray(window.arrays["expression"], np.float64)[window.valid].reshape(-1, 1404)
    return np.asarray(rows - rows.mean(0))


def slider_changes() -> Array:
    """Return slider shapes at several strengths, (S, 1404)."""
    sliders = load_slider_shapes()
    shapes = [sliders.jaw, sliders.smile, sliders.wide, sliders.brow]
    strengths = np.linspace(-1, 1, SLIDER_COPIES)
    return np.concatenate([shape.ravel() * strengths[:, None] for shape in shapes])


def main(folder: str, output: str) -> None:
    """Compute and write the basis."""
    paths = sorted(Path(folder).glob("grid_*.motion.safetensors"))
    weights = point_weights()
    root = np.sqrt(np.repeat(weights, 3))
    rows = np.concatenate([*map(clip_changes, paths), slider_changes()]) * root
    components = np.linalg.svd(rows, full_matrices=False)[2]
    # one unit of a coefficient moves the weighted points by a root mean square of 1
    scale = np.sqrt(weights.sum())
    basis = components[:COMPONENTS] / root * scale
    tensors = {"basis": basis.astype(np.float16), "weights": weights.astype(np.float32)}
    save_file(tensors, output, {"licence": "CC-BY-4.0", "attribution": ATTRIBUTION})


if __name__ == "__main__":
    main(*sys.argv[1:])
