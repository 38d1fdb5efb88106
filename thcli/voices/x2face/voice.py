"""Voice `x2face`: changes of X2Face's driving code by sound, motion kind "x2face_audio"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
from torch import Tensor

from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array32, Motion, Timestamps
from thcli.voices.x2face.embedding import EMBEDDING, embed_speech, silence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors, require_keys

KIND = "x2face_audio"
WEIGHTS = "x2face-audio"
CODE = 128  # of the published width


class X2FaceVoice:
    """Voice of a linear regression. It moves the mouth alone: the head keeps its pose.

    differs from the paper: the reference is silence, because a picture has no sound of its own.
    """

    motion_kind = KIND

    def __init__(self, weight: Array32, run: RunOptions) -> None:
        """Take the regression's matrix (CODE, EMBEDDING); its constant term cancels out."""
        self._weight, self._rest = weight, silence() @ weight.T
        self._offline = run.offline

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        """Yield the changes since silence, A(sound) - A(silence); see `Voice`."""
        gain = np.float32(options.mouth)
        for chosen, rows in embed_speech(speech, pts, time_base, offline=self._offline):
            change = gain * (rows @ self._weight.T - self._rest)
            stamps = pts[chosen]
            valid = np.ones(len(stamps), np.bool_)
            yield Motion(KIND, stamps, time_base, valid, {"change": change})


def load(run: RunOptions) -> X2FaceVoice:
    """Load the regression that `thcli train x2face-audio` made.

    Raises:
        WeightsError: the weights are missing or another model's.
    """
    tensors = load_tensors(WEIGHTS, offline=run.offline)
    return X2FaceVoice(_matrix(tensors).float().numpy(), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the regression's matrix."""
    _matrix(checkpoint.tensors())


def _matrix(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the matrix of a checkpoint of any width. Raises WeightsError for another model's."""
    found = tensors.get("weight")
    size = len(found) if found is not None and found.dim() else CODE
    like = {"weight": np.empty((size, EMBEDDING)), "bias": np.empty(size)}
    require_keys(tensors, like, WEIGHTS)
    return tensors["weight"]
