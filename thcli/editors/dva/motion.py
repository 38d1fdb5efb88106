"""Warp of a crop from its landmarks to others, by a thin-plate spline (Bookstein 1989).

What the noise map carries of a face lies at the face's own landmarks. Before other landmarks are
decoded, the crop is warped to them and inverted with them, so that the noise map follows the face.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Image

GRID = 33  # points along a side at which the spline is computed
EDGE = 8  # fixed points along a side of the crop
SMOOTHNESS = 1e-3  # bending energy is kept low rather than every landmark met exactly


def warp_to_landmarks(image: Image, landmarks: Array32, target: Array32) -> Image:
    """Warp a crop so that its landmarks come to lie at the target; its edges stay.

    Args:
        image: (S, S, 3).
        landmarks, target: (2 K,) x0, y0, x1, y1 … in shares of the side.

    Returns:
        (S, S, 3) uint8; the image itself where nothing moves.
    """
    if np.array_equal(landmarks, target):
        return image
    size = image.shape[0]
    source = fit_displacements(
        target.astype(np.float64).reshape(-1, 2), (landmarks - target).reshape(-1, 2)
    )
    pixels = np.arange(size, dtype=np.float32)
    at = (pixels + np.float32(0.5)) / np.float32(size) * (GRID - 1)
    x, y = np.meshgrid(at, at)
    moved = cv2.remap(source, x, y, cv2.INTER_LINEAR) * np.float32(size)
    moved += np.stack(np.meshgrid(pixels, pixels), -1)
    # The stub does not know that the second map may be absent.
    warped = cv2.remap(  # type: ignore[call-overload]
        image, moved, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.uint8)


def fit_displacements(points: npt.NDArray[np.float64], moves: Array32) -> Array32:
    """Return the displacements (GRID, GRID, 2) of the unit square, rows along y.

    Args:
        points: (K, 2) in shares of the side.
        moves: (K, 2) their displacements; those of the square's edges are 0.
    """
    sides = np.linspace(0, 1, EDGE)
    edge = np.array([(x, y) for x in sides for y in sides if x in (0, 1) or y in (0, 1)])
    knots = np.concatenate([points, edge])
    count = len(knots)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(knots, knots) + SMOOTHNESS * np.eye(count)
    system[:count, count:] = np.column_stack([np.ones(count), knots])
    system[count:, :count] = system[:count, count:].T
    values = np.zeros((count + 3, 2))
    values[: len(points)] = moves
    weights = np.linalg.solve(system, values)
    axis = np.linspace(0, 1, GRID)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    terms = np.column_stack([_kernel(grid, knots), np.ones(len(grid)), grid])
    return np.asarray((terms @ weights).reshape(GRID, GRID, 2), np.float32)


def _kernel(
    rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    squares = ((rows[:, None] - columns[None]) ** 2).sum(-1)
    return np.asarray(squares * np.log(np.maximum(squares, 1e-12)))
