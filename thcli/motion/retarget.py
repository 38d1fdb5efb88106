"""From a driver's motion to a source's: pose and expression of another face, put on this one (specs/MESH.md section 3).

Relative (the default): the driving frame r that looks most like the source stands for it, and what changes since r is added to
the source. Absolute: the driver's neutral face stands for the source, so the head takes the driver's own direction, the mouth his own
opening and the eyes his own gaze; size and place stay relative (to the clip's median), for they belong to the framing.

Motion that knows its own rest (a constant `rest`: a voice's) stands for the source at rest: the head moves from the source's own pose, and
the mouth is what the motion says, not a change of the source's, so that it closes although the source smiles with its lips parted.

All work on the face itself happens in its canonical frame (see `canonical`), vectorised over a window's frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from thcli.core.errors import MediaError, NoFaceError
from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import AnyArray, Array, Face, Motion
from thcli.motion import anatomy, canonical, closure, limits, smooth
from thcli.motion.canonical import RIGID, RIGID_WEIGHTS, Posed, neutral, rigid_fit
from thcli.motion.observe import KIND
from thcli.motion.reference_frame import OPEN, measure, neutral_frames
from thcli.motion.render_target import Target
from thcli.motion.sliders import shapes
from thcli.motion.timeline import scan

TARGET_KIND = "mesh-target"
GAZE_ALONG, GAZE_ACROSS = 0.28, 0.12  # eye widths that an iris moves at most
GAZE_FURTHEST = 0.3  # and at most this far from the middle, unless it was further out in the source
MOUTH_SEEN = (0.02, 0.06)  # opening of the reference from which its share of the source's is known
WINK = (0.15, 0.35)  # difference of the eyes' openings: below noise, above a wink
EYE_AWAKE = (
    0.19  # opening of an eye from which it is not half shut (93 neutral faces: .22, deviation .024)
)
EYE_SEEN = (
    0.06,
    0.12,
)  # opening of the source's own eye: below, it says nothing of how far the eye opens
EYE_SHUT = (0.06, 0.085)  # below, it is shut, and opens as a usual eye does


@dataclass(frozen=True, slots=True)
class Anchor:
    """What stands for the source on the driver's side.

    shape: (468, 3) canonical.  rotation, log_scale, centre: the pose that the source's own pose answers to.  gaze: (2, 2).
    frame: the reference frame, -1 in absolute mode.
    """

    shape: Array
    rotation: Array
    log_scale: float
    centre: Array
    gaze: Array
    frame: int


class Retargeted:
    """A source's motion as a MotionStore of kind "mesh-target"; `targets` turns a window of it into what the mesh engine draws.

    source: a face with a mesh (and irises, else the gaze stays).  store: motion of kind "mesh".  reference: a frame to use as
    reference instead of the one found.  rules: False leaves out lid, lip and limit rules (tests of the plain algebra).
    Raises NoFaceError when the source has no mesh or the driver was never seen, MediaError for another kind of motion.
    """

    kind = TARGET_KIND

    def __init__(
        self,
        source: Face,
        store: MotionStore,
        options: MotionOptions,
        *,
        reference: int | None = None,
        rules: bool = True,
    ) -> None:
        if store.kind != KIND:
            raise MediaError(
                f"The motion is of kind {store.kind!r}, but the mesh engine needs {KIND!r}.",
                "Choose the engine that made it (--engine), or make it again: thcli track VIDEO.",
            )
        if source.mesh is None:
            raise NoFaceError("The source's face has no mesh.", "Choose another picture.")
        self._store, self._options, self._rules = store, options, rules
        self._own = canonical.decompose(source.mesh)
        self._mesh = np.asarray(source.mesh, np.float64)
        self._own_gaze = (
            shapes().gaze if source.iris is None else canonical.gaze(source.mesh, source.iris)
        )
        self._line = scan(store)
        self._size = _size(store)
        rest = store.window(0, 0).constants.get("rest")
        self._rests = (
            None if rest is None or options.mode == "absolute" else np.asarray(rest, np.float64)
        )
        amount = options.smooth if rest is None else 0.0  # what was made has no tracker's noise
        self._moved = smooth.Filled(
            self._line, smooth.smoother(store, self._line, amount, options.causal)
        )
        self._measures = measure(store, self._line, self._own, self._own_gaze)
        self._anchor = self._find_anchor(reference)
        self._prepare()

    @property
    def reference(self) -> int:
        """The driving frame that stands for the source; -1 in absolute mode."""
        return self._anchor.frame

    def __len__(self) -> int:
        return len(self._store)

    def _posed(self, start: int, stop: int) -> Posed:
        shape = neutral() + self._moved.expression(start, stop)
        return canonical.unpack(self._moved.pose[start:stop], shape, self._size)

    def _find_anchor(self, frame: int | None) -> Anchor:
        line = self._line
        if self._rests is not None:
            posed = canonical.unpack(self._rests, neutral(), self._size)
            return Anchor(
                neutral(), posed.rotation, float(posed.log_scale), posed.centre, shapes().gaze, -1
            )
        if self._options.mode == "absolute":
            best = neutral_frames(line, self._measures)
            shape = (
                np.mean([self._moved.expression(int(i), int(i) + 1)[0] for i in best], 0)
                + neutral()
            )
            pose = self._moved.pose[line.valid]
            middle = canonical.unpack(np.median(pose, 0), shape, self._size)
            # the pose in which this driver would look as the source does
            _, turn, _ = rigid_fit(shape, self._own.shape)
            return Anchor(
                shape,
                self._own.rotation @ turn,
                float(middle.log_scale),
                middle.centre,
                self._own_gaze,
                -1,
            )
        if frame is None:
            frame = (
                int(np.argmin(self._measures.unlike))
                if not self._options.causal
                else int(np.argmax(line.clear))
            )
        posed = self._posed(frame, frame + 1)
        return Anchor(
            posed.shape[0],
            posed.rotation[0],
            float(posed.log_scale[0]),
            posed.centre[0],
            self._moved.gaze[frame],
            frame,
        )

    def _prepare(self) -> None:
        """What does not change from frame to frame."""
        line, measures, anchor, own = self._line, self._measures, self._anchor, self._own
        scale, self._from_anchor, _ = rigid_fit(anchor.shape, own.shape)
        self._ratio = float(scale)  # of the canonical shapes
        self._size_ratio = float(
            np.exp(own.log_scale - anchor.log_scale) * scale
        )  # k: source pixels a driver pixel
        self._pivot = RIGID_WEIGHTS @ self._mesh[RIGID]
        self._anchor_pivot = (
            np.exp(anchor.log_scale) * (RIGID_WEIGHTS @ anchor.shape[RIGID]) @ anchor.rotation.T
            + anchor.centre
        )
        self._height = float(
            np.linalg.norm((self._mesh[anatomy.FOREHEAD] - self._mesh[anatomy.CHIN])[:2])
        )
        self._mask = closure.region_mask(self._options.region)
        self._own_eyes = canonical.eye_openings(own.shape)
        self._own_gaps = canonical.lip_gaps(own.shape)
        self._anchor_gaps = canonical.lip_gaps(anchor.shape)
        self._anchor_mouth = float(canonical.mouth_opening(anchor.shape))
        self._shut = measures.shut(line.clear)
        median = measures.eye_median(line.clear)
        # what counts as open is the reference's own opening, but not a blink's, unless the source blinks as well
        least = 0.9 * median * np.minimum(self._own_eyes.mean() / EYE_AWAKE, 1)
        awake = np.clip(canonical.eye_openings(anchor.shape), least, max(1.2 * median, least))
        self._awake = np.maximum(awake, self._shut + OPEN * 0.5)
        self._closing = (
            np.zeros_like(own.shape)
            if self._rests is None
            else _shut(float(self._own_gaps.clip(0).mean()))
        )
        region, strength = self._options.region, self._options.strength
        self._pose_gain = strength * self._options.pose if region in ("all", "pose") else 0.0
        self._face_gain = strength * self._options.expression
        self._speaks = self._face_gain > 0 and region in ("all", "expression", "lips")

    def window(self, start: int, stop: int) -> Motion:
        """Frames start..stop. Arrays: points (T, 468, 3), gaze (T, 2, 2), opening (T, 2), driver (T, 468, 3) float64 (see `Target`), weight (T,), shown (T,) bool, whether the driver's mouth may be shown."""
        start, stop = max(0, min(start, len(self))), max(0, min(stop, len(self)))
        stop = max(start, stop)
        raw = self._store.window(start, stop)
        weight = self._line.weight[start:stop]
        if start == stop:
            arrays: dict[str, AnyArray] = {
                "points": np.zeros((0, 468, 3)),
                "gaze": np.zeros((0, 2, 2)),
                "opening": np.zeros((0, 2)),
                "driver": np.zeros((0, 468, 3)),
                "weight": weight,
                "shown": self._line.clear[start:stop] & self._speaks,
            }
            return Motion(self.kind, raw.pts, raw.time_base, raw.valid, arrays, raw.constants)
        shape, opening = self._face(start, stop, weight)
        points = self._placed(shape, start, stop, weight)
        arrays = {
            "points": points,
            "gaze": self._gaze(start, stop, weight),
            "opening": opening,
            "driver": _rebuilt(raw, self._size),
            "weight": weight,
            "shown": self._line.clear[start:stop] & self._speaks,
        }
        return Motion(self.kind, raw.pts, raw.time_base, raw.valid, arrays, raw.constants)

    def _face(self, start: int, stop: int, weight: Array) -> tuple[Array, Array]:
        """The source's canonical shape with the driver's expression, (T, 468, 3), and how far its eyes open, (T, 2)."""
        own, gain = self._own.shape, self._face_gain * weight
        shape = neutral() + self._moved.expression(start, stop)
        scale, rotation, shift = rigid_fit(self._anchor.shape, shape)
        back = (shape - shift[:, None]) @ rotation / scale[:, None, None]
        change = (back - self._anchor.shape) @ self._from_anchor.T * self._ratio
        face = own + gain[:, None, None] * self._mask * (change + self._closing)
        if self._rules:
            region = self._options.region
            if region in ("all", "expression", "lips"):
                closure.set_lips(face, self._lip_gaps(back, gain))
            if region in ("all", "expression", "eyes"):
                opening, lent = self._openings(shape, gain)
                closure.set_lids(face, own, opening, lent)
        return face, _ratio_of_gaps(face, own)

    def _lip_gaps(self, shape: Array, gain: Array) -> Array:
        """(T, 9) gaps that the inner lips shall have, canonical units of the source, never negative."""
        there = canonical.lip_gaps(shape)
        if self._options.mode == "absolute" or self._rests is not None:
            return np.asarray(
                np.maximum(
                    self._own_gaps + gain[:, None] * (self._ratio * there - self._own_gaps), 0
                )
            )
        added = self._own_gaps + gain[:, None] * self._ratio * (there - self._anchor_gaps)
        # a source whose mouth is further open than the reference's closes in step with it, not by the same length
        share = np.maximum(there, 0).mean(-1) / max(
            float(np.maximum(self._anchor_gaps, 0).mean()), 1e-9
        )
        scaled = self._own_gaps * (1 + gain[:, None] * (share[:, None] - 1))
        known = float(smoothstep(*MOUTH_SEEN, self._anchor_mouth))
        closing = np.where(share[:, None] < 1, np.minimum(scaled, added), added)
        return np.asarray(np.maximum(added + known * (closing - added), 0))

    def _openings(self, shape: Array, gain: Array) -> tuple[Array, Array]:
        """(T, 2) lid gap over the source's own, and over a usual eye's where the source's own is shut."""
        eyes = canonical.eye_openings(shape)
        ratio = (eyes - self._shut) / (self._awake - self._shut)
        mean, half = ratio.mean(-1, keepdims=True), (ratio[:, :1] - ratio[:, 1:]) / 2
        half = half * smoothstep(*WINK, np.abs(half))
        both = np.concatenate([mean + half, mean - half], -1)
        awake = smoothstep(*EYE_SEEN, self._own_eyes)
        both = np.clip(both, 0, closure.WIDEST)
        opening = np.clip(1 + gain[:, None] * awake * (both - 1), 0, closure.WIDEST)
        shut = 1 - smoothstep(*EYE_SHUT, self._own_eyes)
        return np.asarray(opening), np.asarray(shut * np.clip(gain[:, None], 0, 1) * both)

    def _placed(self, shape: Array, start: int, stop: int, weight: Array) -> Array:
        """Canonical shapes of the source, moved with the driver's head, in source pixels."""
        own, anchor, gain = self._own, self._anchor, self._pose_gain * weight
        still = np.exp(own.log_scale) * shape @ own.rotation.T + own.centre
        posed = self._posed(start, stop)
        scale, rotation, _ = rigid_fit(anchor.shape, posed.shape)
        turn = rotvec_from_matrix(posed.rotation @ rotation @ anchor.rotation.T) * gain[:, None]
        zoom = (posed.log_scale + np.log(scale) - anchor.log_scale) * gain
        there = RIGID_WEIGHTS @ posed.shape[:, RIGID]
        there = (
            np.exp(posed.log_scale)[:, None] * np.einsum("tij,tj->ti", posed.rotation, there)
            + posed.centre
        )
        shift = (there - self._anchor_pivot) * (self._size_ratio * gain)[:, None]
        if self._rules:
            own_yaw = float(rotvec_from_matrix(own.rotation)[1])
            turn = limits.limit_turn(turn, own_yaw)
            zoom = limits.soft(zoom, limits.ZOOM)
            shift = limits.limit_shift(shift, self._height)
        moved = (still - self._pivot) @ np.swapaxes(matrix_from_rotvec(turn), -1, -2)
        return np.asarray(np.exp(zoom)[:, None, None] * moved + (self._pivot + shift)[:, None])

    def _gaze(self, start: int, stop: int, weight: Array) -> Array:
        """(T, 2, 2) shifts of the irises in eye widths: both eyes look together, and not through shut lids."""
        if self._options.region in ("pose", "lips"):
            return np.zeros((stop - start, 2, 2))
        change = (self._moved.gaze[start:stop] - self._anchor.gaze).mean(1, keepdims=True)
        change = np.clip(change, (-GAZE_ALONG, -GAZE_ACROSS), (GAZE_ALONG, GAZE_ACROSS))
        change = change * (np.minimum(self._face_gain, 1.5) * weight)[:, None, None]
        low = np.minimum(-GAZE_FURTHEST, self._own_gaze)
        high = np.maximum(GAZE_FURTHEST, self._own_gaze)
        return np.asarray(np.clip(self._own_gaze + change, low, high) - self._own_gaze)


def retarget(source: Face, store: MotionStore, options: MotionOptions) -> Retargeted:
    """The source's motion under the driver's; see `Retargeted`."""
    return Retargeted(source, store, options)


def targets(motion: Motion) -> Iterator[Target]:
    """The frames of a window of kind "mesh-target", one by one. There is no driver mesh where the driver's face was not seen or is covered (a hand), or where the mouth is not his."""
    a = motion.arrays
    for i in range(len(motion)):
        driver = np.asarray(a["driver"][i], np.float64) if a["shown"][i] else None
        yield Target(
            np.asarray(a["points"][i], np.float64),
            np.asarray(a["gaze"][i], np.float64),
            np.asarray(a["opening"][i], np.float64),
            driver,
            float(a["weight"][i]),
        )


def driver_meshes(motion: Motion) -> Array:
    """The driver's own meshes, (T, 468, 3) float64 in pixels of his pictures, from a window of kind "mesh" (rows of unseen frames mean nothing)."""
    return _rebuilt(motion, (int(motion.constants["size"][0]), int(motion.constants["size"][1])))


def _rebuilt(motion: Motion, size: tuple[int, int]) -> Array:
    shape = neutral() + np.asarray(motion.arrays["expression"], np.float64)
    return canonical.unpack(motion.arrays["pose"], shape, size).mesh()


def _shut(gap: float) -> Array:
    """(468, 3) what closes a jaw whose inner lips are `gap` canonical units apart."""
    jaw = shapes().jaw
    opens = canonical.lip_gaps(neutral() + jaw).mean() - canonical.lip_gaps(neutral()).mean()
    return np.asarray(-gap / opens * jaw)


def _size(store: MotionStore) -> tuple[int, int]:
    size = store.window(0, 0).constants["size"]
    return int(size[0]), int(size[1])


def _ratio_of_gaps(shape: Array, own: Array) -> Array:
    """(T, 2) mean lid gap of shapes (T, 468, 3) over that of the source's own; 1 for an eye that is nearly shut there."""
    both = []
    for columns in anatomy.LIDS:
        there = np.linalg.norm(shape[:, columns.upper] - shape[:, columns.lower], axis=-1).mean(-1)
        mine = float(np.linalg.norm(own[columns.upper] - own[columns.lower], axis=-1).mean())
        both.append(there / max(mine, 1e-3))
    return np.stack(both, -1)
