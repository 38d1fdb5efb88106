"""Transfer of the pose of a driver's head to a source, whose shoulders may be carried along."""

from __future__ import annotations

import numpy as np

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.types import Array
from thcli.motion import anatomy, limits
from thcli.motion.canonical import RIGID, RIGID_WEIGHTS, PosedShape, fit_rigid_points
from thcli.motion.picture.camera import PicturePlace
from thcli.motion.reference.frames import DriverReference


class HeadTransfer:
    """Change of a driver's head since its reference, and a source's head that follows it.

    source_yaw: of the source in radians.
    """

    def __init__(
        self,
        source: PosedShape,
        mesh: Array,
        reference: DriverReference,
        shape_ratio: float,
        size: tuple[int, int] | None,
    ) -> None:
        """Measure the source and the reference.

        Args:
            source: pose and canonical shape of the source.
            mesh: (468, 3) of it in pixels.
            reference: the driver's reference.
            shape_ratio: scale of the source's shape over that of the reference.
            size: (width, height) of the source's picture; None lets the person leave it.
        """
        self._source, self._reference, self._size = source, reference, size
        self._room = None if size is None else limits.room_in_picture(mesh, size)
        self.source_yaw = float(rotvec_from_matrix(source.rotation)[1])
        # source pixels per driver pixel
        self._pixel_ratio = float(np.exp(source.log_scale - reference.log_scale) * shape_ratio)
        self._pivot = RIGID_WEIGHTS @ mesh[RIGID]
        pivot = np.exp(reference.log_scale) * (RIGID_WEIGHTS @ reference.shape[RIGID])
        self._reference_pivot = pivot @ reference.rotation.T + reference.centre
        forehead, chin = mesh[anatomy.FOREHEAD], mesh[anatomy.CHIN]
        self._height = float(np.linalg.norm((forehead - chin)[:2]))

    def picture_place(self, size: tuple[int, int], *, own_clip: bool) -> PicturePlace:
        """Return the place of the source in the driver's scene.

        Args:
            size: (width, height) of the driver's frames in pixels.
            own_clip: the source is a frame of the driver, as which its picture moves.
        """
        height = size[1]
        return PicturePlace(
            (self._reference_pivot[:2] - (np.array(size) - 1) / 2) / height,
            self._pivot[:2],
            self._pixel_ratio * height,
            self._height,
            self._room,
            None if own_clip else self._size,
        )

    def change(self, driver: PosedShape, gain: Array) -> tuple[Array, Array, Array]:
        """Return rotation vectors (T, 3), log zoom (T,) and shift (T, 3) since the reference.

        Args:
            driver: T faces.
            gain: (T,).
        """
        reference = self._reference
        scale, rotation, _ = fit_rigid_points(reference.shape, driver.shape)
        relative = (
            rotvec_from_matrix(driver.rotation @ rotation @ reference.rotation.T) * gain[:, None]
        )
        seen = rotvec_from_matrix(driver.rotation)[:, 1] * np.maximum(gain, 1)
        relative = limits.limit_overturn(relative, self.source_yaw, seen)
        zoom = (driver.log_scale + np.log(scale) - reference.log_scale) * gain
        pivot = np.einsum("tij,tj->ti", driver.rotation, RIGID_WEIGHTS @ driver.shape[:, RIGID])
        pivot = np.exp(driver.log_scale)[:, None] * pivot + driver.centre
        shift = (pivot - self._reference_pivot) * (self._pixel_ratio * gain)[:, None]
        return relative, zoom, shift

    def limit(
        self, relative: Array, zoom: Array, shift: Array, shoulders: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Limit a change as the source's picture and neck allow.

        Args:
            relative, zoom, shift: as from `change`.
            shoulders: (T, 2, 3) image_from_still, with the whole person.

        Returns:
            The change, and the shift (T, 2) beyond what a head moves on its shoulders.
        """
        relative = limits.limit_rotation(relative, self.source_yaw)
        zoom = limits.soft_limit(zoom, limits.MAX_LOG_ZOOM)
        carried = np.zeros_like(shift)
        carried[:, :2] = shoulders @ [*self._pivot[:2], 1] - self._pivot[:2]
        whole = shift - carried
        alone = limits.limit_translation(whole, self._height)
        body = limits.limit_length((whole - alone)[:, :2], limits.MAX_BODY_SHIFT * self._height)
        if self._room is not None:
            body = limits.limit_to_room(body, self._room)
        return relative, zoom, carried + alone, body

    def place(self, shape: Array, relative: Array, zoom: Array, shift: Array) -> Array:
        """Return the source's canonical shapes (T, 468, 3), moved by a change, in source pixels."""
        source = self._source
        unmoved = np.exp(source.log_scale) * shape @ source.rotation.T + source.centre
        moved = (unmoved - self._pivot) @ np.swapaxes(matrix_from_rotvec(relative), -1, -2)
        points = np.exp(zoom)[:, None, None] * moved + (self._pivot + shift)[:, None]
        return np.asarray(points)
