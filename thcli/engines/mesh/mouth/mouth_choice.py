"""Choice of the mouth's inside, once for a clip: the driver's pixels, or drawn (`--mouth auto`).

A driver's mouth of few pixels, or in a soft video, is a blur, a source that shows its teeth has
better ones of its own, one whose mouth is wide open would stretch the driver's teeth, and a profile
squeezes them into half a mouth. A driver seen from the side shows lips in place of its teeth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Image, Motion
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth.seen_teeth import find_most_red, is_tooth
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.engines.mesh.sampling import remap
from thcli.motion import canonical
from thcli.motion.limits import PROFILE_RANGE
from thcli.motion.observe import rebuild_driver_meshes
from thcli.motion.timeline import Timeline

# Of the driver's mouth: pixels, and over the source's. Drawn teeth are sharper than small ones
LEAST_PIXELS, LEAST_WIDTH = 70.0, 0.4
MEASURED = 48  # frames of the driver whose mouth is measured, at most
MEASURED_INSIDES = 480  # the same, of those in which it may be open
# What is shown in all but this share of its open frames, from which it is an inside: fewer plain
# moments, in which the others would look better, are hardly noticed
LEAST_INSIDE, PLAIN_SHARE = 0.5, 0.25
LEAST_GAP = 0.05  # gap / width of a source whose teeth are seen
WIDE_GAP = 0.35  # gap / width from which a source's mouth is wide open: its motion is added to that
LEAST_TEETH, LEAST_SHOWN = 0.3, 0.5  # share of the pixels between its lips; and of an inside at all
LARGEST_YAW = np.radians(30.0)  # of the driver, median: beyond it half of its mouth is a lip
ACROSS = np.linspace(0.25, 0.75, 31, dtype=np.float32)
DOWN = np.linspace(0.15, 0.85, 15, dtype=np.float32)


def suits_driver_mouth(
    source: MeshSource, driving: MotionStore, timeline: Timeline, *, own_teeth: bool = False
) -> bool:
    """Tell whether the driver's mouth looks better in a source than a drawn one.

    Args:
        source: prepared source.
        driving: motion of kind "mesh".
        timeline: of that motion.
        own_teeth: the source shows the driver itself, whose teeth are its own.
    """
    lips = source.interior.lips
    if own_teeth:
        return driver_width(driving, timeline) >= LEAST_WIDTH * lips.width
    yaw = abs(float(rotvec_from_matrix(canonical.decompose(source.mesh).rotation)[1]))
    if yaw > np.mean(PROFILE_RANGE) or lips.gap > WIDE_GAP or shows_teeth(source):
        return False
    if driver_yaw(timeline) > LARGEST_YAW or not driver_shows_inside(timeline, lips.gap):
        return False
    return driver_width(driving, timeline) >= max(LEAST_WIDTH * lips.width, LEAST_PIXELS)


def driver_width(driving: MotionStore, timeline: Timeline) -> float:
    """Measure the median width of the driver's mouth in pixels of its frames; 0 if never seen."""
    seen = np.flatnonzero(timeline.unoccluded)
    if not len(seen):
        return 0.0
    windows = (driving.window(int(i), int(i) + 1) for i in _chosen(seen, MEASURED))
    meshes = (rebuild_driver_meshes(window)[0] for window in windows)
    return float(np.median([opening.fit_opening(mesh, LIPS).width for mesh in meshes]))


def driver_shows_inside(timeline: Timeline, source_gap: float) -> bool:
    """Tell whether a driver's lips part and show teeth or a dark cavity, as far as measured.

    A tongue that is stuck out, teeth without a shade, or a mouth that a filter or a soft video
    smooths, would be a plain plate. Lips that never part, stretched over the open mouth of a
    source, would be a striped one.

    Args:
        timeline: of the driver.
        source_gap: gap / width of the source's mouth.
    """
    seen = np.flatnonzero(timeline.unoccluded)
    rows = timeline.inside[_chosen(seen, MEASURED_INSIDES)]
    shown = rows[rows >= 0]
    if not len(shown):
        return bool(np.isnan(rows).all()) or source_gap < LEAST_GAP
    return float(np.quantile(shown, PLAIN_SHARE)) >= LEAST_INSIDE


def _chosen(rows: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """Return at most so many of some rows, evenly spread."""
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)])


def driver_yaw(timeline: Timeline) -> float:
    """Measure the median yaw of the driver to either side in radians; 0 if never seen."""
    yaws = np.abs(timeline.pose[timeline.unoccluded, 1])
    return float(np.median(yaws)) if len(yaws) else 0.0


def shows_teeth(source: MeshSource) -> bool:
    """Tell whether teeth are seen between the lips of a source."""
    interior = source.interior
    if interior.lips.gap < LEAST_GAP or interior.shows < LEAST_SHOWN:
        return False
    return tooth_share(source.image, interior.lips, source.tone) >= LEAST_TEETH


def tooth_share(image: Image, lips: opening.Opening, tone: Array) -> float:
    """Measure the share of the pixels between open lips that are teeth.

    Args:
        image: (H, W, 3) uint8.
        lips: their opening.
        tone: (3,) skin colour.
    """
    colours = remap(image, opening.between_rims(lips, ACROSS, DOWN)).astype(np.float64)
    return float(is_tooth(colours, tone, find_most_red(image, lips, tone)).mean())


class DrawnMouthMotion:
    """Motion of a source, a MotionStore of kind "mesh-target", whose mouth is drawn.

    Args:
        motion: that takes the driver's mouth.
    """

    def __init__(self, motion: MotionStore) -> None:
        self._motion, self.kind = motion, motion.kind

    def __len__(self) -> int:
        return len(self._motion)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the clip."""
        window = self._motion.window(start, stop)
        constants = {**window.constants, "drawn_mouth": np.array(True)}
        return replace(window, constants=constants)
