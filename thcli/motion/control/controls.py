"""Sliders and head rotation of a job over time, as rows of a motion file.

A motion of kind "mesh" has them in arrays of their own, added to whatever it holds: `turn` (T, 3),
pitch, yaw and roll in degrees, and `slider_NAME` (T,). `motion.retarget` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from thcli.core.expressions import EXPRESSIONS, SLIDERS, TURNS
from thcli.core.geometry import matrix_from_angles, rotvec_from_matrix
from thcli.core.options import ExpressionOptions, MotionOptions, ViewOptions
from thcli.core.types import AnyArray, Array
from thcli.motion.control.keys import BLINK, Keys, read_keys
from thcli.motion.control.poses import ANGLES, PoseCurve, added_angles
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import LAST_DURATION, MotionSpan, select_span
from thcli.motion.file.windows import windows
from thcli.motion.file.writer import MotionWriter

TURN, PREFIX = "turn", "slider_"


def slider_rows(arrays: Mapping[str, AnyArray]) -> dict[str, Array]:
    """Return the sliders of a motion's arrays by their names in `core.expressions.SLIDERS`."""
    return {
        name: _clip(name, np.asarray(arrays[array_name(name)], np.float64))
        for name in SLIDERS
        if array_name(name) in arrays
    }


def array_name(slider: str) -> str:
    """Return the name of a slider's array in a motion file."""
    return PREFIX + slider.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Controls:
    """Sliders and head rotation of a job.

    sliders: constant values by name.  view: constant angles and orbit.  keys, poses: of the files
    that the options name.
    """

    sliders: Mapping[str, float] = field(default_factory=dict)
    view: ViewOptions = field(default_factory=ViewOptions)
    keys: Keys | None = None
    poses: PoseCurve | None = None

    @classmethod
    def read(cls, view: ViewOptions, expression: ExpressionOptions) -> Controls:
        """Read the files that options name.

        Raises:
            MediaError: a file of keys or poses is not valid.
        """
        return cls(
            _sum_expressions(expression.strengths, expression.slider_values()),
            view,
            None if expression.keys is None else read_keys(expression.keys),
            None if view.pose_file is None else PoseCurve.read(view.pose_file),
        )

    @property
    def is_moving(self) -> bool:
        """Return whether any of them changes over time."""
        return bool(self.view.orbit) or self.keys is not None or self.poses is not None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is added."""
        view = self.view
        constant = any(self.sliders.values()) or any((view.yaw, view.pitch, view.roll))
        return not (constant or self.is_moving)

    @property
    def turns(self) -> bool:
        """Return whether the head may turn."""
        view = self.view
        keyed = self.keys is not None and any(name in TURNS for name in self.keys.tracks)
        return keyed or any((view.yaw, view.pitch, view.roll, view.orbit, self.poses is not None))

    @property
    def end(self) -> float:
        """Time of the last key or pose in seconds; 0 without."""
        keyed = 0.0 if self.keys is None else self.keys.end
        posed = 0.0 if self.poses is None else float(np.ptp(self.poses.seconds))
        return max(keyed, posed)

    @property
    def moved_sliders(self) -> tuple[str, ...]:
        """Names of the sliders that are not 0 all the time."""
        names = {name for name, value in self.sliders.items() if value}
        if self.keys is not None:
            names |= set(self.keys.tracks)
            names |= {slider for name in self.keys.expressions for slider in EXPRESSIONS[name]}
            names |= {"lids"} if self.keys.blinks else set()
        return tuple(name for name in SLIDERS if name in names)

    def key_values(self, seconds: Array) -> dict[str, Array]:
        """Return the values (T,) of the keys' names at times (T,)."""
        return {} if self.keys is None else self.keys.values(seconds)

    def slider_values(self, seconds: Array, keyed: Mapping[str, Array]) -> dict[str, Array]:
        """Return the values (T,) of the moved sliders, within their ranges.

        Args:
            seconds: (T,) times since the first frame.
            keyed: see `key_values`.
        """
        totals = {name: np.full(len(seconds), self.sliders.get(name, 0.0)) for name in SLIDERS}
        for name in totals.keys() & keyed.keys():
            totals[name] = totals[name] + keyed[name]
        if BLINK in keyed:
            totals["lids"] += keyed[BLINK] * (1 - totals["lids"])
        return {name: _clip(name, totals[name]) for name in self.moved_sliders}

    def angles(self, seconds: Array, length: float, keyed: Mapping[str, Array]) -> Array:
        """Return the added pitch, yaw and roll in degrees, (T, 3), without those of the pose file.

        Args:
            seconds: (T,) times since the first frame.
            length: time of the last frame.
            keyed: see `key_values`.
        """
        degrees = added_angles(self.view, seconds, length)
        for column, name in enumerate(ANGLES):
            if name in keyed:
                degrees[:, column] += keyed[name]
        return degrees


def _clip(name: str, values: Array) -> Array:
    return np.asarray(np.clip(values, SLIDERS[name].low, SLIDERS[name].high))


def _sum_expressions(
    strengths: Mapping[str, float], values: Mapping[str, float]
) -> dict[str, float]:
    """Return sliders with those of expressions added, within their ranges."""
    totals = dict(values)
    for name, strength in strengths.items():
        for slider, share in EXPRESSIONS[name].items():
            totals[slider] = totals.get(slider, 0.0) + strength * share
    return {name: float(_clip(name, np.asarray(value))) for name, value in totals.items()}


def write_controlled(
    motion: MotionSpan, controls: Controls, path: Path, options: MotionOptions
) -> MotionSpan:
    """Write a motion of kind "mesh" with its controls to a file, and open it.

    A pose file takes the place of the head's own motion, and of the camera's. With relative motion
    its change since its first row turns the source's head, with the gain of the head pose.

    Args:
        motion: of a driver, a voice, or of a face at rest.
        controls: what is added.
        path: of the motion file.
        options: mode, strength and pose gain.

    Raises:
        OutputError: the file cannot be written.
        MediaError: the motion is not valid.
    """
    metadata = dict(motion.file.metadata)
    if motion.last_duration:
        metadata[LAST_DURATION] = str(motion.last_duration)
    first, last = motion.window(0, 1), motion.window(len(motion) - 1, len(motion))
    unit = float(motion.time_base)
    origin = int(first.pts[0])
    length = float(int(last.pts[0]) - origin) * unit
    head = _head_at_rest(motion)
    with MotionWriter(path, metadata) as writer:
        for window in windows(motion):
            seconds = np.asarray((window.pts - origin) * unit, np.float64)
            arrays, keyed = dict(window.arrays), controls.key_values(seconds)
            turn = controls.angles(seconds, length, keyed)
            if controls.poses is not None:
                degrees, begin = controls.poses.sample(seconds), controls.poses.degrees[0]
                turn += _place_head(arrays, head, degrees, options) - _gain(options) * begin
            if controls.turns or TURN in arrays:
                turn += np.asarray(arrays.get(TURN, 0.0), np.float64)
                arrays[TURN] = turn.astype(np.float32)
            for name, values in controls.slider_values(seconds, keyed).items():
                own = np.asarray(arrays.get(array_name(name), 0.0), np.float64)
                arrays[array_name(name)] = _clip(name, values + own).astype(np.float32)
            writer.append(replace(window, arrays=arrays))
    return select_span(MotionFile(path), first.time_base * 0, None)


def _place_head(
    arrays: dict[str, AnyArray], head: Array, degrees: Array, options: MotionOptions
) -> Array:
    """Replace the head's own motion by a pose file's, in place; return the turn (T, 3) to add.

    Args:
        arrays: rows of a motion of kind "mesh".
        head: (7,) pose of the head at rest.
        degrees: (T, 3) pitch, yaw and roll of the pose file.
        options: mode and gains.
    """
    pose = np.repeat(head[None], len(degrees), 0)
    for name in arrays.keys() & {"camera", "torso"}:
        arrays[name] = np.zeros_like(arrays[name])
    if options.mode == "absolute":
        pose[:, :3] = rotvec_from_matrix(matrix_from_angles(degrees))
    arrays["pose"] = pose
    return _gain(options) * degrees


def _gain(options: MotionOptions) -> float:
    """Return the gain of a turn since the first pose; absolute poses are not a turn."""
    moves = options.mode == "relative" and options.region in ("all", "pose")
    return options.strength * options.pose if moves else 0.0


def _head_at_rest(motion: MotionSpan) -> Array:
    """Return the pose (7,) of a voice's head at rest, else of the first detected one."""
    for window in windows(motion):
        rest = window.constants.get("rest")
        if rest is not None:
            return np.asarray(rest, np.float64)
        if window.valid.any():
            return np.asarray(window.arrays["pose"][int(np.argmax(window.valid))], np.float64)
    return np.zeros(7)
