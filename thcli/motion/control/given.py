"""Sliders and turns of a motion of kind "mesh", for its retargeting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.expressions import SLIDERS
from thcli.core.geometry import matrix_from_angles, matrix_from_rotvec, rotvec_from_matrix
from thcli.core.protocols import MotionStore
from thcli.core.types import Array
from thcli.motion import limits
from thcli.motion.canonical import PosedShape
from thcli.motion.control.apply import gaze_shift
from thcli.motion.control.controls import TURN, array_name, slider_rows

NECK = np.array([0.0, 0.5, 0.9])  # axis of a head that turns by itself, canonical units
OPEN_JAW = 0.03  # slider from which the mouth is open by it, and no longer the driver's
OF_EYES = ("lids", "wink", "squint", "gaze-x", "gaze-y")


class GivenMotion:
    """Sliders and turns that a motion store has, see `motion.control.controls`.

    Args:
        store: motion of kind "mesh", with or without them.
    """

    def __init__(self, store: MotionStore) -> None:
        self._store = store
        names = store.window(0, 0).arrays
        self.sliders = tuple(name for name in SLIDERS if array_name(name) in names)
        self.turns = TURN in names

    @property
    def moves_eyes(self) -> bool:
        """Return whether lids or irises are moved."""
        return any(name in OF_EYES for name in self.sliders)

    def rows(self, start: int, stop: int) -> dict[str, Array]:
        """Return the sliders of frames start..stop by name, (T,) each."""
        return slider_rows(self._store.window(start, stop).arrays)

    def opens_mouth(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Return where a slider opens the mouth, (T,)."""
        if "jaw" not in self.sliders:
            return np.zeros(stop - start, bool)
        return np.asarray(self.rows(start, stop)["jaw"] > OPEN_JAW)

    def add_gaze(self, shift: Array, start: int, stop: int) -> Array:
        """Return displacements of the irises (T, 2, 2) in eye widths with those of sliders."""
        if "gaze-x" not in self.sliders and "gaze-y" not in self.sliders:
            return shift
        return np.asarray(shift + gaze_shift(self.rows(start, stop), stop - start))

    def turn_heads(
        self, rotation: Array, start: int, stop: int, source: PosedShape
    ) -> tuple[Array, Array]:
        """Turn heads about their neck, after their own rotation.

        Args:
            rotation: (T, 3) rotation vectors.
            start, stop: the frames.
            source: the source's head.

        Returns:
            Rotation vectors (T, 3), and the shift (T, 3) of the face in pixels of the source.
        """
        turn = np.asarray(self._store.window(start, stop).arrays[TURN], np.float64)
        matrix = matrix_from_angles(turn)
        own = rotvec_from_matrix(source.rotation)
        swung = matrix_from_rotvec(limits.limit_rotation(rotvec_from_matrix(matrix), own))
        neck = np.exp(source.log_scale) * source.rotation @ NECK
        turned = rotvec_from_matrix(matrix @ matrix_from_rotvec(rotation))
        return turned, np.asarray(neck - neck @ np.swapaxes(swung, -1, -2))
