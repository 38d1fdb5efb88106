"""Face of the driver that corresponds to the source: the reference of the retargeting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.geometry import matrix_from_rotvec
from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array
from thcli.motion import canonical, smooth
from thcli.motion.canonical import PosedShape, fit_rigid_points, neutral
from thcli.motion.reference import excess
from thcli.motion.reference.frames import (
    DriverReference,
    FrameMeasurements,
    select_neutral_frames,
)
from thcli.motion.reference.lids import FastLids
from thcli.motion.sliders import load_slider_shapes
from thcli.motion.timeline import Timeline

WIDE_QUANTILE = 0.95  # of the openings of a clip's eyes


@dataclass(frozen=True, slots=True)
class ReferenceSearch:
    """Search for the reference in a driving clip.

    Attributes:
        timeline: of the clip.
        store: motion of kind "mesh" of the clip.
        driver: its smoothed motion.
        measurements: of its frames.
        lids: openings of its eyes.
        size: (width, height) of its frames in pixels.
        source: pose and canonical shape of the source.
        same: frame that the source shows itself, None without one.
    """

    timeline: Timeline
    store: MotionStore
    driver: smooth.GapFilledMotion
    measurements: FrameMeasurements
    lids: FastLids
    size: tuple[int, int]
    source: PosedShape
    same: int | None

    def find(
        self, options: MotionOptions, source_gaze: Array, rest: Array | None, frame: int | None
    ) -> DriverReference:
        """Return the driver's face that corresponds to the source.

        Args:
            options: motion options.
            source_gaze: (2, 2) gaze of the source.
            rest: (7,) pose of the constant reference of generated motion, or None.
            frame: reference frame; None finds it.
        """
        if rest is not None:
            return self._rest_reference(rest)
        if options.mode == "absolute":
            return self._neutral_reference(source_gaze)
        same = None if options.causal else self.same
        given = frame is not None
        if frame is None:
            frame = (
                int(np.argmin(self.measurements.distance))
                if not options.causal
                else int(np.argmax(self.timeline.unoccluded))
            )
            frame = frame if same is None else same
        shape = neutral() + self.driver.expression(frame, frame + 1)
        eyes = self.lids.openings(shape, frame)[0]
        pose, gaze = self.driver.pose[frame : frame + 1], self.driver.gaze[frame]
        if frame == same:
            # smoothed, it would differ from the source, and shift all other frames by that
            tracked = self.store.window(frame, frame + 1).arrays["expression"]
            shape = neutral() + np.asarray(tracked, np.float64)
            pose, gaze = self.timeline.pose[frame : frame + 1], self.timeline.gaze[frame]
        posed = canonical.unpack_pose(pose, shape, self.size)
        reference = DriverReference(
            posed.shape[0],
            posed.rotation[0],
            float(posed.log_scale[0]),
            posed.centre[0],
            gaze,
            frame,
            eyes,
            self._usual_eyes,
        )
        if given or frame == same:
            return reference
        if len(self.store) == 1:
            return excess.add_picture(reference, self.source, source_gaze)
        if options.causal:
            return reference
        reference = self._directed_as_source(reference)
        open_eyes = self.measurements.eyes[self.timeline.unoccluded].mean(-1)
        wide = float(np.quantile(open_eyes, WIDE_QUANTILE))
        return excess.add_video(reference, self.source, wide)

    def _directed_as_source(self, reference: DriverReference) -> DriverReference:
        """Return a reference with the direction of the frame that looks as the source does.

        Its head stays where it is: a frame that was chosen for its direction may lean anywhere.
        """
        rotvecs = self.driver.pose[:, :3]
        frame = self.measurements.find_direction(reference.frame, rotvecs)
        if frame == reference.frame:
            return reference
        shape = neutral() + self.driver.expression(frame, frame + 1)[0]
        _, between, _ = fit_rigid_points(reference.shape, shape)
        return reference.turned(matrix_from_rotvec(rotvecs[frame]) @ between)

    @property
    def _usual_eyes(self) -> float:
        return self.measurements.median_eye_opening(self.timeline.unoccluded)

    def _rest_reference(self, rest_pose: Array) -> DriverReference:
        posed = canonical.unpack_pose(rest_pose, neutral(), self.size)
        gaze, eyes = load_slider_shapes().gaze, canonical.eye_openings(neutral())
        log_scale = float(posed.log_scale)
        return DriverReference(
            neutral(), posed.rotation, log_scale, posed.centre, gaze, -1, eyes, self._usual_eyes
        )

    def _neutral_reference(self, source_gaze: Array) -> DriverReference:
        """Return the driver's neutral face in the source's direction and the median framing."""
        frames = select_neutral_frames(self.timeline, self.measurements)
        expressions = [self.driver.expression(int(i), int(i) + 1)[0] for i in frames]
        shape = np.mean(expressions, 0) + neutral()
        pose = self.driver.pose[self.timeline.valid]
        median = canonical.unpack_pose(np.median(pose, 0), shape, self.size)
        # the rotation in which this driver looks in the source's direction
        _, rotation, _ = fit_rigid_points(shape, self.source.shape)
        reference = DriverReference(
            shape,
            self.source.rotation @ rotation,
            float(median.log_scale),
            median.centre,
            source_gaze,
            -1,
            canonical.eye_openings(shape),
            self._usual_eyes,
        )
        if len(self.store) > 1:
            return reference
        return excess.add_picture(reference, self.source, source_gaze)
