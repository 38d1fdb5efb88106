"""Retargeting of pose and expression from a driver to a source.

Relative mode (the default): the driving frame that looks most like the source is the reference. The
changes since the reference are added to the source. The turns of the head are those since another
frame, if that looks in the source's direction and the reference elsewhere.

Absolute mode: the driver's neutral face is the reference. The head takes the driver's direction,
the mouth the driver's opening and the eyes the driver's gaze. Size and position stay relative to
the clip's median, because they depend on the framing.

Motion with a constant `rest` (that of a voice) has the rest pose as its reference. The head moves
from the source's own pose. The mouth opening is that of the motion, so that the mouth closes even
if the lips of the source are parted.

Shapes are processed in the canonical frame (see `canonical`), vectorised over a window's frames.
"""

from __future__ import annotations

import numpy as np

from thcli.core.errors import MediaError, NoFaceError, UsageError
from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import AnyArray, Array, Face, Motion
from thcli.motion import canonical, closure, limits, openings, smooth
from thcli.motion.canonical import PosedShape, neutral
from thcli.motion.control import apply
from thcli.motion.control.given import GivenMotion
from thcli.motion.observe import KIND, rebuild_driver_meshes
from thcli.motion.picture import camera
from thcli.motion.picture.torso import PictureMotion
from thcli.motion.reference.frames import measure_frames
from thcli.motion.reference.lids import FastLids
from thcli.motion.reference.search import ReferenceSearch
from thcli.motion.sliders import load_slider_shapes
from thcli.motion.timeline import Timeline, read_timeline
from thcli.motion.transfer.expression import ExpressionTransfer
from thcli.motion.transfer.head import HeadTransfer

TARGET_KIND = "mesh-target"


class RetargetedMotion:
    """Motion of a source as a MotionStore of kind "mesh-target".

    `iterate_render_targets` turns a window of it into the mesh engine's input.

    Args:
        source: face with a mesh (without irises the gaze is that into the camera).
        store: motion of kind "mesh".
        options: motion options.
        reference: frame to use as the reference instead of the one that is found.
        rules: False leaves out the rules of lids, lips and limits (for tests of the algebra).
        size: (width, height) of the source's picture; None lets the person leave it.
        shoulders: whether the source's can follow the driver's torso.

    Raises:
        NoFaceError: the source has no mesh, or the driver was never detected.
        MediaError: the motion is of another kind.
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
        size: tuple[int, int] | None = None,
        shoulders: bool = True,
    ) -> None:
        if store.kind != KIND:
            raise MediaError(
                f"The motion is of kind {store.kind!r}, but the mesh engine needs {KIND!r}.",
                "Choose the engine that wrote it (--engine), or encode the video again.",
            )
        if source.mesh is None:
            raise NoFaceError("The source's face has no mesh.", "Choose another source image.")
        self._store, self._options, self._rules = store, options, rules
        self._source_size, self._shoulders = size, shoulders
        self._source = canonical.decompose(source.mesh)
        self._source_mesh = np.asarray(source.mesh, np.float64)
        self._source_gaze = (
            load_slider_shapes().gaze
            if source.iris is None
            else canonical.gaze(source.mesh, source.iris)
        )
        self._timeline = read_timeline(store, drives=True)
        constants = store.window(0, 0).constants
        self._size = int(constants["size"][0]), int(constants["size"][1])
        rest = constants.get("rest")
        self._rest_pose = (
            None if rest is None or options.mode == "absolute" else np.asarray(rest, np.float64)
        )
        smoothing = options.smooth if rest is None else 0.0  # synthetic motion has no noise
        if rest is not None and options.smooth not in (0, MotionOptions().smooth):
            raise UsageError(
                "--smooth has no effect on generated motion, which has no noise.", "Leave it out."
            )
        self._controls = GivenMotion(store)
        self._driver = smooth.GapFilledMotion(
            self._timeline, smooth.create_filter(store, self._timeline, smoothing, options.causal)
        )
        self._measurements = measure_frames(store, self._timeline, self._source, self._source_gaze)
        self._same = self._measurements.find_same()
        self._lids = FastLids(
            self._measurements.eyes, self._timeline, options.smooth, causal=options.causal
        )
        self._reference = ReferenceSearch(
            self._timeline,
            store,
            self._driver,
            self._measurements,
            self._lids,
            self._size,
            self._source,
            self._same,
        ).find(options, self._source_gaze, self._rest_pose, reference)
        self._prepare_constants()

    @property
    def reference(self) -> int:
        """Return the reference frame; -1 in absolute mode and for motion with a rest pose."""
        return self._reference.frame

    @property
    def is_own_clip(self) -> bool:
        """Return whether the source is a frame of the driving clip, of all its frames.

        The choice of the mouth reads the whole clip, with --causal too.
        """
        return self._same is not None

    @property
    def shows_driver(self) -> bool:
        """Return whether the source seems to be the driver itself, as frames of its clip do."""
        return self._measurements.shows_source

    def __len__(self) -> int:
        return len(self._store)

    @property
    def timeline(self) -> Timeline:
        """Return the scalars of the driving clip."""
        return self._timeline

    @property
    def controls(self) -> GivenMotion:
        """Return the sliders and turns that the motion gives."""
        return self._controls

    @property
    def region_gain(self) -> Array:
        """Return the share of the expression that each point takes from the driver, (468, 1)."""
        return np.asarray(self._expression.gain * self._expression.mask)

    @property
    def pose_gain(self) -> float:
        """Return the gain of the head pose, 0 when the region leaves it alone."""
        return self._pose_gain

    def shapes(self, start: int, stop: int) -> Array:
        """Return the source's canonical shapes with the driver's expression, (T, 468, 3)."""
        return self._retarget_shape(start, stop, self._timeline.weight[start:stop])[0]

    def gaze_shift(self, start: int, stop: int) -> Array:
        """Return the displacement of the irises in eye widths, (T, 2, 2)."""
        shift = self._gaze_shift(start, stop, self._timeline.weight[start:stop])
        return self._controls.add_gaze(shift, start, stop)

    def head_changes(self, start: int, stop: int) -> Array:
        """Return the change of the driver's head since the reference, before any limit.

        (T, 7): rotation vector, log zoom, and shift in pixels of the source.
        """
        rotation, zoom, shift = self._head_change(start, stop, self._timeline.weight[start:stop])
        return np.concatenate([rotation, zoom[:, None], shift], -1)

    def _driver_faces(self, start: int, stop: int) -> PosedShape:
        """Return the driver's smoothed faces of frames start..stop."""
        shape = neutral() + self._driver.expression(start, stop)
        return canonical.unpack_pose(self._driver.pose[start:stop], shape, self._size)

    def _prepare_constants(self) -> None:
        """Compute the quantities that are the same in every frame."""
        reference, source = self._reference, self._source
        exact_lids = self._rest_pose is not None  # of generated motion: 0 is shut
        self._expression = ExpressionTransfer(
            source, reference, self._options, rules=self._rules, generated=exact_lids
        )
        ratio = self._expression.shape_ratio
        self._head = HeadTransfer(source, self._source_mesh, reference, ratio, self._source_size)
        frame = self._reference.frame
        same = None if frame < 0 else self._same
        rows, torsos, shot = self._timeline.camera, self._driver.torso, self._timeline.shot
        torsos = torsos if self._shoulders else np.zeros_like(torsos)
        self._picture = PictureMotion(
            rows,
            camera.find_base(rows, shot, frame if frame == same else None),
            torsos,
            camera.find_base(torsos, shot, frame if frame >= 0 else None),
            self._head.picture_place(self._size, own_clip=self.is_own_clip),
        )
        unoccluded = self._timeline.unoccluded
        self._openings = openings.OpeningRules(
            source,
            reference,
            ratio,
            shut_eyes=None if exact_lids else self._measurements.shut_threshold(unoccluded),
            absolute=exact_lids or self._options.mode == "absolute",
        )
        region, strength = self._options.region, self._options.strength
        self._pose_gain = strength * self._options.pose if region in ("all", "pose") else 0.0
        self._mouth_moves = self._expression.gain > 0 and region in ("all", "expression", "lips")

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the clip.

        Arrays: points (T, 468, 3), gaze (T, 2, 2), opening (T, 2), driver (T, 468, 3), body
        (T, 2), camera and torso (T, 2, 3) float64 (see `RenderTarget`), weight (T,), shown (T,)
        bool, whether the driver's mouth may be sampled.
        """
        start, stop = max(0, min(start, len(self))), max(0, min(stop, len(self)))
        stop = max(start, stop)
        driving = self._store.window(start, stop)
        weight = self._timeline.weight[start:stop]
        if start == stop:
            first = self.window(0, 1).arrays  # the clip shows a face, so that there is one
            arrays: dict[str, AnyArray] = {name: rows[:0] for name, rows in first.items()}
            return Motion(
                self.kind, driving.pts, driving.time_base, driving.valid, arrays, driving.constants
            )
        shape, opening = self._retarget_shape(start, stop, weight)
        rotation, zoom, shift = self._head_change(start, stop, weight)
        gain = self._pose_gain * weight
        moved, shoulders, shift = self._picture.window(start, gain, zoom, shift)
        body = np.zeros((stop - start, 2))
        if self._rules:
            rotation, zoom, shift, shoulders, body = self._head.limit(
                rotation, zoom, shift, shoulders, moved
            )
        arrays = {
            "points": self._head.place(shape, rotation, zoom, shift),
            "gaze": self._controls.add_gaze(self._gaze_shift(start, stop, weight), start, stop),
            "opening": opening,
            "driver": rebuild_driver_meshes(driving),
            "body": body,
            "camera": moved,
            "torso": shoulders,
            "weight": weight,
            "shown": self._timeline.unoccluded[start:stop]
            & self._mouth_moves
            & ~self._controls.opens_mouth(start, stop),
        }
        return Motion(
            self.kind, driving.pts, driving.time_base, driving.valid, arrays, driving.constants
        )

    def _retarget_shape(self, start: int, stop: int, weight: Array) -> tuple[Array, Array]:
        """Return the source's canonical shape with the driver's expression, and its lid gap ratios.

        (T, 468, 3) canonical shapes and (T, 2) lid gaps over the source's own.
        """
        source, gain = self._source.shape, self._expression.gain * weight
        shape = neutral() + self._driver.expression(start, stop)
        aligned, scale = self._expression.align(shape)
        yaw = self._driver.pose[start:stop, 1]
        retargeted, lips = self._expression.shapes(aligned, yaw, gain)
        if self._rules:
            region, mask = self._options.region, self._expression.mask
            if region in ("all", "expression", "lips"):
                tracked = self._store.window(start, stop).arrays["expression"]
                gaps = openings.keep_closed_lips(
                    canonical.lip_gaps(aligned),
                    neutral() + np.asarray(tracked, np.float64),
                    scale,
                    self._timeline.unoccluded[start:stop],
                )
                asked = self._openings.lip_gaps(gaps, gain * lips)
                closure.close_jaw(retargeted, asked, mask, load_slider_shapes().jaw)
                closure.set_lips(retargeted, asked)
                closure.raise_chin(retargeted, source, mask)
                closure.lower_chin(retargeted, source, mask)
            if region in ("all", "expression", "eyes"):
                eyes = self._lids.openings(shape, start)
                if len(self) == 1:  # a video has frames that show how its eyes are read
                    eyes = openings.read_picture(eyes, self._timeline.pose[start:stop, 1])
                opening, added_opening = self._openings.eye_openings(eyes, gain)
                closure.set_lids(retargeted, source, opening, added_opening)
        if self._controls.sliders:
            apply.apply_sliders(retargeted, self._controls.rows(start, stop), source)
        return retargeted, openings.lid_gap_ratios(retargeted, source)

    def _head_change(self, start: int, stop: int, weight: Array) -> tuple[Array, Array, Array]:
        """Return rotation vectors (T, 3), log zoom (T,) and shift (T, 3) since the reference."""
        driver = self._driver_faces(start, stop)
        relative, zoom, shift = self._head.change(driver, self._pose_gain * weight)
        if self._controls.turns:
            relative, swing = self._controls.turn_heads(relative, start, stop, self._source)
            shift = shift + swing
        return relative, zoom, shift

    def _gaze_shift(self, start: int, stop: int, weight: Array) -> Array:
        """Return the displacement of the irises in eye widths, (T, 2, 2)."""
        if self._options.region in ("pose", "lips"):
            return np.zeros((stop - start, 2, 2))
        change = self._driver.gaze[start:stop] - self._reference.gaze
        if self._rest_pose is None:  # read from pictures
            change = limits.read_gaze(change, self._driver.pose[start:stop, 1])
        else:
            change = change.mean(1, keepdims=True)
        share = (np.minimum(self._expression.gain, 1.5) * weight)[:, None, None]
        return limits.limit_gaze(change, share, self._source_gaze)


def retarget(
    source: Face,
    store: MotionStore,
    options: MotionOptions,
    size: tuple[int, int] | None = None,
    *,
    shoulders: bool = True,
) -> RetargetedMotion:
    """Return the source's motion under the driver's; see `RetargetedMotion`."""
    return RetargetedMotion(source, store, options, size=size, shoulders=shoulders)
