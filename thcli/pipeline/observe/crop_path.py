"""Path of a crop over a clip: filled over gaps and smoothed, on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import transform_points
from thcli.core.options import StabilizationOptions
from thcli.core.types import Array, Array32, Crop
from thcli.faces.crops.stabilize import (
    crop_from_params,
    crop_params,
    halo,
    smooth_points,
    stabilize_windows,
)
from thcli.faces.tracking.head_motion import Similarity
from thcli.pipeline.job.temp_storage import TemporaryFiles

WINDOW = 512  # frames in memory
OUTLINE_POINTS = 36  # extreme points of the face, one per 10 degrees
OUTLINE_CROP_SIZE = (512, 512)  # pixels of the crop in which outlines are smoothed
_ROW = np.dtype(
    [
        ("params", "<f8", 4),
        ("seconds", "<f8"),
        ("scene", "<i8"),
        ("step", "<f8", 4),
        ("angles", "<f8", 2),
        ("outline", "<f4", (OUTLINE_POINTS, 2)),
        ("has_outline", "?"),
    ]
)


class CropPath(TemporaryFiles):
    """Path of a crop over a clip, as crop parameters on disk. A context manager.

    Every frame is added in order, then `finish` is called. Across a gap in a scene the parameters
    are interpolated linearly. At cuts and at the ends of the clip they are held.

    Parameters are rows of `faces.crops.stabilize.crop_params`: x, y, log side, angle.
    """

    def __init__(self, upright: bool = False) -> None:
        """Open an empty path. upright: the crops do not rotate with the head."""
        super().__init__("path")
        self._upright = upright
        self._has_steps = False
        self._last: np.void | None = None  # last frame with the face
        self._gap = 0  # frames since then
        self.frames = 0

    def add(
        self,
        placement: Crop | None,
        seconds: float,
        scene: int,
        head_motion: Similarity | None = None,
        head_angles: tuple[float, float] | None = None,
        outline: Array32 | None = None,
    ) -> None:
        """Add the next frame.

        Args:
            placement: the crop, None where the face was not detected.
            seconds: time stamp.
            scene: number of the scene.
            head_motion: from the previous frame to this one, measured on the pixels of the head.
            head_angles: pitch (down) and yaw in radians.
            outline: of the face, (OUTLINE_POINTS, 2) pixels of the frame.
        """
        row = np.zeros(1, _ROW)
        row["seconds"], row["scene"] = seconds, scene
        row["step"] = np.nan
        row["angles"] = np.nan if head_angles is None else head_angles
        if placement is not None:
            params = crop_params([placement])[0]
            last = self._last
            if last is not None:  # unwrap the angle
                turns = np.round((last["params"][3] - params[3]) / (2 * np.pi))
                params[3] += 2 * np.pi * turns
                if head_motion is not None and not self._gap and last["scene"] == scene:
                    row["step"] = self._params_step(head_motion, complex(*last["params"][:2]))
                    self._has_steps = True
            row["params"] = params
            if outline is not None:
                crop_from_frame = crop_from_params(params, OUTLINE_CROP_SIZE).crop_from_frame
                row["outline"] = transform_points(crop_from_frame, outline)
                row["has_outline"] = True
            self._fill_gap(row[0])
        self._write(self.frames, row)
        self.frames += 1
        self._gap = 0 if placement is not None else self._gap + 1

    def _params_step(self, motion: Similarity, centre: complex) -> tuple[float, ...]:
        """Return the change of the parameters of a crop around `centre` that a motion makes."""
        shift = motion.a * centre + motion.b - centre
        angle = 0.0 if self._upright else float(np.angle(motion.a))
        return shift.real, shift.imag, float(np.log(abs(motion.a))), angle

    def _fill_gap(self, now: np.void) -> None:
        """Fill the parameters of the frames between the last detection and this one."""
        last = self._last
        for start in range(self.frames - self._gap, self.frames, WINDOW):
            rows = self._read(start, min(start + WINDOW, self.frames))
            if last is None:
                rows["params"] = now["params"]
            elif last["scene"] == now["scene"]:
                share = (rows["seconds"] - last["seconds"]) / (now["seconds"] - last["seconds"])
                change = now["params"] - last["params"]
                rows["params"] = last["params"] + share[:, None] * change
            else:
                in_new_scene = (rows["scene"] == now["scene"])[:, None]
                rows["params"] = np.where(in_new_scene, now["params"], last["params"])
            self._write(start, rows)
        self._last = now.copy()

    def finish(self) -> None:
        """Hold the last parameters until the end of the clip. Call once, after the last frame."""
        for start in range(self.frames - self._gap, self.frames, WINDOW):
            rows = self._read(start, min(start + WINDOW, self.frames))
            if self._last is not None:
                rows["params"] = self._last["params"]
            self._write(start, rows)

    def raw(self) -> Iterator[Array]:
        """Yield the parameters before smoothing as (T, 4) windows of WINDOW frames."""
        for start in range(0, self.frames, WINDOW):
            yield self._read(start, min(start + WINDOW, self.frames))["params"]

    def smooth(self, options: StabilizationOptions) -> Iterator[Array]:
        """Yield the smoothed parameters as (T, 4) windows of WINDOW frames."""

        def read(start: int, stop: int) -> tuple[npt.NDArray[Any], ...]:
            rows = self._read(start, stop)
            columns = rows["params"], rows["seconds"], np.ones(len(rows), bool), rows["scene"]
            if self._has_steps and options.pixels:
                return (*columns, rows["step"], rows["angles"])
            return columns

        return stabilize_windows(read, self.frames, WINDOW, options=options)

    def smooth_outlines(self, options: StabilizationOptions) -> Iterator[Array]:
        """Yield smoothed outlines as (T, OUTLINE_POINTS, 2) windows of WINDOW frames.

        They are in pixels of crops of OUTLINE_CROP_SIZE on the raw path.
        """
        reach = halo(options)
        for start in range(0, self.frames, WINDOW):
            first, stop = max(start - reach, 0), min(start + WINDOW, self.frames)
            rows = self._read(first, min(stop + reach, self.frames))
            smoothed = smooth_points(
                rows["outline"],
                rows["seconds"],
                rows["has_outline"],
                rows["scene"],
                options=options,
            )
            yield smoothed[start - first : stop - first]

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        self._file.seek(start * _ROW.itemsize)
        return np.frombuffer(self._file.read((stop - start) * _ROW.itemsize), _ROW).copy()

    def _write(self, start: int, rows: npt.NDArray[Any]) -> None:
        self._file.seek(start * _ROW.itemsize)
        self._file.write(rows.tobytes())
