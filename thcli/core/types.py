"""Values that travel between stages: frozen, with read-only arrays by convention (a stage returns a new value).

Points are (x, y) or (x, y, z) in pixels, y down, (0, 0) the *centre* of the top-left pixel. Matrices are
`dst_from_src`, 3x3 float64. Pictures on the host are (H, W, 3) RGB, uint8 or uint16 (full range of the type).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]
AnyArray = npt.NDArray[np.generic]
Stamps = npt.NDArray[np.int64]  # (T,) time stamps


@dataclass(frozen=True, slots=True)
class Frame:
    """One upright RGB picture of a stream and its place in time.

    pixels: (H, W, 3) uint8 or uint16 RGB.  pts: integer time stamp in units of time_base seconds.  index: 0, 1, 2 …
    duration: in units of time_base, 0 when the stream does not say.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    pts: int
    time_base: Fraction
    index: int
    duration: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def seconds(self) -> float:
        """For display only: never compute with it."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one picture.

    box: (4,) x0, y0, x1, y1 pixels.  score: 0..1 confidence.  keypoints: (6, 2) pixels (the eye on the picture's left,
    the other eye, nose tip, mouth centre, ear left, ear right), or None.  mesh: (468, 3) pixels, z in the same unit,
    negative towards the camera, or None.  iris: (2, 5, 2) pixels, centre first, picture's left eye (33/133) first, or None.
    logit: the mesh network's own certainty (about 15 or less is a doubtful fit).  track: a stable number within a clip, -1 outside of one.
    points: (N, 2) or (N, 3) pixels in another landmarker's layout, told by N (5, 68, 98, 106 or 203; `faces.landmarks.layouts`), or None.
    """

    box: Array32
    score: float
    keypoints: Array32 | None = None
    mesh: Array32 | None = None
    iris: Array32 | None = None
    logit: float = 0.0
    track: int = -1
    points: Array32 | None = None

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


@dataclass(frozen=True, slots=True)
class Crop:
    """Where a square (or other) crop lies in its frame. crop_from_frame: (3, 3) float64 pixels to pixels.  size: (width, height)."""

    crop_from_frame: Array
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is: a unit vector, commonly (512,) float32, and the backend that made it (vectors of two backends do not compare)."""

    vector: Array32
    backend: str


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Faces in the numbers of a 3-D model, a row each.

    model: the backend that made them (numbers of two models do not compare).  identity: (N, I), the shape at rest.  expression: (N, E).
    rotation: (N, 3) rotation vectors in radians of the head in picture axes (x right, y down, z away from the camera), zero for a face
    that looks into the camera: positive about x looks down, about y turns the nose to the picture's left, about z tilts clockwise.
    scale: (N,) pixels of the picture a unit of the model.  translation: (N, 2) pixels of the picture, where the model's origin lies.
    own: name -> (N, ...), the numbers as the model itself has them, in its own axes and for its own crop, none left out.

    | model | identity, expression | unit, origin | own |
    |---|---|---|---|
    | mesh | 24 shapes in standard deviations; `motion.model3d.EXPRESSION` | outer eye corners' distance; centre of the rigid points | - |
    | tddfa, tddfa-mb05 | 40, 10 of BFM (3DDFA_V2) | micrometre; BFM's | param (62): 3 x 4 matrix by rows, shape 40, expression 10 |
    | deep3d | 80, 64 of BFM 2009, standard deviations | decimetre; the mean face's centre | id 80, exp 64, tex 80, angle 3 (x, y, z), gamma 27, trans 3 |
    | deca | 100, 50 of FLAME, standard deviations | metre; FLAME's, turned about its root joint | shape 100, tex 50, exp 50, pose 6 (head, jaw), cam 3, light 27 |
    """

    model: str
    identity: Array32
    expression: Array32
    rotation: Array32
    scale: Array32
    translation: Array32
    own: Mapping[str, Array32] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rotation)


@dataclass(frozen=True, slots=True)
class Motion:
    """A window of a clip's motion in small numbers.

    kind: which engine family reads it ("mesh", "fomm", …).  pts: (T,) int64 in units of time_base.  valid: (T,) bool, False where
    the face was not seen.  arrays: name -> (T, ...).  constants: name -> array without a time axis, the same for every window.
    """

    kind: str
    pts: npt.NDArray[np.int64]
    time_base: Fraction
    valid: npt.NDArray[np.bool_]
    arrays: Mapping[str, AnyArray]
    constants: Mapping[str, AnyArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pts)

    def __getitem__(self, window: slice | npt.NDArray[np.intp]) -> Motion:
        return Motion(
            self.kind,
            self.pts[window],
            self.time_base,
            self.valid[window],
            {k: v[window] for k, v in self.arrays.items()},
            self.constants,
        )
