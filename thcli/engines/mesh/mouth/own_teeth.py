"""Upper teeth that a source shows, drawn out to the part of them that another opening shows.

They belong to the skull. Where lips rise above what the source shows of them, or bare the end that
its lower lip hides, the rows that are seen are stretched: a tooth is much the same from its gum to
its edge. Stretched too far they are blurred, and drawn teeth take their place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.mouth.teeth import UPPER_CURVE, across_plane, light_between_lips
from thcli.engines.mesh.opening import Opening, Rims, interpolate
from thcli.engines.mesh.sampling import remap

STRETCH_RANGE = (1.7, 2.5)  # of the rows that are seen, over which drawn teeth take their place
FROM_LIPS = 0.03  # widths from the lips, within which teeth take their colour and shade
LEAST_SEEN = 0.3  # mm
SIDE_EDGE = 0.08  # widths over which they end at the corners
# Exponents of the light between lips, which fades more below the upper than above the lower one
UPPER_SHADE, LOWER_SHADE = np.float32(1.6), np.float32(0.4)
BELOW_TEETH = (0.3, 1.3)  # mm below their edge over which what the source shows belongs to the jaw


@dataclass(frozen=True, slots=True)
class OwnTeeth:
    """Places at which a source shows the teeth of its skull.

    lips: its opening.  edge: (2,) pixels of the middle of their edge.  axes: (3, 2) of its face,
    see `mouth_interior.face_axes`.  columns: see `SeenTeeth`.  gap: mm between the lips.
    natural: see `colours.natural_colour`.
    """

    lips: Opening
    edge: Array
    axes: Array
    columns: Array
    gap: float
    natural: float

    @property
    def height(self) -> float:
        """Mm of the middle of the row that shows below the upper lip."""
        return -self._middle_rows()[0]

    def sample(
        self, image: Image, at: tuple[Array32, Array32], rims: Rims, gap: float
    ) -> tuple[Array32, Array32]:
        """Sample the teeth for an opening.

        Lips that part less than in the source leave less light on them.

        Args:
            image: (H, W, 3) uint8 source.
            at: (h, w) mm right of, and below the middle of the teeth's edge.
            rims: (h, w) mm down to the upper and the lower lip of the opening.
            gap: mm between these on average.

        Returns:
            Texture (h, w, 3), 0..255, and a mask (h, w) in 0..1 of what the source shows, float32.
        """
        x, y = at
        end = -UPPER_CURVE * x**2
        top, last, along = self._seen(x, end)
        bottom = np.minimum(last, end)
        shown_top = np.minimum(top, y + rims[0])
        stretch = (end - shown_top) / np.maximum(bottom - top, np.float32(LEAST_SEEN))
        # columns that the lip hides as a whole have no height
        above = np.divide(y - end, stretch, out=np.zeros_like(stretch), where=stretch != 0)
        row = np.minimum(bottom + above, last)
        valid = interpolate(along, self.columns)[0]
        valid *= (1 - smoothstep(*STRETCH_RANGE, stretch)) * (1 - smoothstep(*BELOW_TEETH, y - end))
        valid *= np.clip(np.minimum(along, 1 - along) / np.float32(SIDE_EDGE), 0, 1)
        texture = remap(image, self._pixels(x, row)).astype(np.float32)
        if gap < self.gap:
            texture *= self._light(rims, gap)
        return texture, valid

    def _light(self, rims: Rims, gap: float) -> Array32:
        """Return the light on teeth over that in the source, (h, w, 3); arguments as `sample`."""
        light, own = (light_between_lips(mm, self.natural) for mm in (gap, self.gap))
        height = np.maximum(rims[1] - rims[0], np.float32(LEAST_SEEN))
        share = np.clip(-rims[0] / height, 0, 1)[..., None]
        exponent = UPPER_SHADE + share * (LOWER_SHADE - UPPER_SHADE)
        return np.asarray((light / own).astype(np.float32) ** exponent)

    def share(self, shown_top: float) -> float:
        """Return 0..1, how much of the middle of a row that reaches up to `shown_top` mm is own."""
        top, last = self._middle_rows()
        stretch = -min(shown_top, top) / max(min(last, 0.0) - top, LEAST_SEEN)
        return 1 - float(smoothstep(*STRETCH_RANGE, stretch))

    def _middle_rows(self) -> tuple[float, float]:
        """Return mm down to the first and last rows between the lips in the middle."""
        middle = np.zeros((1, 1), np.float32)
        top, last, _ = self._seen(middle, middle)
        return float(top[0, 0]), float(last[0, 0])

    def _seen(self, x: Array32, end: Array32) -> tuple[Array32, Array32, Array32]:
        """Return mm down to the first and last rows between the lips at x, and u there."""
        lips = self.lips
        local = lips.to_local(self._pixels(x, end)).astype(np.float32)
        u, v = local[..., 0], local[..., 1]
        upper, lower = lips.rims(u)
        per_width = np.float32(lips.width / max(float(np.hypot(*self.axes[1])), 1e-6))
        margin = np.float32(FROM_LIPS)
        top, last = (end + (rim - v) * per_width for rim in (upper + margin, lower - margin))
        return top, last, u

    def _pixels(self, x: Array32, y: Array32) -> Array32:
        (a, b), (c, d) = self.axes[:2].astype(np.float32)
        edge, across = self.edge.astype(np.float32), across_plane(x, self.axes)
        return np.stack([edge[0] + a * across + c * y, edge[1] + b * across + d * y], -1)
