"""Light, sharpness and open mouths of a source video, shot by shot.

All three change at a cut: the mouth of a sharp close-up is too dark and too sharp for a hazy wide
shot of the same person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Image
from thcli.engines.mesh.eyes import reading
from thcli.engines.mesh.eyes.reading import EyeReading
from thcli.engines.mesh.mouth import colours, seen_mouths
from thcli.engines.mesh.mouth.lip_rims import PARTED_GAP
from thcli.engines.mesh.mouth.seen_mouths import SeenMouth, SeenMouths
from thcli.motion.timeline import Bools, Ints

CLOSED_FRAMES = 12  # frames with closed lips whose line between the lips is measured, at least
# Shots with a look of their own: usable frames of one, at least, and how many there are, at most
LEAST_SHOT, MOST_SHOTS = 12, 8


@dataclass(frozen=True, slots=True)
class ShotLook:
    """Facts that the frames of a shot share.

    begin: time stamp of its first frame.  mouths: the person's open mouth, None when the footage
    never shows it.  seam: (3,) colour of the line between closed lips over that of the skin, None
    when they never close.  seen_eyes: medians, None where no frame shows them.  natural: 0..1,
    median of `colours.natural_colour`.  darkest: level of the darkest tone of its faces, 0..255.
    haze: median of `colours.haze_level`.
    """

    begin: int
    mouths: SeenMouths | None
    seam: Array | None
    seen_eyes: EyeReading | None
    natural: float
    darkest: float
    haze: float


class LookSamples:
    """Frames of which a look is made.

    Args:
        frames: (T,) those that may be used.
        gaps: (T,) gap / width of the lips.
        rotvecs: (T, 3) head rotation in radians.
        clear: (T,) frames that show all of the face.
        count: of the frames whose light is read, at most.
    """

    def __init__(
        self, frames: Bools, gaps: Array, rotvecs: Array, clear: Bools, count: int
    ) -> None:
        usable = np.flatnonzero(frames)
        groups = seen_mouths.choose_frames(gaps, rotvecs, clear & frames)
        self._level_of = {
            int(index): level for level, group in enumerate(groups) for index in group
        }
        step = max(1, len(usable) // CLOSED_FRAMES)
        self._closed = set(usable[gaps[usable] < PARTED_GAP][::step].tolist())
        places = np.linspace(0, len(usable) - 1, min(count, len(usable))).astype(int)
        self.sampled = set(usable[places].tolist())
        self._candidates: list[list[SeenMouth]] = [[] for _ in groups]
        self._seams: list[Array] = []
        self._readings: list[EyeReading | None] = []
        self._tones: list[tuple[float, float, float]] = []

    @property
    def wanted(self) -> set[int]:
        return set(self._level_of) | self._closed | self.sampled

    def add(self, index: int, image: Image, mesh: Array) -> None:
        if index in self.sampled:
            tone = colours.skin_tone(image, mesh)
            self._readings.append(reading.read_eyes(image, mesh, tone))
            natural = colours.natural_colour(image, mesh, tone)
            darkest = colours.darkest_level(image, mesh, tone)
            self._tones.append((natural, darkest, colours.haze_level(image, mesh, tone)))
        if index in self._closed:
            self._seams.append(seen_mouths.seam_share(image, mesh))
        level = self._level_of.get(index)
        seen = None if level is None else seen_mouths.extract(image, mesh)
        if level is not None and seen is not None:
            self._candidates[level].append(seen)

    def look(self, begin: int) -> ShotLook:
        found = [seen_mouths.sharpest(group) for group in self._candidates if group]
        natural, darkest, haze = np.median(self._tones or [(1.0, 0.0, 0.0)], 0).tolist()
        return ShotLook(
            begin,
            seen_mouths.collect(found),
            np.median(self._seams, 0) if self._seams else None,
            _median_reading(self._readings),
            natural,
            max(darkest, haze),
            haze,
        )


def own_shots(shot: Ints, usable: Bools) -> dict[int, Bools]:
    """Return the usable frames (T,) of the longest shots by their first frame.

    None for a clip of one shot: what is collected of all of it is that of its shot.
    """
    begins = np.flatnonzero(np.diff(shot, prepend=-1))
    counts = np.array([int(usable[shot == shot[begin]].sum()) for begin in begins])
    longest = np.sort(np.argsort(-counts, kind="stable")[:MOST_SHOTS])
    chosen = [int(begins[k]) for k in longest if counts[k] >= LEAST_SHOT and len(begins) > 1]
    return {begin: usable & (shot == shot[begin]) for begin in chosen}


def shot_looks(
    whole: ShotLook, shots: Mapping[int, LookSamples], shot: Ints, pts: npt.NDArray[np.int64]
) -> tuple[ShotLook, ...]:
    """Return the looks of all shots; what a shot does not show is that of the whole clip.

    Args:
        whole: look of the clip.
        shots: frames of the shots with looks of their own, by their first frame.
        shot, pts: (T,) number of each frame's shot, and its time stamp.
    """
    looks = []
    for begin in np.flatnonzero(np.diff(shot, prepend=-1)).tolist():
        look = replace(whole, begin=int(pts[begin]))
        if begin in shots:
            own = shots[begin].look(int(pts[begin]))
            mouths = own.mouths
            if mouths is None and whole.mouths is not None:
                mouths = lifted(whole.mouths, own.haze)
            look = replace(
                own,
                mouths=mouths,
                seam=whole.seam if own.seam is None else own.seam,
                seen_eyes=whole.seen_eyes if own.seen_eyes is None else own.seen_eyes,
            )
        looks.append(look)
    return tuple(looks)


def lifted(seen: SeenMouths, haze: float) -> SeenMouths:
    """Return the mouths of other shots in the light that lies over all of a face, 0..255."""
    if haze <= 0:
        return seen
    mouths = []
    for mouth in seen.mouths:
        clear = 1 - min(haze / max(float(mouth.tone.mean()), 1.0), 1.0)
        shade = haze * mouth.tone / max(float(mouth.tone.mean()), 1.0)
        image = np.clip(mouth.image * clear + shade, 0, 255).astype(np.uint8)
        mouths.append(replace(mouth, image=image, dark=mouth.dark * clear + shade))
    return SeenMouths(tuple(mouths))


def _median_reading(readings: Sequence[EyeReading | None]) -> EyeReading | None:
    """Return the medians over frames, which a blink does not change; None without any."""
    found = [astuple(one) for one in readings if one is not None]
    return EyeReading(*np.median(found, 0).tolist()) if found else None
