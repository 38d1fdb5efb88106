"""The head of a driver as a few numbers per frame: fitted to its landmarks, or from a voice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.geometry import square_crop_matrix, transform_points
from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Array32, Motion
from thcli.engines.shared.motion_rows import SmoothedMotion
from thcli.faces.model3d.bfm.fit import sample_positions
from thcli.faces.model3d.bfm.model import EXPRESSIONS
from thcli.motion import observe
from thcli.motion.canonical import neutral, unpack_pose
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.file.windows import windows

VOICE_KIND = "real3d"  # motion of the voice: expressions and blinks, without a pose
HEAD_KIND = "real3d-head"  # heads of the face model, in memory


@dataclass(frozen=True, slots=True)
class HeadState:
    """Heads of the face model.

    expression: (..., 64).  euler: (..., 3) radians.  translation: (..., 3) decimetres. All float32.
    """

    expression: Array32
    euler: Array32
    translation: Array32

    @classmethod
    def still(cls, count: int) -> HeadState:
        """Return `count` neutral heads at the model's origin."""
        shapes = (EXPRESSIONS, 3, 3)
        return cls(*(np.zeros((count, size), np.float32) for size in shapes))

    def __getitem__(self, index: int | None) -> HeadState:
        """Return one head; None adds an axis of length 1."""
        return HeadState(self.expression[index], self.euler[index], self.translation[index])


class HeadFitter(Protocol):
    """The part of `head_model.HeadModel` that reads a driver."""

    def fit_identity(self, landmarks: Array32) -> Array32: ...
    def fit_frames(self, identity: Array32, blocks: Iterable[Array32]) -> HeadState: ...


@dataclass(frozen=True, slots=True)
class FacePlace:
    """Place of a face in its square crop: centre (2,) in 0..1, size as a share of the side."""

    centre: Array
    size: float

    @classmethod
    def of(cls, landmarks: Array) -> FacePlace:
        """Measure landmarks (468, 2) in 0..1."""
        low, high = landmarks.min(0), landmarks.max(0)
        return cls((low + high) / 2, float(np.sqrt(np.prod(high - low))))


@dataclass(frozen=True, slots=True)
class HeadTrack:
    """Heads of a clip's T frames.

    stamps: motion without arrays: time stamps, and which frames show a face.  heads: of every
    frame; gaps are interpolated.  blink: (T,) closing of the eyes, 0..1.  reference: the driving
    head that corresponds to the source, with relative motion.
    """

    stamps: Motion
    heads: HeadState
    blink: Array32
    reference: HeadState

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def seconds(self) -> Array:
        """Time (T,) of each frame since the first."""
        pts = self.stamps.pts - self.stamps.pts[:1]
        return np.asarray(pts * float(self.stamps.time_base), np.float64)


def read_track(
    store: MotionStore,
    options: MotionOptions,
    source: HeadState,
    place: FacePlace,
    fitter: HeadFitter,
) -> HeadTrack:
    """Read the heads of a driving motion.

    Motion of kind "mesh" is fitted: its landmarks are seen in a square crop in which the driver's
    face stands where the source's does, because the face model has one camera. Motion of kind
    "real3d", of the voice, has expressions; the head keeps the source's pose.

    Args:
        store: motion of a clip.
        options: smoothing.
        source: the source's own head.
        place: of the source's face in its crop.
        fitter: fits the face model to landmarks.

    Returns:
        Heads whose reference is the first frame with a face (REAL3D_VIDEO section 8); of generated
        motion with a rest pose, the neutral face in that pose.

    Raises:
        MediaError: the motion is of another kind.
        NoFaceError: no frame shows a face.
    """
    if store.kind == VOICE_KIND:
        return _dense(_read_voice(store, source), 0.0, causal=False)
    if store.kind != observe.KIND:
        raise MediaError(
            f"The motion is of kind {store.kind!r}, but the engine real3d reads "
            f"{observe.KIND!r} and {VOICE_KIND!r}.",
            "Choose the engine that made it (--engine), or drive with the video itself.",
        )
    heads, rest = _fit_meshes(store, place, fitter)
    smooth = options.smooth if rest is None else 0.0  # generated motion has no noise
    return _dense(heads, smooth, causal=options.causal, reference=rest)


def _dense(
    heads: Motion, smooth: float, *, causal: bool, reference: HeadState | None = None
) -> HeadTrack:
    """Fill the gaps of fitted heads and smooth them."""
    motion = SmoothedMotion(MotionBuffer(heads), HEAD_KIND, smooth, causal=causal)
    rows = motion.rows(0, len(heads))
    state = HeadState(rows["expression"], rows["euler"], rows["translation"])
    stamps = Motion(heads.kind, heads.pts, heads.time_base, heads.valid, {})
    first = state[int(motion.seen[0])]
    return HeadTrack(stamps, state, rows["blink"], first if reference is None else reference)


def _read_voice(store: MotionStore, source: HeadState) -> Motion:
    parts = list(windows(store))
    expression = np.concatenate(
        [np.asarray(window.arrays["expression"], np.float32) for window in parts]
    )
    blinks = [
        np.asarray(window.arrays.get("blink", np.zeros(len(window))), np.float32)
        for window in parts
    ]
    arrays = {
        "expression": expression,
        "euler": np.tile(source.euler, (len(expression), 1)),
        "translation": np.tile(source.translation, (len(expression), 1)),
        "blink": np.clip(np.concatenate(blinks), 0, 1),
    }
    pts = np.concatenate([window.pts for window in parts])
    valid = np.concatenate([window.valid for window in parts])
    return Motion(HEAD_KIND, pts, parts[0].time_base, valid, arrays)


def _fit_meshes(
    store: MotionStore, place: FacePlace, fitter: HeadFitter
) -> tuple[Motion, HeadState | None]:
    """Fit the heads of a motion of kind "mesh"; the second is its rest pose, if it has one."""
    parts = [(w.pts.copy(), w.valid.copy(), _boxes(w)) for w in windows(store)]
    pts, valid, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
    first = store.window(0, 1)
    seen = np.flatnonzero(valid)
    heads, rest = HeadState.still(len(valid)), None
    if len(seen):
        unit_from_frame = _square(boxes[seen], place)
        sample = [store.window(int(i), int(i) + 1) for i in seen[sample_positions(len(seen))]]
        marks = np.concatenate([_landmarks(window, unit_from_frame) for window in sample])
        identity = fitter.fit_identity(marks)
        blocks = (_landmarks(window, unit_from_frame) for window in windows(store))
        heads = fitter.fit_frames(identity, blocks)
        if "rest" in first.constants:
            still = transform_points(unit_from_frame, _rest_mesh(first)).astype(np.float32)
            rest = fitter.fit_frames(identity, [still[None]])[0]
    arrays = {
        "expression": heads.expression,
        "euler": heads.euler,
        "translation": heads.translation,
        "blink": np.zeros(len(valid), np.float32),
    }
    return Motion(HEAD_KIND, pts, first.time_base, valid, arrays), rest


def _meshes(window: Motion) -> Array:
    """Return the driver's meshes (T, 468, 2) in pixels, NaN without a face."""
    meshes = observe.rebuild_driver_meshes(window)[..., :2]
    return np.where(window.valid[:, None, None], meshes, np.nan)


def _landmarks(window: Motion, unit_from_frame: Array) -> Array32:
    return transform_points(unit_from_frame, _meshes(window)).astype(np.float32)


def _boxes(window: Motion) -> Array:
    """Return the boxes (T, 2, 2) of the faces: lowest and highest x and y."""
    meshes = _meshes(window)
    return np.stack([meshes.min(1), meshes.max(1)], 1)


def _square(boxes: Array, place: FacePlace) -> Array:
    """Return unit_from_frame of the square in which the median face has a place.

    Args:
        boxes: (N, 2, 2) of the frames with a face.
        place: of the source's face.
    """
    size = float(np.median(np.sqrt(np.prod(boxes[:, 1] - boxes[:, 0], -1))))
    side = max(size, 1e-6) / place.size
    centre = np.median(boxes.mean(1), axis=0) - side * (place.centre - 0.5)
    unit_from_frame = square_crop_matrix(centre.tolist(), side, 0.0, 1)
    unit_from_frame[:2, 2] += 0.5  # from pixel centres to 0..1 of the side
    return unit_from_frame


def _rest_mesh(window: Motion) -> Array:
    """Return the neutral face in a motion's rest pose, (468, 2) pixels."""
    width, height = (int(side) for side in window.constants["size"])
    rest = np.asarray(window.constants["rest"], np.float64)
    return unpack_pose(rest[None], neutral()[None], (width, height)).mesh()[0, :, :2]
