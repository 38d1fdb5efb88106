"""Linear 3-D face model with 80 coefficients of identity and 64 of expression.

Axes: x to the image's right, y up, z towards the camera, in decimetres; the mean shape has its
centroid at the origin. Source: Deng et al. 2019 (CVPR workshops), "Accurate 3D Face Reconstruction
with Weakly-Supervised Learning", with the Basel Face Model 2009 (Paysan et al.) and the expressions
of Guo et al. 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import AnyArray, Array32
from thcli.weights import check_licence, load_tensors
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import Shaped

WEIGHTS = "bfm"
IDENTITIES, EXPRESSIONS = 80, 64
IDEXP_SCALE = 10.0
UNMATCHED_POINTS: Final = (93, 127, 132, 234, 323, 356, 361, 454)
"""Points of the 468-point mesh without a vertex of the model; their index is 0."""

MESH_PREFIX = "mesh."
"""Prefix of the arrays at the points of the 468-point mesh in the converted file."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FaceModel3D:
    """Linear 3-D face model of N vertices.

    Attributes:
        mean: (N, 3) float32 mean shape, centroid at the origin.
        id_base: (N, 3, 80) float32 displacement per coefficient of identity.
        exp_base: (N, 3, 64) float32 displacement per coefficient of expression.
        triangles: (F, 3) int64 vertices of each triangle.
        open_triangles: (G, 3) the same without the triangles that close the eyes.
        keypoints68: (68,) int64 vertices of the iBUG landmarks.
        mp468: (468,) int64 vertices of the mesh points, 0 for `UNMATCHED_POINTS`.
        ncc: (N, 3) float32 normalised coordinates of the mean shape, 0..1: the colours of a PNCC.
    """

    mean: Array32
    id_base: Array32
    exp_base: Array32
    triangles: Indices
    open_triangles: Indices
    keypoints68: Indices
    mp468: Indices
    ncc: Array32

    @property
    def torso_keypoints68(self) -> Indices:
        """Vertices (68,) of the landmarks that drive Real3D-Portrait's torso.

        The published program reads indices that count from 1 as if they counted from 0, so each
        landmark is the vertex after the right one. The published torso network is trained on them.
        """
        return self.keypoints68 + 1

    def vertices(self, identity: npt.ArrayLike, expression: npt.ArrayLike) -> Array32:
        """Return shapes (B, N, 3).

        Args:
            identity: (80,) or (B, 80).
            expression: (64,) or (B, 64).
        """
        return self.mean + self._displacement(slice(None), identity, expression)

    def landmarks68(
        self, identity: npt.ArrayLike, expression: npt.ArrayLike, *, torso: bool = False
    ) -> Array32:
        """Return the 68 iBUG landmarks (B, 68, 3).

        Args:
            identity: (80,) or (B, 80).
            expression: (64,) or (B, 64).
            torso: return the vertices of `torso_keypoints68` instead.
        """
        chosen = self.torso_keypoints68 if torso else self.keypoints68
        return self.mean[chosen] + self._displacement(chosen, identity, expression)

    def points468(self, identity: npt.ArrayLike, expression: npt.ArrayLike) -> Array32:
        """Return the points of the 468-point mesh (B, 468, 3).

        Those of `UNMATCHED_POINTS` have no meaning.
        """
        return self.mean[self.mp468] + self._displacement(self.mp468, identity, expression)

    def idexp_lm3d(
        self, identity: npt.ArrayLike, expression: npt.ArrayLike, *, points: Indices | None = None
    ) -> Array32:
        """Return ten times the displacement of landmarks from the mean shape, (B, K, 3).

        Args:
            identity: (80,) or (B, 80).
            expression: (64,) or (B, 64).
            points: (K,) vertices; `mp468` by default.
        """
        chosen = self.mp468 if points is None else points
        scaled = self._displacement(chosen, identity, expression) * np.float32(IDEXP_SCALE)
        return np.asarray(scaled, np.float32)

    def _displacement(
        self, chosen: Indices | slice, identity: npt.ArrayLike, expression: npt.ArrayLike
    ) -> Array32:
        """Return the displacement of vertices from the mean, (B, K, 3)."""
        id_rows = np.atleast_2d(np.asarray(identity, np.float32))
        exp_rows = np.atleast_2d(np.asarray(expression, np.float32))
        id_base, exp_base = self.id_base[chosen], self.exp_base[chosen]
        by_identity = id_rows @ id_base.reshape(-1, id_base.shape[-1]).T
        by_expression = exp_rows @ exp_base.reshape(-1, exp_base.shape[-1]).T
        moved = np.asarray(by_identity + by_expression, np.float32)
        return moved.reshape(len(moved), -1, 3)

    def arrays(self) -> dict[str, AnyArray]:
        """Return the arrays as the converted file stores them; `from_arrays` inverts it."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _SHAPES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> FaceModel3D:
        """Build the model from the arrays of the converted file.

        Raises:
            WeightsError: an array is absent, has another shape, or an index is out of range.
        """
        require_shapes({name: array for name, array in arrays.items() if name in _SHAPES})
        floats = {
            name: np.asarray(arrays[name], np.float32)
            for name in ("mean", "id_base", "exp_base", "ncc")
        }
        indices = {
            name: np.asarray(arrays[name], np.int64) for name in _SHAPES if name not in floats
        }
        model = cls(
            mean=floats["mean"],
            id_base=floats["id_base"],
            exp_base=floats["exp_base"],
            triangles=indices["triangles"],
            open_triangles=indices["open_triangles"],
            keypoints68=indices["keypoints68"],
            mp468=indices["mp468"],
            ncc=floats["ncc"],
        )
        limits = {"keypoints68": len(model.mean) - 1}  # the next vertex exists too
        for name, values in indices.items():
            limit = limits.get(name, len(model.mean))
            if values.min() < 0 or values.max() >= limit:
                raise WeightsError(f"{WEIGHTS}: {name} has an index outside 0..{limit - 1}.")
        return model


_SHAPES: Final[dict[str, tuple[int | str, ...]]] = {
    "mean": ("N", 3),
    "id_base": ("N", 3, IDENTITIES),
    "exp_base": ("N", 3, EXPRESSIONS),
    "triangles": ("F", 3),
    "open_triangles": ("G", 3),
    "keypoints68": (68,),
    "mp468": (468,),
    "ncc": ("N", 3),
}
_MESH_SHAPES: Final[dict[str, tuple[int | str, ...]]] = {
    f"{MESH_PREFIX}mean": (468, 3),
    f"{MESH_PREFIX}expression": (468, 3, EXPRESSIONS),
}
"""Array of the converted file -> its shape; a letter stands for the same number everywhere."""


def require_shapes(
    arrays: Mapping[str, Shaped], shapes: Mapping[str, tuple[int | str, ...]] = _SHAPES
) -> None:
    """Raise WeightsError unless arrays have these names and shapes, by default the model's."""
    if set(arrays) != set(shapes):
        other = ", ".join(sorted(set(arrays) ^ set(shapes))[:3])
        raise WeightsError(f"{WEIGHTS}: arrays are missing or unexpected ({other}).")
    sizes: dict[str, int] = {}
    for name, wanted in shapes.items():
        found = tuple(int(n) for n in arrays[name].shape)
        fits = len(found) == len(wanted) and all(
            n > 0 and n == (sizes.setdefault(w, n) if isinstance(w, str) else w)
            for n, w in zip(found, wanted, strict=True)
        )
        if not fits:
            raise WeightsError(
                f"{WEIGHTS}: {name} is {found} instead of ({', '.join(map(str, wanted))}) "
                f"with {', '.join(f'{k} = {v}' for k, v in sizes.items())}."
            )


def load(run: RunOptions) -> FaceModel3D:
    """Load the imported Basel Face Model.

    Raises WeightsError when it is absent (the hint says where to ask for it) or refused by
    --licence.
    """
    check_licence(WEIGHTS, run.licence)
    return FaceModel3D.from_arrays(load_tensors(WEIGHTS, "numpy", offline=run.offline))


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the arrays of the model."""
    require_shapes(checkpoint.tensors(), {**_SHAPES, **_MESH_SHAPES})
