"""Talking clips as arrays: sound features and lower-face motion, normalised per speaker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from thcli.audio.features import extract_features
from thcli.audio.phones import PHONES, phone_rows
from thcli.audio.read import start_time
from thcli.audio.speech import Recording
from thcli.core.errors import MediaError, ThcliError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.evaluate.datasets import talking_clips
from thcli.faces.landmarks import topology
from thcli.motion import canonical, sliders
from thcli.motion.timeline import Bools

RATE = 25  # rows of motion per second in the loss
CLOSED = 0.006  # canonical units; smaller lip gaps are tracker noise on closed lips
TEETH_OPENING = 0.03  # canonical units; lips are no farther apart while f or v is formed
SIZE_RANGE = (0.5, 2.0)  # of a speaker's movements, relative to the mean of all speakers
SIZE_QUANTILE = 0.9  # quantile of the lip openings by which speakers are compared
LABIODENTAL = [PHONES.index(name) for name in ("F", "V")]
BILABIAL = [PHONES.index(name) for name in ("P", "B", "M")]
MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass
class TalkingClip:
    """Sound features and lower-face motion of one clip.

    rows: (T, 82) float16 features, as `audio.features.extract_features` gives them.
    phones: (T, 42) float16 log posteriors, as `audio.phones.phone_rows` gives them.
    seconds: (F,) times of the frames; `offsets.correct_offsets` puts them in step with the sound.
    shape: (F, 1404) float32 movement of the lower face from closed lips, canonical units; dropped
    once `target` is set.
    opening: (F,) mean gap of the inner lips, canonical units. seen: (F,) face tracked.
    size: size of the speaker's movements relative to the mean of all speakers.
    target: (F, K + 3) coefficients and opening, in standard deviations of a speaker of mean size,
    then 1 where the lips are shut, and 1 where the lower lip is at the teeth.
    """

    name: str
    speaker: str
    rows: Array32
    phones: Array32
    seconds: Array
    shape: Array32
    opening: Array32
    seen: Bools
    size: float = 1.0
    target: Array32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))


def load_clips(
    found: Sequence[tuple[Path, str]],
    motions: Path | None,
    on: Listener = silent,
) -> list[TalkingClip]:
    """Load sound features and motion of clips.

    A clip without sound or face, or that cannot be read, is left out with a warning.

    Args:
        found: Path and speaker of each clip.
        motions: Folder of the motion files, created where they are missing; None: beside the clips.
        on: Listener for progress and warnings.

    Raises:
        MediaError: No clip is left.
    """
    clips: list[TalkingClip] = []
    began = time.perf_counter()
    on(Started("listen", len(found), "clips"))
    for number, (path, speaker) in enumerate(found, 1):
        try:
            clips.append(_load_clip(path, speaker, motions))
        except ThcliError as exc:
            on(Warned(f"{path.name} is left out: {exc.message}"))
        on(Step("listen", number))
    on(Finished("listen", len(clips), time.perf_counter() - began))
    if not clips:
        raise MediaError("None of the clips can be used.", talking_clips.HINT)
    return clips


def _load_clip(path: Path, speaker: str, motions: Path | None) -> TalkingClip:
    recording = Recording(path)
    store = talking_clips.load_motion(path, motions)
    window = store.window(0, len(store))
    expression = np.asarray(window.arrays["expression"], np.float64)
    shape, opening = lower_face_motion(expression)
    seconds = np.asarray(
        (window.pts - round(start_time(path) / window.time_base)) * float(window.time_base),
        np.float64,
    )
    return TalkingClip(
        path.stem,
        speaker,
        np.concatenate(list(extract_features(recording))).astype(np.float16),
        np.concatenate(list(phone_rows(recording.blocks()))).astype(np.float16),
        seconds,
        shape,
        opening,
        np.asarray(window.valid, bool),
    )


def lower_face_motion(expression: Array) -> tuple[Array32, Array32]:
    """Return the symmetric movement of the lower face from closed lips, and the lip opening.

    Args:
        expression: (F, 468, 3) canonical units.

    Returns:
        Movement (F, 1404) and opening (F,), canonical units.
    """
    neutral = canonical.neutral()
    opening = np.maximum(canonical.lip_gaps(neutral + expression), 0).mean(-1)
    rows = (expression + expression[:, topology.PAIRS] * MIRROR) / 2 * lower_face_mask()
    flat = rows.reshape(len(rows), -1)
    # rest pose: mean of the frames with closed lips, or with too few the mean without jaw opening
    closed = opening < CLOSED
    if closed.sum() >= 4:
        rest = flat[closed].mean(0)
    else:
        rest = (flat - opening[:, None] * jaw_opening()).mean(0)
    return (flat - rest).astype(np.float32), opening.astype(np.float32)


def lower_face_mask() -> Array:
    """Return (468, 1) weights: 1 around mouth and jaw, fading out towards the root of the nose."""
    y = canonical.neutral()[:, 1]
    return np.asarray(smoothstep(y[197], y[4], y)[:, None])


def jaw_opening() -> Array:
    """Return the (1404,) movement of a jaw that opens the lips by one canonical unit."""
    shape = sliders.load_slider_shapes().jaw
    gap = (
        canonical.lip_gaps(canonical.neutral() + shape).mean()
        - canonical.lip_gaps(canonical.neutral()).mean()
    )
    return np.asarray((shape * lower_face_mask()).ravel() / gap)


def measure_speakers(clips: Sequence[TalkingClip]) -> None:
    """Set each speaker's size: a high quantile of the lip openings relative to all speakers."""
    openings: dict[str, list[Array32]] = {}
    for clip in clips:
        openings.setdefault(clip.speaker, []).append(clip.opening[clip.seen])
    sizes = {
        speaker: float(np.quantile(np.concatenate(rows), SIZE_QUANTILE))
        for speaker, rows in openings.items()
    }
    mean = float(np.mean(list(sizes.values())))
    for clip in clips:
        clip.size = float(np.clip(sizes[clip.speaker] / max(mean, 1e-6), *SIZE_RANGE))


def fit_basis(clips: Sequence[TalkingClip], count: int) -> tuple[Array32, float]:
    """Fit the principal shapes of speech, weighted to a mean speaker.

    Returns:
        Shapes (count, 468, 3) by importance, one standard deviation each, and the standard
            deviation of the lip opening; canonical units.
    """
    total, frames, openings = np.zeros((1404, 1404)), 0, []
    for clip in clips:
        rows = clip.shape[clip.seen].astype(np.float64) / clip.size
        total += rows.T @ rows
        frames += len(rows)
        openings.append(clip.opening[clip.seen] / clip.size)
    values, axes = np.linalg.eigh(total / max(frames, 1))
    deviations = np.sqrt(np.maximum(values[::-1][:count], 1e-12))
    basis = (axes[:, ::-1][:, :count] * deviations).T.reshape(count, 468, 3)
    return basis.astype(np.float32), max(float(np.concatenate(openings).std()), 1e-4)


def set_targets(clips: Sequence[TalkingClip], basis: Array32, unit: float) -> None:
    """Set the target of every frame; drop the shapes."""
    flat = basis.reshape(len(basis), -1).astype(np.float64)
    project = (flat / (flat**2).sum(1, keepdims=True)).T.astype(np.float32)
    for clip in clips:
        opening = clip.opening[:, None]
        labiodental = sample_rows(np.exp(clip.phones[:, LABIODENTAL].astype(np.float32)), clip)
        columns = [
            clip.shape @ project / clip.size,
            opening / (clip.size * unit),
            opening < CLOSED,
            labiodental.sum(1, keepdims=True) * (opening < TEETH_OPENING) * (opening >= CLOSED),
        ]
        clip.target = np.concatenate(columns, 1).astype(np.float32)
        clip.shape = np.zeros((0, 1404), np.float32)


def sample_rows(rows: Array32, clip: TalkingClip) -> Array32:
    """Return rows (T, C) of the clip's sound at its frames, (F, C), the nearest in time."""
    at = np.clip(np.round(clip.seconds * 100).astype(int), 0, len(rows) - 1)
    return np.asarray(rows[at])
