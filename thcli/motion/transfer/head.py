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
    """Change of a driver's head since its reference, and a source's head that follows it."""

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
        self._turn = rotvec_from_matrix(source.rotation)
        # source pixels per driver pixel
        self._pixel_ratio = float(np.exp(source.log_scale - reference.log_scale) * shape_ratio)
        self._pivot = RIGID_WEIGHTS @ mesh[RIGID]
        flat = mesh[:, :2]
        self._sides = self._pivot[:2] - flat.min(0), flat.max(0) - self._pivot[:2]
        filled = np.inf if size is None else np.min(np.array(size) / np.add(*self._sides))
        self._filling_zoom = float(filled)
        self._reference_pivot = reference.pivot
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
        relative = limits.limit_overturn(relative, float(self._turn[1]), seen)
        zoom = (driver.log_scale + np.log(scale) - reference.log_scale) * gain
        pivot = np.einsum("tij,tj->ti", driver.rotation, RIGID_WEIGHTS @ driver.shape[:, RIGID])
        pivot = np.exp(driver.log_scale)[:, None] * pivot + driver.centre
        shift = (pivot - self._reference_pivot) * (self._pixel_ratio * gain)[:, None]
        return relative, zoom, shift

    def limit(
        self, relative: Array, zoom: Array, shift: Array, shoulders: Array, picture: Array
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Limit a change as the source's picture and neck allow.

        Args:
            relative, zoom, shift: as from `change`.
            shoulders, picture: (T, 2, 3) image_from_still, with the whole person, and of the
                picture with its camera.

        Returns:
            The change, the shoulders, and the shift (T, 2) of the person beyond what a head moves
            on them.
        """
        relative = limits.limit_rotation(relative, self._turn)
        zoom = limits.limit_zoom(zoom, self._filling_zoom)
        carried = np.zeros_like(shift)
        carried[:, :2] = shoulders @ [*self._pivot[:2], 1] - self._pivot[:2]
        whole = shift - carried
        alone = limits.limit_translation(whole, self._height)
        body = limits.limit_length((whole - alone)[:, :2], limits.MAX_BODY_SHIFT * self._height)
        moved = carried + alone
        back = self._back_into_picture(moved[:, :2] + body, zoom, picture)
        of_body = limits.opposing(back, body)
        moved[:, :2] += back - of_body
        kept = shoulders.copy()
        kept[..., 2] += limits.opposing(back - of_body, carried[:, :2])
        return relative, zoom, moved, kept, body + of_body

    def _back_into_picture(self, shift: Array, zoom: Array, picture: Array) -> Array:
        """Return shifts (T, 2) that take back by how much a face would leave its picture.

        Args:
            shift: (T, 2) of the face.
            zoom: (T,) log zoom of the face.
            picture: (T, 2, 3) image_from_still; what that moves itself is not taken back.
        """
        if self._size is None:
            return np.zeros_like(shift)
        pivot, linear = self._pivot[:2], picture[:, :, :2]
        seen = np.einsum("tij,tj->ti", linear, pivot + shift) + picture[:, :, 2] - pivot
        scale = (np.exp(zoom) * np.sqrt(np.abs(np.linalg.det(linear))))[:, None]
        grown, still = np.multiply(limits.LEAST_ROOM, self._height)
        edges = pivot, np.subtract(self._size, 1) - pivot
        room = [
            np.maximum(edge - scale * side, np.clip(still - (edge - side), grown, still))
            for edge, side in zip(edges, self._sides, strict=True)
        ]
        back = limits.limit_to_room(seen, (room[0], room[1]), limits.FREE_ROOM) - seen
        return limits.opposing(np.linalg.solve(linear, back[..., None])[..., 0], shift)

    def place(self, shape: Array, relative: Array, zoom: Array, shift: Array) -> Array:
        """Return the source's canonical shapes (T, 468, 3), moved by a change, in source pixels."""
        source = self._source
        unmoved = np.exp(source.log_scale) * shape @ source.rotation.T + source.centre
        moved = (unmoved - self._pivot) @ np.swapaxes(matrix_from_rotvec(relative), -1, -2)
        points = np.exp(zoom)[:, None, None] * moved + (self._pivot + shift)[:, None]
        return np.asarray(points)
