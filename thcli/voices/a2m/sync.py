"""Correlation of the motion of a mouth with a sound: the sum over what the sound tells of it.

The network of `a2m-free` predicts the coefficients of the mouth's shapes and its opening; phones
predict the opening a second time. Each is compared with the tracked mouth by itself and weighs as
much as the sound explains of it.
"""

from __future__ import annotations

import numpy as np

from thcli.audio.phones import PHONES, phone_rows
from thcli.core.options import RunOptions
from thcli.core.protocols import Speech
from thcli.core.types import AnyArray, Array, Array32
from thcli.motion.canonical import mouth_opening
from thcli.voices.a2m.voice import ROWS_PER_SECOND, AudioToMotionVoice, load_network

WEIGHTS = "a2m-s-free"
REACH = 5  # rows by which the sound may be early or late: 0.1 s
LIVELY = 0.02  # deviation of the opening from which a mouth counts in full, half of it
# Opening of the mouth in a phone, 0..1; the others have _CONSONANT.
_OPENINGS = {
    1.0: "AA AE AH AO AW AY",
    0.6: "EH EY OW ER",
    0.4: "IH IY OY UH UW HH",
    0.0: "SIL M B P +NSN+ +SPN+",
}
_CONSONANT = 0.25


class MouthMatcher:
    """Rows of mouths and of sounds that compare.

    Raises WeightsError when the weights are not installed.
    """

    def __init__(self, run: RunOptions) -> None:
        network = load_network(WEIGHTS, run)
        self._voice, self._offline = AudioToMotionVoice(network, run), run.offline
        basis = network.basis.float().cpu().numpy()
        self._project = np.linalg.pinv(basis.reshape(len(basis), -1))
        told = 1 - network.unexplained.float().cpu().numpy()
        self._weights = np.append(told, told[-1]) / (told.sum() + told[-1])
        self._openings = _phone_openings()

    def sound_rows(self, speech: Speech) -> Array32:
        """Return what a sound tells of a mouth, (T, 14), ROWS_PER_SECOND from its beginning.

        An hour takes 10 MB.
        """
        predicted = np.concatenate(list(self._voice.predict_rows(speech, 0.0)))
        phones = [
            np.exp(part) @ self._openings for part in phone_rows(speech.blocks(), self._offline)
        ]
        opening = np.concatenate(phones)[:: 100 // int(ROWS_PER_SECOND)]
        count = min(len(predicted), len(opening))
        return np.column_stack([predicted[:count], opening[:count]]).astype(np.float32)

    def mouth_rows(self, shapes: AnyArray) -> Array32:
        """Return the coefficients and the opening of canonical shapes (N, 468, 3) as (N, 13)."""
        coefficients = np.asarray(shapes, np.float64).reshape(len(shapes), -1) @ self._project
        return np.column_stack([coefficients, mouth_opening(shapes)]).astype(np.float32)

    def correlate(self, mouth: Array32, sound: Array32) -> Array:
        """Return the correlation at shifts of -REACH..REACH rows, (2 REACH + 1,), in -1..1.

        A mouth that hardly moves has a small one.

        Args:
            mouth: (T, 13) rows at the times of the sound's, NaN where it was not seen.
            sound: (T, 14) of `sound_rows`.
        """
        seen = np.isfinite(mouth[:, -1])
        lively = float(np.std(mouth[seen, -1]))
        own = np.where(seen[:, None], _standardise(mouth, seen), 0)
        own = np.column_stack([own, own[:, -1]]) * self._weights
        told = _standardise(sound, np.ones(len(sound), bool))
        count = len(own)
        found = [
            (own[max(s, 0) : count + min(s, 0)] * told[max(-s, 0) : count + min(-s, 0)]).sum()
            for s in range(-REACH, REACH + 1)
        ]
        return np.array(found) / max(int(seen.sum()), 1) * lively / (lively + LIVELY)


def _phone_openings() -> Array:
    openings = {name: value for value, names in _OPENINGS.items() for name in names.split()}
    return np.array([openings.get(name, _CONSONANT) for name in PHONES])


def _standardise(rows: Array32, counted: AnyArray) -> Array:
    """Return the rows less the mean of the counted ones, over their deviation."""
    known = rows[counted].astype(np.float64)
    return np.asarray((rows - known.mean(0)) / np.maximum(known.std(0), 1e-9))
