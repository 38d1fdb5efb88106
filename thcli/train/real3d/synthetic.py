"""Photographs for smoke runs, made from the one that scikit-image ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thcli.evaluate.datasets.sample_clip import FACE, photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.motion.canonical import neutral
from thcli.train.real3d.heads import MESH_SUFFIX

SCALE = 55.0  # pixels of a canonical unit on the photograph
LOWER = 13.0  # pixels by which the mean mesh lies below the face's middle


def write_photographs(folder: Path) -> list[Path]:
    """Write two photographs with their meshes and return their paths.

    The mean mesh lies over the face; the second photograph is the first one mirrored, with its
    colour channels permuted.
    """
    image, mesh = photograph(), neutral() * SCALE
    mesh[:, :2] += np.array([FACE[0], FACE[1] + LOWER]) - mesh[:, :2].mean(0)
    mirrored = mesh.copy()
    mirrored[:, 0] += 2 * (image.shape[1] - 1 - FACE[0]) - (image.shape[1] - 1)
    pairs = (("one", image, mesh), ("two", image[:, ::-1, (1, 2, 0)], mirrored))
    paths = []
    for name, pixels, points in pairs:
        paths.append(folder / f"{name}.png")
        save_image(paths[-1], np.ascontiguousarray(pixels))
        np.save(paths[-1].with_suffix(MESH_SUFFIX), points)
    return paths
