"""Values that pass between stages: frozen dataclasses.

Arrays in them are read-only by convention: a stage returns a new value. Points are (x, y) or
(x, y, z) in pixels, y down, (0, 0) the centre of the top-left pixel. Matrices are `dst_from_src`,
3x3 float64. Images on the host are (H, W, 3) RGB, uint8 or uint16 (full range of the type).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
Array32 = npt.NDArray[np.float32]
AnyArray = npt.NDArray[np.generic]
Timestamps = npt.NDArray[np.int64]  # (T,) in units of a time base


class Signal(Protocol):
    """The signal of a file's frame whose pixels are converted for networks (`media.read`)."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""

    def restore(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the signal of the frame after a change of its pixels."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An upright RGB frame of a stream with its time stamp.

    pixels: (H, W, 3) uint8 or uint16 RGB.
    pts: integer time stamp in units of time_base.
    time_base: seconds.
    index: 0, 1, 2 … in the order of decoding.
    duration: in units of time_base, 0 when the stream does not say.
    signal: of the file, where `pixels` are tone-mapped and what is written is not; else None.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    pts: int
    time_base: Fraction
    index: int
    duration: int = 0
    signal: Signal | None = None

    def to_signal(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return this frame's changed pixels as they are written: in the signal of the file."""
        return pixels if self.signal is None else self.signal.restore(pixels)

    @property
    def nbytes(self) -> int:
        """Bytes that the frame holds."""
        return self.pixels.nbytes + (0 if self.signal is None else self.signal.nbytes)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def seconds(self) -> float:
        """Time stamp in seconds, for display only: arithmetic uses pts and time_base."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face in one image.

    box: (4,) float32 x0, y0, x1, y1 in pixels.
    score: detection confidence, 0..1.
    keypoints: (6, 2) pixels, or None: the eye on the image's left, the other eye, nose tip, mouth
        centre, left ear, right ear.
    mesh: (468, 3) pixels, or None; z in the same unit, negative towards the camera.
    iris: (2, 5, 2) pixels, or None; centre first, the eye on the image's left (33/133) first.
    logit: confidence of the mesh network before the sigmoid; 15 or less is a doubtful fit.
    track: number that identifies the face within a clip, -1 outside of one.
    points: (N, 2) or (N, 3) pixels in another landmarker's layout, or None. N identifies the
        layout: 5, 68, 98, 106 or 203 (`faces.landmarks.layouts`).
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
        """Area of the box in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


@dataclass(frozen=True, slots=True)
class Crop:
    """Placement of a crop in its frame.

    crop_from_frame: (3, 3) float64, frame pixels to crop pixels.
    size: (width, height) of the crop in pixels.
    """

    crop_from_frame: Array
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity embedding.

    vector: (D,) float32 of unit length, commonly D = 512.
    backend: name of the encoder. Vectors of different backends are not comparable.
    """

    vector: Array32
    backend: str


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Parameters of a 3-D face model for N faces, one row each. All arrays are float32.

    model: name of the backend. Parameters of different models are not comparable.
    identity: (N, I), shape of the neutral face.
    expression: (N, E).
    rotation: (N, 3) rotation vectors of the head in radians, in image axes (x right, y down, z away
        from the camera). Zero is a frontal face. Positive about x looks down, about y turns the
        nose to the image's left, about z tilts clockwise.
    scale: (N,) image pixels per unit of the model.
    translation: (N, 2) image pixels, position of the model's origin.
    native: name -> (N, ...), all parameters as the model defines them, in its own axes and for its
        own crop.

    Per model: identity and expression; unit and origin; native parameters.

    mesh: 24 shapes in standard deviations, `motion.model3d.EXPRESSION_NAMES`; distance of the
        outer eye corners, centre of the rigid points; none.
    tddfa, tddfa-mb05: 40 and 10 of BFM (3DDFA_V2); micrometre, BFM's origin; param (62), a 3 x 4
        matrix by rows, shape 40, expression 10.
    deep3d: 80 and 64 of BFM 2009 in standard deviations; decimetre, centre of the mean face; id 80,
        exp 64, tex 80, angle 3 (x, y, z), gamma 27, trans 3.
    deca: 100 and 50 of FLAME in standard deviations; metre, FLAME's origin, rotated about its root
        joint; shape 100, tex 50, exp 50, pose 6 (head, jaw), cam 3, light 27.
    """

    model: str
    identity: Array32
    expression: Array32
    rotation: Array32
    scale: Array32
    translation: Array32
    native: Mapping[str, Array32] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rotation)


@dataclass(frozen=True, slots=True)
class Painted:
    """A painted crop.

    image: (S, S, 3) uint8 RGB.
    beside: (S, S) float32 0..1, where what is painted stands out beside the face, before hair or
        background; None where nothing does.
    """

    image: Image
    beside: Array32 | None = None


@dataclass(frozen=True, slots=True)
class Motion:
    """A window of T frames of a clip's motion parameters.

    kind: engine family that reads it ("mesh", "fomm", …).
    pts: (T,) int64 time stamps in units of time_base.
    time_base: seconds.
    valid: (T,) bool, False where no face was detected.
    arrays: name -> (T, ...), per-frame parameters.
    constants: name -> array without a time axis, the same for every window of the clip.
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
