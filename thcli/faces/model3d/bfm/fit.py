"""Fit of identity, expression and pose to the landmarks of a clip or an image.

A clip has one identity, fitted jointly to a sample of its frames. Then expression and pose are
fitted to all frames, in windows that overlap, so the memory does not depend on the clip's length.
Both steps are Levenberg-Marquardt on the published loss (`landmark_loss`); the published program
minimises it with 450 steps of Adam.

Landmarks are (T, K, 2) in 0..1 from the top-left corner of a square image, of the 468-point mesh
or the 68 iBUG points; those of a frame without a face are NaN, and its parameters are interpolated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.faces.landmarks.topology import POINTS
from thcli.faces.model3d.bfm.landmark_loss import (
    IMAGE,
    VIDEO,
    LandmarkBasis,
    Linearisation,
    Penalties,
    Pose,
    landmark_basis,
    linearise,
    pose_from_landmarks,
    residuals,
)
from thcli.faces.model3d.bfm.least_squares import descend, second_differences, solve_chain
from thcli.faces.model3d.bfm.model import FaceModel3D

SAMPLE = 24  # frames that the identity of a clip is fitted to
WINDOW, CONTEXT = 64, 8  # frames of a window, and on each side of it
_POSE_ROUNDS, _ROUNDS, _IDENTITY_ROUNDS = 4, 5, 10
_FLOOR = 1e-9  # keeps the matrix of frames without landmarks regular

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClipFit:
    """Parameters of T frames, float32.

    Attributes:
        identity: (80,).
        expression: (T, 64).
        euler: (T, 3) radians.
        trans: (T, 3) decimetres.
        error: (T,) weighted root mean square distance of the landmarks, in pixels of a 224 x 224
            image; NaN without a face.
    """

    identity: Array32
    expression: Array32
    euler: Array32
    trans: Array32
    error: Array32


def fit_clip(model: FaceModel3D, landmarks: npt.ArrayLike, penalties: Penalties = VIDEO) -> ClipFit:
    """Fit one identity, and expression and pose of each frame, to a clip.

    Args:
        model: the face model.
        landmarks: (T, 468 or more, 2) or (T, 68, 2) in 0..1; NaN without a face.
        penalties: weights of the loss.

    Raises:
        ValueError: no frame has a face.
    """
    seen = np.asarray(landmarks, np.float64)
    detected = np.flatnonzero(_is_detected(seen))
    identity = fit_identity(model, seen[detected[sample_positions(len(detected))]], penalties)
    windows = list(fit_frames(model, identity, [seen], penalties))
    return _join(windows)


def fit_image(model: FaceModel3D, landmarks: npt.ArrayLike) -> ClipFit:
    """Fit an image with the weights for one image: a fit of one frame.

    landmarks: (468 or more, 2) or (68, 2) in 0..1 of a square image.
    """
    return fit_clip(model, np.asarray(landmarks, np.float64)[None], IMAGE)


def sample_positions(count: int) -> npt.NDArray[np.intp]:
    """Return the positions of the frames that `fit_identity` needs of `count`, evenly spread."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(SAMPLE, count)).astype(np.intp))


def fit_identity(
    model: FaceModel3D, landmarks: npt.ArrayLike, penalties: Penalties = VIDEO
) -> Array32:
    """Fit one identity (80,) to some frames of a clip, without smoothness between them.

    Args:
        model: the face model.
        landmarks: (S, K, 2) in 0..1; frames with NaN are left out.
        penalties: weights of the loss.

    Raises:
        ValueError: no frame has a face.
    """
    seen = _chosen_points(landmarks)
    seen = seen[_is_detected(seen)]
    if not len(seen):
        raise ValueError("no frame has landmarks")
    basis = landmark_basis(model, seen.shape[1], penalties)
    start = _start(basis.mean, basis, seen, np.ones(len(seen), np.bool_), penalties)
    weight = penalties.identity / basis.identity.shape[-1] * len(seen)
    ridge = _ridge(basis, penalties)
    frame_count = len(ridge)

    def loss(state: tuple[Array, Pose]) -> float:
        identity, pose = state
        error = residuals(basis.with_identity(identity), basis, pose, seen)
        return float(
            (error**2).sum() + weight * (identity**2).sum() + (ridge * pose.rows() ** 2).sum()
        )

    def linear(state: tuple[Array, Pose]) -> Linearisation:
        identity, pose = state
        return linearise(basis.with_identity(identity), basis, pose, seen, identity=True)

    def step(
        state: tuple[Array, Pose], system: Linearisation, damping: float
    ) -> tuple[Array, Pose]:
        """Eliminate the frames' parameters, solve for the identity, and put it back."""
        identity, pose = state
        own = system.matrix[:, :frame_count, :frame_count] + np.diag(ridge)
        own = own + damping * own * np.eye(frame_count)
        mixed = system.matrix[:, :frame_count, frame_count:]
        gradient = system.gradient[:, :frame_count] + ridge * pose.rows()
        common = system.matrix[:, frame_count:, frame_count:].sum(0) + weight * np.eye(
            len(identity)
        )
        common = common + damping * common * np.eye(len(identity))
        solved = np.linalg.solve(own, np.concatenate([mixed, gradient[..., None]], -1))
        reduced = np.einsum("sfi,sfj->ij", mixed, solved)
        right = -system.gradient[:, frame_count:].sum(0) - weight * identity
        change = np.linalg.solve(common - reduced[:, :-1], right + reduced[:, -1])
        return identity + change, pose.moved(-solved[..., -1] - solved[..., :-1] @ change)

    neutral = np.zeros(basis.identity.shape[-1])
    identity, _ = descend((neutral, start), loss, linear, step, _IDENTITY_ROUNDS)
    return identity.astype(np.float32)


def fit_frames(
    model: FaceModel3D,
    identity: npt.ArrayLike,
    blocks: Iterable[npt.ArrayLike],
    penalties: Penalties = VIDEO,
) -> Iterator[ClipFit]:
    """Fit expression and pose to the frames of a clip, in windows.

    A window is fitted with its neighbouring frames, so the results depend on where the windows
    begin by less than 1e-4 of their range.

    Args:
        model: the face model.
        identity: (80,) of the clip.
        blocks: the clip's landmarks (t, K, 2) in 0..1, any number of frames at once; NaN without
            a face.
        penalties: weights of the loss.

    Yields:
        The parameters of at most WINDOW frames, in order; together all of the clip.
    """
    rows = np.asarray(identity, np.float32)
    held: Array | None = None  # frames before the next window for context, and those to come
    before = 0
    for block in blocks:
        seen = _chosen_points(block)
        held = seen if held is None else np.concatenate([held, seen])
        while len(held) >= before + WINDOW + CONTEXT:
            yield _fit_window(
                model,
                rows,
                held[: before + WINDOW + CONTEXT],
                slice(before, before + WINDOW),
                penalties,
            )
            kept = max(0, before + WINDOW - CONTEXT)
            held, before = held[kept:], before + WINDOW - kept
    while held is not None and len(held) > before:
        end = min(before + WINDOW, len(held))
        yield _fit_window(model, rows, held[: end + CONTEXT], slice(before, end), penalties)
        kept = max(0, end - CONTEXT)
        held, before = held[kept:], end - kept


def _fit_window(
    model: FaceModel3D, identity: Array32, seen: Array, wanted: slice, penalties: Penalties
) -> ClipFit:
    """Fit frames, and return some of them."""
    basis = landmark_basis(model, seen.shape[1], penalties)
    neutral = basis.with_identity(identity)
    detected = _is_detected(seen)
    filled = np.where(detected[:, None, None], seen, 0.5)
    start = _start(neutral, basis, filled, detected, penalties)
    pose = _descend_window(neutral, basis, start, filled, detected, penalties, _ROUNDS)
    squares = (residuals(neutral, basis, pose, filled) ** 2).sum((1, 2))
    share = basis.weights.sum() / (2 * len(basis.weights))
    error = np.where(detected, np.sqrt(squares / share), np.nan)
    chosen = pose[wanted]
    return ClipFit(
        identity,
        chosen.expression.astype(np.float32),
        chosen.euler.astype(np.float32),
        chosen.trans.astype(np.float32),
        error[wanted].astype(np.float32),
    )


def _start(
    neutral: Array, basis: LandmarkBasis, seen: Array, detected: Bools, penalties: Penalties
) -> Pose:
    """Fit poses without expression to the frames; those without a face take the nearest one's."""
    count = basis.expression.shape[-1]
    pose = Pose(np.zeros((len(seen), count)), np.zeros((len(seen), 3)), np.zeros((len(seen), 3)))
    if not detected.any():
        return pose
    frames = np.flatnonzero(detected)
    euler, trans = pose_from_landmarks(neutral, basis, seen[frames])
    nearest = np.abs(np.arange(len(seen))[:, None] - frames).argmin(1)
    pose = Pose(pose.expression, np.unwrap(euler, axis=0)[nearest], trans[nearest])
    rigid = LandmarkBasis(basis.mean, basis.identity, basis.expression[..., :0], basis.weights)
    bare = Pose(pose.expression[:, :0], pose.euler, pose.trans)
    bare = _descend_window(neutral, rigid, bare, seen, detected, penalties, _POSE_ROUNDS)
    return Pose(pose.expression, bare.euler, bare.trans)


def _descend_window(
    neutral: Array,
    basis: LandmarkBasis,
    start: Pose,
    seen: Array,
    detected: Bools,
    penalties: Penalties,
    rounds: int,
) -> Pose:
    """Minimise the loss over expression and pose of neighbouring frames."""
    ridge, smooth = _ridge(basis, penalties), _smoothness(basis, penalties)
    second = second_differences(len(start))

    def loss(pose: Pose) -> float:
        error = residuals(neutral, basis, pose, seen) * detected[:, None, None]
        rows = pose.rows()
        bends = second @ rows
        return float((error**2).sum() + (ridge * rows**2).sum() + (smooth * bends**2).sum())

    def linear(pose: Pose) -> Linearisation:
        return linearise(neutral, basis, pose, seen)

    def step(pose: Pose, system: Linearisation, damping: float) -> Pose:
        rows = pose.rows()
        gradient = system.gradient * detected[:, None] + ridge * rows
        gradient += smooth * (second.T @ (second @ rows))
        matrix = system.matrix * detected[:, None, None] + np.diag(ridge + _FLOOR)
        matrix = matrix + damping * matrix * np.eye(len(ridge))
        return pose.moved(-solve_chain(matrix, smooth, second.T @ second, gradient))

    return descend(start, loss, linear, step, rounds)


def _ridge(basis: LandmarkBasis, penalties: Penalties) -> Array:
    """Return the penalty of each parameter of a frame: expression, angles, translation."""
    count = basis.expression.shape[-1]
    return np.concatenate([np.full(count, penalties.expression / max(count, 1)), np.zeros(6)])


def _smoothness(basis: LandmarkBasis, penalties: Penalties) -> Array:
    count = basis.expression.shape[-1]
    expression = np.full(count, penalties.smooth_expression / max(count, 1))
    return np.concatenate([expression, np.full(6, penalties.smooth_pose / 3)])


def _chosen_points(landmarks: npt.ArrayLike) -> Array:
    """Return the 468 mesh points without irises, or the 68 landmarks. Raises ValueError."""
    seen = np.asarray(landmarks, np.float64)[..., :2]
    if seen.ndim != 3 or (seen.shape[1] != 68 and seen.shape[1] < POINTS):
        raise ValueError(f"landmarks are {seen.shape} instead of (T, 468, 2) or (T, 68, 2)")
    return seen[:, :POINTS]


def _is_detected(seen: Array) -> Bools:
    return np.asarray(np.isfinite(seen).all((1, 2)))


def _join(windows: list[ClipFit]) -> ClipFit:
    columns = (
        np.concatenate([getattr(window, name) for window in windows])
        for name in ("expression", "euler", "trans", "error")
    )
    return ClipFit(windows[0].identity, *columns)
