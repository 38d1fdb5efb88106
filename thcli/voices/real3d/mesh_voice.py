"""Motion of the voice `real3d` for the mesh engine: expressions of the face model as 468 points.

The 64 expressions of the Basel Face Model move its vertices linearly, and an index file names the
vertices of the mesh points. So a fixed linear map gives the mesh's displacement: the model's mean
is aligned with the neutral mesh, and each expression is taken relative to the rigid points.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech, Voice
from thcli.core.types import Array, Motion, Timestamps
from thcli.faces.landmarks.topology import RIGID_WEIGHTS
from thcli.faces.model3d.bfm.model import MESH_PREFIX, UNMATCHED_POINTS
from thcli.motion.canonical import neutral
from thcli.motion.observe import KIND
from thcli.voices.shared.head_motion import TalkingFace
from thcli.weights import check_licence, load_tensors

_IMAGE_AXES = np.array([1.0, -1.0, -1.0])  # of the model's: y up, z towards the camera


class MeshVoice:
    """A voice of motion kind "real3d" as one of kind "mesh", with idle head motion.

    Args:
        voice: the voice.
        expressions: (64, 468, 3) displacement of the neutral mesh by each coefficient at 1,
            canonical units.
        run: its seed is that of the head motion.
    """

    motion_kind = KIND

    def __init__(self, voice: Voice, expressions: Array, run: RunOptions) -> None:
        self._voice, self._expressions, self._seed = voice, expressions, run.seed

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        """Yield the motion at the time stamps; see `Voice`.

        The model predicts no head pose, and --pose, --gaze and --emotion are not options of this
        voice, so head and gaze move as they do by default.
        """
        face = TalkingFace(speech, VoiceOptions(), self._seed)
        for motion in self._voice.speak(speech, pts, time_base, options):
            coefficients = np.asarray(motion.arrays["expression"], np.float64)
            shapes = neutral() + np.tensordot(coefficients, self._expressions, 1)
            blink = np.asarray(motion.arrays["blink"], np.float64)
            yield face.motion(shapes, motion.pts, time_base, blink)


def load_mesh_expressions(run: RunOptions) -> Array:
    """Load the mesh displacement of each expression, (64, 468, 3) canonical units.

    Raises:
        WeightsError: the Basel Face Model was not imported, or --licence excludes it.
    """
    check_licence("bfm", run.licence)
    arrays = load_tensors("bfm", "numpy", prefix=MESH_PREFIX, offline=run.offline)
    mean, expression = (np.asarray(arrays[name], np.float64) for name in ("mean", "expression"))
    return canonical_expressions(mean, expression)


def canonical_expressions(mean: Array, expression: Array) -> Array:
    """Convert the model's expressions to displacements of the neutral mesh.

    Motion of the rigid points as a whole is removed, to first order: the canonical frame is fixed
    to them.

    Args:
        mean: (468, 3) the model's mean at the mesh points, decimetres, y up.
        expression: (468, 3, 64) displacement per coefficient.

    Returns:
        (64, 468, 3) canonical units.
    """
    weights = RIGID_WEIGHTS.copy()
    weights[list(UNMATCHED_POINTS)] = 0
    scale, rotation, shift = fit_similarity(mean * _IMAGE_AXES, neutral(), weights)
    moved = scale * (expression.transpose(2, 0, 1) * _IMAGE_AXES) @ rotation.T
    points = scale * (mean * _IMAGE_AXES) @ rotation.T + shift
    # columns: translation, scaling, and turning about each axis
    turns = np.cross(np.eye(3)[:, None], points[None]).transpose(1, 2, 0)
    shifts = np.broadcast_to(np.eye(3), (len(points), 3, 3))
    rigid = np.concatenate([shifts, points[..., None], turns], -1).reshape(-1, 7)
    root = np.sqrt(np.repeat(weights, 3))[:, None]
    flat = moved.reshape(len(moved), -1).T
    motion = np.linalg.lstsq(rigid * root, flat * root, rcond=None)[0]
    return np.asarray((flat - rigid @ motion).T.reshape(moved.shape))
