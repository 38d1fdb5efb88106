"""Pixels of a scene's first frame that later frames are aligned with: of a background or a torso.

Corners need contrast; a wall's shading has none, but as a whole it still tells a motion from rest.
Inverse compositional alignment: Baker and Matthews 2004, "Lucas-Kanade 20 Years On", sec. 3.2, with
robust weights and a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.reduced_frame import Grey

CELL = 8  # reduced pixels; of each cell the pixel of the largest gradient is taken
MIN_SAMPLES = 150  # of a region
MIN_SEEN = 80  # samples that a frame shows, or half of them
MIN_SHARE = 0.3  # of the samples that a frame shows
MIN_JUDGED = 30  # samples that no person covers, from which rest is judged
BLUR = 1.2  # standard deviation in pixels, of the reduced frame and then of one of half its size
LEVELS = (2, 1)  # reduced pixels per pixel, one after the other
ITERATIONS = 4  # at most, with each
CONVERGED = 0.05  # reduced pixels
MAX_DIFFERENCE = 12.0  # levels of 255; larger ones are what has come before the background
GOOD = 1.5  # mean difference in levels of a motion that explains a frame
SCALE = 3.0  # levels at which a difference counts a quarter
# Information of the guess about log zoom and roll (each at the rim) and shift, in level²/pixel²: of
# directions in which the background does not change the guess is kept.
PRIOR = (2.0, 2.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Level:
    """Samples of a frame reduced by one of LEVELS: levels (N,), and derivatives (N, 5).

    unit: the reduction.
    """

    unit: int
    levels: Array32
    jacobian: Array32


@dataclass(frozen=True, slots=True)
class AlignedPixels:
    """Pixels of a reduced frame: places (N,) as x + iy.

    region: (h, w) background of that frame.  middle: of the frame as x + iy.  rim: half of its long
    side.
    """

    places: npt.NDArray[np.complex64]
    region: npt.NDArray[np.bool_]
    middle: complex
    rim: float
    scales: tuple[_Level, ...]

    @staticmethod
    def of(
        grey: Grey, region: npt.NDArray[np.bool_], cell: int = CELL, least: int = MIN_SAMPLES
    ) -> AlignedPixels | None:
        """Return the pixels of a region (h, w) of a frame (h, w).

        Args:
            grey: (h, w) the frame.
            region: what of it is aligned.
            cell: see CELL.
            least: samples of a region that is not too small.

        Returns:
            The pixels, or None of a region that is too small.
        """
        height, width = grey.shape
        images = _pyramid(grey)
        fine = images[-1]
        slope = np.hypot(_slope(fine, 1, 0), _slope(fine, 0, 1))
        slope = np.where(region, slope, -1)
        slope[:2] = slope[-2:] = slope[:, :2] = slope[:, -2:] = -1
        rows, columns = height // cell, width // cell
        whole = slope[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
        cells = whole.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
        best = cells.argmax(-1)
        row, column = np.nonzero(cells.max(-1) >= 0)
        if len(row) < least:
            return None
        within = best[row, column]
        y, x = row * cell + within // cell, column * cell + within % cell
        middle, rim = complex((width - 1) / 2, (height - 1) / 2), max(height, width) / 2
        dx, dy = (x - middle.real) / rim, (y - middle.imag) / rim
        scales = []
        for unit, image in zip(LEVELS, images, strict=True):
            at = (x + 0.5) / unit - 0.5, (y + 0.5) / unit - 0.5
            gx = _sample(_slope(image, 1, 0), *at) / (8 * unit)
            gy = _sample(_slope(image, 0, 1), *at) / (8 * unit)
            jacobian = np.stack([gx * dx + gy * dy, gy * dx - gx * dy, gx, gy, np.ones_like(gx)], 1)
            levels = _sample(image, *at)
            scales.append(_Level(unit, levels, np.asarray(jacobian, np.float32)))
        places = (x + 1j * y).astype(np.complex64)
        return AlignedPixels(places, region, middle, rim, tuple(scales))

    def weakest_slope(self) -> float:
        """Return the mean square slope in the direction of the least, in levels²/pixel²."""
        slopes = self.scales[-1].jacobian[:, 2:4]
        return float(np.linalg.eigvalsh(slopes.T @ slopes / len(slopes))[0])

    def align(
        self, grey: Grey, guesses: Sequence[Similarity], noise: float
    ) -> tuple[Similarity, float, float, float] | None:
        """Return the motion that explains a frame best, from some guesses.

        Rest is judged where a person who has moved by that motion is not: a person who walks before
        a plain wall covers it, and is no camera.

        Args:
            grey: (h, w) the frame.
            guesses: where to begin; later ones are tried while no motion explains the frame.
            noise: mean difference in levels up to which the background is as it was.

        Returns:
            The motion, and the mean differences of it, of the first guess and of rest in levels of
            255; None where too little is seen, and where nothing has changed.
        """
        images = _pyramid(grey)
        if self._difference(images[-1], Similarity()) <= noise:
            return None
        best = self._descend_from(images, guesses)
        if best is None:
            return None
        rest = self._difference(images[-1], Similarity(), self._uncovered(best[0]))
        return *best, self._difference(images[-1], guesses[0]), rest

    def compare(self, grey: Grey, motion: Similarity) -> tuple[float, float]:
        """Return mean differences of a frame (h, w) at rest and after a motion, in levels of 255.

        They are judged where a person is after neither; NaN where too few samples are seen.
        """
        image = _pyramid(grey)[-1]
        rest = self._difference(image, Similarity(), self._uncovered(motion))
        return rest, self._difference(image, motion)

    def descend(self, grey: Grey, guesses: Sequence[Similarity]) -> tuple[Similarity, float] | None:
        """Return the motion that explains a frame best, and its mean difference in levels of 255.

        None where too little is seen.

        Args:
            grey: (h, w) the frame.
            guesses: see `align`.
        """
        return self._descend_from(_pyramid(grey), guesses)

    def _descend_from(
        self, images: Sequence[Array32], guesses: Sequence[Similarity]
    ) -> tuple[Similarity, float] | None:
        best: tuple[Similarity, float] | None = None
        for guess in guesses:
            motion = self._descend(images, guess)
            if motion is not None:
                cost = self._difference(images[-1], motion)
                if cost == cost and (best is None or cost < best[1]):
                    best = motion, cost
                    if cost < GOOD:
                        break
        return best

    def _uncovered(self, motion: Similarity) -> npt.NDArray[np.bool_]:
        """Find the samples (N,) whose places show background after a motion, too."""
        before = motion.inverse()
        at = before.a * self.places + before.b
        x, y = np.rint(at.real).astype(int), np.rint(at.imag).astype(int)
        height, width = self.region.shape
        known = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        shown = self.region[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        return np.asarray(known & shown)

    def _descend(self, images: Sequence[Array32], guess: Similarity) -> Similarity | None:
        motion, moved = guess, np.zeros(5)
        prior = np.array(PRIOR)
        for image, level in zip(images, self.scales, strict=True):
            for _ in range(ITERATIONS):
                seen = self._look(image, level, motion)
                if seen is None:
                    return None
                residual, jacobian = seen
                away = np.abs(residual - np.median(residual))
                weight = (1 / (1 + (away / SCALE) ** 2) ** 2)[:, None]
                matrix = jacobian.T @ (jacobian * weight) + np.diag(prior)
                pull = jacobian.T @ (residual * weight[:, 0]) + prior * moved
                step = np.linalg.solve(matrix, pull)
                moved = moved - step
                a = 1 + complex(step[0], step[1]) / self.rim
                b = complex(step[2], step[3]) + self.middle - a * self.middle
                motion = motion @ Similarity(a, b).inverse()
                if np.abs(step[:4]).max() < CONVERGED:
                    break
        return motion

    def _look(
        self,
        image: Array32,
        level: _Level,
        motion: Similarity,
        among: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[Array, Array] | None:
        """Return differences (N,) and derivatives (N, 5) of the samples that a frame shows.

        None where they are too few. among: samples (N,) to choose from.
        """
        at = np.complex64(motion.a) * self.places + np.complex64(motion.b)
        x = (at.real + 0.5) / level.unit - 0.5
        y = (at.imag + 0.5) / level.unit - 0.5
        inside = (x >= 1) & (y >= 1) & (x < image.shape[1] - 2) & (y < image.shape[0] - 2)
        least = max(min(MIN_SEEN, len(x) / 2), MIN_SHARE * len(x))
        if among is not None:
            inside, least = inside & among, MIN_JUDGED
        if inside.sum() < least:
            return None
        return _sample(image, x[inside], y[inside]) - level.levels[inside], level.jacobian[inside]

    def _difference(
        self,
        image: Array32,
        motion: Similarity,
        among: npt.NDArray[np.bool_] | None = None,
    ) -> float:
        """Return the mean difference of the samples that are seen, NaN with too few."""
        seen = self._look(image, self.scales[-1], motion, among)
        if seen is None:
            return float("nan")
        away = np.abs(seen[0] - np.median(seen[0]))
        return float(np.minimum(away, MAX_DIFFERENCE).mean())


def _pyramid(grey: Grey) -> tuple[Array32, Array32]:
    """Return a frame at LEVELS, blurred."""
    fine = cv2.GaussianBlur(grey.astype(np.float32), (7, 7), BLUR)
    size = max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2)
    coarse = cv2.GaussianBlur(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), (7, 7), BLUR)
    return np.asarray(coarse, np.float32), np.asarray(fine, np.float32)


def _sample(image: Array32, x: Array, y: Array) -> Array32:
    """Return the values (N,) of an image (h, w) at places (N,) each."""
    columns, rows = (np.asarray(v, np.float32)[:, None] for v in (x, y))
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR)[:, 0], np.float32)


def _slope(image: Array32, x: int, y: int) -> Array32:
    """Return an image's Sobel derivative, 8 times that per pixel."""
    return np.asarray(cv2.Sobel(image, cv2.CV_32F, x, y), np.float32)
