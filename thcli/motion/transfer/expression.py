"""Transfer of a driver's expression to the canonical shape of a source."""

from __future__ import annotations

import numpy as np

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.options import MotionOptions
from thcli.core.types import Array
from thcli.motion import brows, canonical, closure, limits, openings, smiles
from thcli.motion.canonical import PosedShape, fit_rigid_points
from thcli.motion.reference.frames import DriverReference


class ExpressionTransfer:
    """A source's shape to which a driver's change since its reference is added.

    The openings of eyes and lips follow rules of their own, see `openings` and `closure`.

    shape_ratio: scale of the source's shape over that of the reference.  mask: (468, 1) share of
    the expression that each point takes from the driver.  gain: of the expression.
    """

    def __init__(
        self,
        source: PosedShape,
        reference: DriverReference,
        options: MotionOptions,
        *,
        rules: bool,
        generated: bool,
    ) -> None:
        """Measure the source and the reference.

        Args:
            source: pose and canonical shape of the source.
            reference: the driver's reference.
            options: motion options.
            rules: False adds the plain change.
            generated: the motion is read from no picture, and the reference is its rest.
        """
        self._source, self._reference, self._rules = source.shape, reference, rules
        scale, self._source_from_reference, _ = fit_rigid_points(reference.shape, source.shape)
        self.shape_ratio = float(scale)
        self.mask = closure.region_mask(options.region)
        self.gain = options.strength * options.expression
        self._smile = smiles.smiling(source.shape)
        self._source_yaw, self._reference_yaw = (
            float(rotvec_from_matrix(one.rotation)[1]) for one in (source, reference)
        )
        self._is_read = not generated
        self._mouth_closing = (
            openings.mouth_closing_shape(source.shape) if generated else np.zeros_like(source.shape)
        )

    def align(self, shapes: Array) -> tuple[Array, Array]:
        """Return a driver's shapes (T, 468, 3) with the reference's head, and their scales (T,)."""
        scale, rotation, shift = fit_rigid_points(self._reference.shape, shapes)
        return (shapes - shift[:, None]) @ rotation / scale[:, None, None], scale

    def shapes(self, driver: Array, yaw: Array, gain: Array) -> tuple[Array, Array]:
        """Return shapes (T, 468, 3) of the source, and the share (T,) by which lips open.

        Args:
            driver: (T, 468, 3) shapes of the driver, aligned.
            yaw: (T,) radians of its head.
            gain: (T,) of the expression in each frame.
        """
        change = driver - self._reference.shape
        change = change @ self._source_from_reference.T * self.shape_ratio
        lips = np.ones(len(driver))
        if self._rules:
            change = self._natural(change, driver, yaw)
            lips = limits.mouth_share(
                self.gain * canonical.lip_gaps(change).mean(-1), self._source_yaw
            )
            change *= 1 - (1 - lips[:, None, None]) * closure.region_mask("lips")
        share = gain[:, None, None] * self.mask
        change *= share
        if self._rules:
            lips = lips * closure.limit_mouth(
                change, self._source, driver, self._reference.shape, gain, self._smile
            )
        return self._source + (change + share * self._mouth_closing), lips

    def _natural(self, change: Array, driver: Array, yaw: Array) -> Array:
        """Return a change (T, 468, 3) as far as it is one of the face, and fits the source's."""
        if self._is_read:
            change *= limits.expression_share(yaw, self._reference_yaw)[:, None, None]
        reference = self._reference.shape * self.shape_ratio
        opened = canonical.eye_openings(driver) / self._reference.usual_eyes
        change = brows.strengthen(brows.hold_over_shut_eyes(change, opened))
        change = brows.fit_room(change, self._source, reference)
        return smiles.keep(smiles.relax(change, self._source), self._source, driver)
