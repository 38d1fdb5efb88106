"""Backend atlas: a painter that changes a face's own texture and shape along learnt directions.

A place of the face changes alike in every frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image, Painted
from thcli.editors.atlas import appearance, layout, sampling, tone
from thcli.editors.atlas.directions import AtlasDirections, FaceChange, unpack_directions
from thcli.editors.atlas.mouth import smile_amount, smile_share
from thcli.editors.atlas.paint import apply_change
from thcli.editors.shared.face_mesh import mesh_of
from thcli.faces.parsing import BROWS, EYES, LIPS, NECK, SKIN, group_probability
from thcli.motion.canonical import decompose
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

NAME, FREE_NAME = "atlas-s", "atlas-free"
SIDE = 512
PAINTED = SKIN | BROWS | EYES | LIPS | NECK
OPPOSITES = {"old": ("young", -1.0), "female": ("male", -1.0)}
"""Attribute -> the attribute whose direction it reverses, and the sign."""
_SOFT = 1.5  # blur of a region's border, pixels at half the crop's resolution


class AtlasPainter:
    """Painter with directions of shape and texture on the 468 mesh points.

    It uses the parsed regions to leave hair, hands and glasses unchanged.
    """

    crop_size = SIDE
    template: Template = "ffhq"
    averaged_only = False

    def __init__(self, directions: AtlasDirections) -> None:
        self._directions = directions

    @property
    def attributes(self) -> Sequence[str]:
        """Return the names of the supported attributes."""
        known = self._directions.names
        opposites = tuple(name for name, (other, _) in OPPOSITES.items() if other in known)
        return (*known, *opposites)

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        """Measure each face: (N, APPEARANCE_SIZE); see `appearance.APPEARANCE_SIZE`.

        Args:
            crops: N crops.
            faces: one per crop, in its pixels.
            regions: (N, 19, S', S') probabilities, S' at most the crops' side.
        """
        out = np.zeros((len(crops), appearance.APPEARANCE_SIZE), np.float32)
        for n, (crop, face) in enumerate(zip(crops, faces, strict=True)):
            mesh = mesh_of(face)
            at = sampling.sample_positions(layout.extend_mesh(mesh))
            seen = np.ascontiguousarray(group_probability(regions[n], PAINTED))
            facing = layout.rasterize(layout.facing_weights(mesh)[:, None])[..., 0]
            weight = sampling.unroll_plane(seen, at, len(crop)) * facing
            texture = tone.to_log(sampling.unroll_image(crop, at))
            out[n, :-1] = appearance.measure(texture, weight)
            out[n, -1] = smile_amount(decompose(mesh).shape)
        return out

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> FaceChange:
        """Sum the directions of the attributes. Unknown attributes are ignored.

        Args:
            appearance: (APPEARANCE_SIZE,) of the clip.
            strengths: attribute -> strength.
        """
        wanted: dict[str, float] = {}
        for name, strength in strengths.items():
            own, sign = OPPOSITES.get(name, (name, 1.0))
            wanted[own] = wanted.get(own, 0.0) + sign * strength
        change = self._directions.change(wanted, np.asarray(appearance, np.float32))
        return change.with_unsmile(self.smile_seen(appearance))

    def smile_seen(self, appearance: Array32) -> float:
        """Return 0..1, how far a clip shows a smile, which smiling=-1 takes away.

        Args:
            appearance: (APPEARANCE_SIZE,) of the clip.
        """
        return smile_share(float(appearance[-1]))

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        prepared: FaceChange,
    ) -> list[Painted]:
        """Apply a change to crops.

        Args:
            crops: N crops.
            faces: one per crop, in its pixels.
            regions: (N, 19, S', S') probabilities.
            prepared: result of `prepare`.

        Raises:
            NoFaceError: for a face without a mesh.
        """
        return [
            Painted(apply_change(crop, mesh_of(face), _visibility(region, len(crop)), prepared))
            for crop, face, region in zip(crops, faces, regions, strict=True)
        ]


def _visibility(regions: Array32, size: int) -> Array32:
    """Return (S / 2, S / 2) 0..1, visibility of the painted regions with a soft inner border.

    size: S, side of the crop.
    """
    painted = group_probability(regions, PAINTED)
    small = cv2.resize(painted, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), _SOFT * size / SIDE)
    return np.clip(2 * soft - 1, 0, 1).astype(np.float32)


def load(run: RunOptions) -> AtlasPainter:
    """Load the bundled directions.

    Raises WeightsError when they are absent, not the expected ones, or refused by --licence.
    """
    return _load(NAME, run)


def load_free(run: RunOptions) -> AtlasPainter:
    """Load the directions from free recordings only: smiling.

    Raises WeightsError when they are absent or not the expected ones.
    """
    return _load(FREE_NAME, run)


def load_file(path: Path) -> AtlasPainter:
    """Load directions that `thcli train atlas` wrote. Raises WeightsError."""
    return AtlasPainter(unpack_directions(load_tensors(path, "numpy"), str(path)))


def _load(name: str, run: RunOptions) -> AtlasPainter:
    check_licence(name, run.licence)
    return AtlasPainter(unpack_directions(load_tensors(name, "numpy", offline=run.offline), name))


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a file has the arrays of the directions."""
    arrays = load_tensors(checkpoint.path, "numpy")
    unpack_directions(arrays, checkpoint.name)
