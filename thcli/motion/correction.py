"""Correction of a coarse video's faces towards the motion of its driver.

An engine follows its driver too weakly, too late, or not at all in eyes and lips. The wanted face
of each frame is that of the source with the driver's change of expression and pose, as `retarget`
computes it. The difference between it and the face of the coarse frame is corrected where it
exceeds what the trackers' noise explains.

A difference that is the same in every frame is mostly the trackers': they see source, coarse frame
and driver each a little differently. It is estimated by a regression on the wanted motion and left
out, so that an amplitude that is too small throughout counts as a difference nevertheless.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import AnyArray, Array, Face, Motion
from thcli.faces.landmarks import topology
from thcli.motion import anatomy, canonical, closure, limits, smooth
from thcli.motion.canonical import RIGID, RIGID_WEIGHTS, PosedShape, neutral
from thcli.motion.file.windows import windows
from thcli.motion.observe import KIND
from thcli.motion.retarget import RetargetedMotion
from thcli.motion.timeline import frame_visibility, read_timeline
from thcli.motion.video_retarget import (
    OWN_SMOOTH,
    VIDEO_KIND,
    DriverTimes,
    neutral_face,
    occlusion_doubt,
)

BLOCK = 64  # frames that are retargeted at a time
# Root mean square difference of a region's points in canonical units: noise below, error above
NOISE = {"mouth": (0.010, 0.022), "eyes": (0.007, 0.014), "brows": (0.012, 0.024)}
TURN_NOISE = (0.012, 0.03)  # radians
SHIFT_NOISE = (0.008, 0.02)  # face heights
GATE_SIGMA = 0.06  # seconds over which the share of a correction is smoothed
LARGEST = 0.2  # canonical units, of the correction of a point
LARGEST_TURN = np.radians(12.0)
LARGEST_SHIFT = 0.08  # face heights
LARGEST_BIAS = 0.03  # canonical units: a larger constant difference is the engine's
# Share of a difference that is corrected: an open mouth needs pixels that the frame does not have
STRENGTH = {"mouth": 0.7, "eyes": 1.0, "brows": 0.7}
# Of the regressions: squared canonical units; squared radians; face heights
_RIDGE, _TURN_RIDGE, _SHIFT_RIDGE = 1e-4, 1e-4, 0.01


class CorrectedMotion:
    """Motion of the frames of a coarse video as a MotionStore of kind "mesh-video".

    Args:
        own: motion of kind "mesh" of the coarse video.
        driving: motion of kind "mesh" of its driver, which begins at the same time.
        source: face with a mesh of which the coarse video was made; None: the coarse video's
            own face at rest.
        options: of the transfer from the driver to the source.

    Raises:
        MediaError: motion of another kind.
        NoFaceError: the source has no mesh, or no frame of a video shows a face.
    """

    kind = VIDEO_KIND

    def __init__(
        self, own: MotionStore, driving: MotionStore, source: Face | None, options: MotionOptions
    ) -> None:
        if own.kind != KIND:
            raise MediaError(
                f"The motion of the coarse video is of kind {own.kind!r}, not {KIND!r}.",
                "Observe the video with the engine mesh.",
            )
        self._own = own
        self._timeline = read_timeline(own)
        self._filter = smooth.GapFilledMotion(
            self._timeline, smooth.create_filter(own, self._timeline, OWN_SMOOTH, options.causal)
        )
        if source is None:
            source = neutral_face(own, self._timeline, self._filter)
        self._retargeted = RetargetedMotion(source, driving, options)
        self._source = canonical.decompose(np.asarray(source.mesh, np.float64))
        constants = own.window(0, 0).constants
        self._size = int(constants["size"][0]), int(constants["size"][1])
        seconds = self._timeline.seconds
        self._times = DriverTimes(self._retargeted.timeline, seconds - seconds[0])
        logit = [
            np.asarray(w.arrays.get("logit", np.ones(len(w))), np.float64) for w in windows(own)
        ]
        self._doubt = occlusion_doubt(np.concatenate(logit), self._timeline.valid)
        self._weight = frame_visibility(self._timeline)
        self._shape_bias = self._find_shape_bias()
        self._turn, self._shift = self._find_head_corrections(options)
        self._shares = self._find_shares()

    def __len__(self) -> int:
        return len(self._own)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the clip; see `VideoRetargetedMotion.window`."""
        start, stop = max(0, min(start, len(self))), max(0, min(stop, len(self)))
        stop = max(start, stop)
        own = self._own.window(start, stop)
        count = stop - start
        mesh = points = np.zeros((0, 468, 3))
        weight = self._weight[start:stop].copy()
        if count:
            posed = self._own_faces(start, stop)
            mesh = posed.mesh()
            change = self._shape_changes(start, stop) * weight[:, None, None]
            moved = change @ np.swapaxes(posed.rotation, -1, -2)
            points = mesh + np.exp(posed.log_scale)[:, None, None] * moved
            pivot = np.einsum("k,tkj->tj", RIGID_WEIGHTS, mesh[:, RIGID])
            turn = matrix_from_rotvec(self._turn[start:stop] * weight[:, None])
            shift = self._shift[start:stop] * weight[:, None]
            points = (points - pivot[:, None]) @ np.swapaxes(turn, 1, 2)
            points += (pivot + shift)[:, None]
            weight *= np.abs(points - mesh).max((1, 2)) > 0
        arrays: dict[str, AnyArray] = {
            "mesh": mesh,
            "points": points,
            "gaze": np.zeros((count, 2, 2)),
            "moves_eyes": self._shares[start:stop, 1] > 0,
            "weight": weight,
            "doubt": self._doubt[start:stop],
        }
        return Motion(self.kind, own.pts, own.time_base, own.valid, arrays, own.constants)

    def _own_faces(self, start: int, stop: int) -> PosedShape:
        shape = self._own_shapes(start, stop)
        return canonical.unpack_pose(self._filter.pose[start:stop], shape, self._size)

    def _own_shapes(self, start: int, stop: int) -> Array:
        return np.asarray(neutral() + self._filter.expression(start, stop))

    def _wanted_shapes(self, start: int, stop: int) -> Array:
        return self._times.sample(self._retargeted.shapes, start, stop)

    def _differences(self, start: int, stop: int) -> Array:
        """Return the wanted shapes minus the frames' own without the bias, (T, 468, 3)."""
        shape = self._own_shapes(start, stop)
        return np.asarray(self._wanted_shapes(start, stop) - shape - self._shape_bias)

    def _shape_changes(self, start: int, stop: int) -> Array:
        """Return what is added to the frames' canonical shapes, (T, 468, 3)."""
        difference = limits.limit_length(self._differences(start, stop), LARGEST)
        masks = np.stack(list(region_masks().values()))
        strength = self._shares[start:stop] * np.array([STRENGTH[name] for name in region_masks()])
        share = np.minimum(np.einsum("tr,rk->tk", strength, masks), 1)
        return np.asarray(difference * share[..., None])

    def _find_shape_bias(self) -> Array:
        """Return the constant part (468, 3) of the difference, at most LARGEST_BIAS a point."""
        base, used = self._source.shape, self._timeline.unoccluded
        count = 0
        sums = np.zeros((4, 468, 3))
        for start in range(0, len(self), BLOCK):
            stop = min(start + BLOCK, len(self))
            rows = used[start:stop]
            wanted = (self._wanted_shapes(start, stop) - base)[rows]
            shape = (self._own_shapes(start, stop) - base)[rows]
            count += int(rows.sum())
            sums += (wanted.sum(0), shape.sum(0), (wanted**2).sum(0), (wanted * shape).sum(0))
        x, y, xx, xy = sums / max(count, 1)
        bias = _intercept(x, y, xx - x * x, xy - x * y, _RIDGE)
        length = np.linalg.norm(bias, axis=-1, keepdims=True)
        return np.asarray(bias * np.minimum(1, LARGEST_BIAS / np.maximum(length, 1e-9)))

    def _find_head_corrections(self, options: MotionOptions) -> tuple[Array, Array]:
        """Return the turns (T, 3) in radians and the shifts (T, 3) in pixels of the frames."""
        count, used = len(self), self._timeline.unoccluded
        if self._retargeted.pose_gain == 0:
            return np.zeros((count, 3)), np.zeros((count, 3))
        posed = canonical.unpack_pose(
            self._filter.pose, np.broadcast_to(neutral(), (1, 468, 3)), self._size
        )
        head = self._times.sample(self._retargeted.head_changes, 0, count)
        turned = rotvec_from_matrix(posed.rotation @ self._source.rotation.T)
        turn = head[:, :3] - turned - _bias(head[used, :3], turned[used], _TURN_RIDGE)
        rigid = RIGID_WEIGHTS @ neutral()[RIGID]
        scale = np.exp(posed.log_scale)
        pivot = scale[:, None] * (posed.rotation @ rigid) + posed.centre
        ratio = float(np.exp(np.median(posed.log_scale[used]) - self._source.log_scale))
        wanted = head[:, 4:] * ratio
        up = neutral()[anatomy.FOREHEAD] - neutral()[anatomy.CHIN]
        height = float(np.median(scale[used]) * np.linalg.norm(up))
        shift = wanted - pivot - _bias(wanted[used], pivot[used], (_SHIFT_RIDGE * height) ** 2)
        shift[:, 2] = 0
        return (
            self._gated(turn, TURN_NOISE, float(LARGEST_TURN)),
            height * self._gated(shift / height, SHIFT_NOISE, LARGEST_SHIFT),
        )

    def _gated(self, rows: Array, noise: tuple[float, float], largest: float) -> Array:
        """Limit rows (T, 3), and leave out what is noise."""
        length = np.linalg.norm(rows, axis=-1, keepdims=True)
        share = self._smoothed(np.asarray(smoothstep(*noise, length)))
        return np.asarray(share * limits.limit_length(rows, largest))

    def _find_shares(self) -> Array:
        """Return the share of each region's difference that is corrected, (T, regions) in 0..1."""
        masks = region_masks()
        shares = np.zeros((len(self), len(masks)))
        for start in range(0, len(self), BLOCK):
            stop = min(start + BLOCK, len(self))
            squares = (self._differences(start, stop)[..., :2] ** 2).sum(-1)
            for number, (name, mask) in enumerate(masks.items()):
                mean = np.sqrt(squares @ mask / mask.sum())
                shares[start:stop, number] = smoothstep(*NOISE[name], mean)
        return self._smoothed(shares)

    def _smoothed(self, shares: Array) -> Array:
        """Smooth shares (T, N) over GATE_SIGMA within each scene."""
        seconds, scene = self._timeline.seconds, self._timeline.scene
        taps = smooth.count_taps(seconds, 2.5 * GATE_SIGMA)
        total, weights = shares.copy(), np.ones((len(shares), 1))
        for step in range(1, taps + 1):
            for a, b in (
                (slice(step, None), slice(None, -step)),
                (slice(None, -step), slice(step, None)),
            ):
                gap = seconds[a] - seconds[b]
                weight = np.exp(-0.5 * (gap / GATE_SIGMA) ** 2) * (scene[a] == scene[b])
                total[a] += weight[:, None] * shares[b]
                weights[a] += weight[:, None]
        return np.asarray(total / weights)


def _bias(wanted: Array, seen: Array, ridge: float) -> Array:
    """Return the constant part (N,) of wanted rows (T, N) minus those seen."""
    x, y = wanted.mean(0), seen.mean(0)
    return _intercept(x, y, wanted.var(0), (wanted * seen).mean(0) - x * y, ridge)


def _intercept(x: Array, y: Array, xx: Array, xy: Array, ridge: float) -> Array:
    """Return minus the intercept of the regression of y on x by their means and covariances."""
    return np.asarray(np.clip(xy / (xx + ridge), 0, 1) * x - y)


@cache
def region_masks() -> dict[str, Array]:
    """Return the share (468,) of each point that mouth, eyes and brows correct."""
    eyes = closure.region_mask("eyes")[:, 0]
    brows = np.unique(np.concatenate([np.asarray(one) for one in topology.BROWS]))
    points = neutral()
    distance = np.linalg.norm(points[:, None, :2] - points[None, brows, :2], axis=-1).min(1)
    near = np.asarray(1 - smoothstep(0.08, 0.4, distance))
    return {
        "mouth": closure.region_mask("lips")[:, 0],
        "eyes": eyes,
        "brows": near * (1 - eyes),
    }
