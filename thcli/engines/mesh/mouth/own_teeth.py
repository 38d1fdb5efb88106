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
from thcli.engines.mesh.mouth.teeth import UPPER_CURVE
from thcli.engines.mesh.opening import Opening, interpolate
from thcli.engines.mesh.sampling import remap

STRETCH_RANGE = (1.7, 2.5)  # of the rows that are seen, over which drawn teeth take their place
FROM_LIPS = 0.03  # widths from the lips, within which teeth take their colour and shade
LEAST_SEEN = 0.3  # mm
SIDE_EDGE = 0.08  # widths over which they end at the corners
BELOW_TEETH = (0.3, 1.3)  # mm below their edge over which what the source shows belongs to the jaw


@dataclass(frozen=True, slots=True)
class OwnTeeth:
    """Places at which a source shows the teeth of its skull.

    lips: its opening.  edge: (2,) pixels of the middle of their edge.  axes: (3, 2) of its face,
    see `mouth_interior.face_axes`.  columns: see `SeenTeeth`.
    """

    lips: Opening
    edge: Array
    axes: Array
    columns: Array

    @property
    def height(self) -> float:
        """Mm of the middle of the row that shows below the upper lip."""
        return -self._middle_rows()[0]

    def sample(
        self, image: Image, x: Array32, y: Array32, under_lip: Array32
    ) -> tuple[Image, Array32]:
        """Sample the teeth for an opening.

        Args:
            image: (H, W, 3) uint8 source.
            x, y: (h, w) mm right of and below the middle of the teeth's edge.
            under_lip: (h, w) mm below the upper lip of the opening.

        Returns:
            Texture (h, w, 3) uint8, and a mask (h, w) float32 in 0..1 of what the source shows.
        """
        end = -UPPER_CURVE * x**2
        top, last, along = self._seen(x, end)
        bottom = np.minimum(last, end)
        shown_top = np.minimum(top, y - under_lip)
        stretch = (end - shown_top) / np.maximum(bottom - top, np.float32(LEAST_SEEN))
        at = np.minimum(bottom + (y - end) / stretch, last)
        valid = interpolate(along, self.columns)[0]
        valid *= (1 - smoothstep(*STRETCH_RANGE, stretch)) * (1 - smoothstep(*BELOW_TEETH, y - end))
        valid *= np.clip(np.minimum(along, 1 - along) / np.float32(SIDE_EDGE), 0, 1)
        return remap(image, self._pixels(x, at)), valid

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
        edge = self.edge.astype(np.float32)
        return np.stack([edge[0] + a * x + c * y, edge[1] + b * x + d * y], -1)
