"""Talking clips as numbers: what is heard and how the lower face moves, each speaker brought to one size of movement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from thcli.audio.features import MEL, PITCH, heard
from thcli.audio.mel import log_mel
from thcli.audio.read import starts
from thcli.audio.speech import Recording
from thcli.core.errors import MediaError, ThcliError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.evaluate.datasets import talking_clips
from thcli.faces.landmarks import topology
from thcli.motion import canonical, sliders
from thcli.motion.timeline import Bools

RATE = 25  # rows of motion a second that the training compares
SPEEDS = {
    0.87: (100, 87),
    0.93: (100, 93),
    1.0: (1, 1),
    1.08: (25, 27),
    1.16: (25, 29),
}  # resampled: faster is also higher
CLOSED = 0.006  # canonical units between the inner lips: the tracker's noise on closed ones
SIZES = (
    0.5,
    2.0,
)  # how much smaller or larger than the usual a speaker's movements may be taken for
LARGE = 0.9  # quantile of the openings by which speakers are compared
FLIP = np.array([-1.0, 1.0, 1.0])


@dataclass
class Talk:
    """One clip. rows: speed -> (T, 82) float16 what is heard, as `audio.features.heard` gives it.  seconds: (F,) of its pictures.

    shape: (F, 1404) float32 movement of the lower face from closed lips, canonical units; dropped once `target` is known.
    opening: (F,) mean gap of the inner lips, canonical units.  seen: (F,).  size: of the speaker's movements, over the usual.
    target: (F, K + 1) coefficients in standard deviations, and the opening over its own, of a speaker of the usual size.
    """

    name: str
    speaker: str
    rows: dict[float, Array32]
    seconds: Array
    shape: Array32
    opening: Array32
    seen: Bools
    size: float = 1.0
    target: Array32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))


def load(
    found: Sequence[tuple[Path, str]],
    motions: Path | None,
    speeds: Iterable[float] = SPEEDS,
    on: Listener = silent,
) -> list[Talk]:
    """Hears and observes clips. motions: where their motion files lie, or are put (None: beside the clips).

    A clip without sound, without a face, or that cannot be read is left out with a warning. Raises MediaError when none is left.
    """
    talks: list[Talk] = []
    wanted = tuple(speeds)
    on(Started("listen", len(found), "clips"))
    for number, (path, who) in enumerate(found, 1):
        try:
            talks.append(_talk(path, who, motions, wanted))
        except ThcliError as exc:
            on(Warned(f"{path.name} is left out: {exc.message}"))
        on(Step("listen", number))
    on(Finished("listen", len(talks), 0.0))
    if not talks:
        raise MediaError("None of the clips can be used.", talking_clips.HOW)
    return talks


def _talk(path: Path, who: str, motions: Path | None, speeds: tuple[float, ...]) -> Talk:
    recording = Recording(path)
    store = talking_clips.motion_of(path, motions)
    window = store.window(0, len(store))
    expression = np.asarray(window.arrays["expression"], np.float64)
    shape, opening = lower_face(expression)
    seconds = np.asarray(
        (window.pts - round(starts(path) / window.time_base)) * float(window.time_base), np.float64
    )
    return Talk(
        path.stem,
        who,
        sped(recording, speeds),
        seconds,
        shape,
        opening,
        np.asarray(window.valid, bool),
    )


def sped(recording: Recording, speeds: tuple[float, ...]) -> dict[float, Array32]:
    """speed -> (T, 82) rows of what is heard when the sound is played so fast."""
    rows = np.concatenate(list(heard(recording)))
    out = {1.0: rows.astype(np.float16)}
    samples = np.concatenate(list(recording.blocks()))
    for speed in speeds:
        if speed == 1.0:
            continue
        mel = log_mel(resample_poly(samples, *SPEEDS[speed]).astype(np.float32))
        there = np.clip((np.arange(len(mel)) * speed).round().astype(int), 0, len(rows) - 1)
        played = rows[there]
        played[:, MEL] = mel
        played[:, PITCH] *= speed
        out[speed] = played.astype(np.float16)
    return out  # type: ignore[return-value]  # half of the memory; taken up as float32


def lower_face(expression: Array) -> tuple[Array32, Array32]:
    """(F, 1404) symmetric movement of the lower face from closed lips, and (F,) the opening, of expressions (F, 468, 3); canonical units."""
    own = canonical.neutral() + expression
    opening = np.maximum(canonical.lip_gaps(own), 0).mean(-1)
    rows = (expression + expression[:, topology.PAIRS] * FLIP) / 2 * mask()
    flat = rows.reshape(len(rows), -1)
    # what the face is without speech: its closed frames, or where there are few, what a jaw that opens leaves over
    shut = opening < CLOSED
    rest = flat[shut].mean(0) if shut.sum() >= 4 else (flat - opening[:, None] * jaw()).mean(0)
    return (flat - rest).astype(np.float32), opening.astype(np.float32)


def mask() -> Array:
    """(468, 1): 1 around mouth and jaw, fading out towards the nose's root."""
    y = canonical.neutral()[:, 1]
    return np.asarray(smoothstep(y[197], y[4], y)[:, None])


def jaw() -> Array:
    """(1404,) movement of a jaw that opens the lips by one canonical unit."""
    shape = sliders.shapes().jaw
    gap = (
        canonical.lip_gaps(canonical.neutral() + shape).mean()
        - canonical.lip_gaps(canonical.neutral()).mean()
    )
    return np.asarray((shape * mask()).ravel() / gap)


def measure_speakers(talks: Sequence[Talk]) -> None:
    """Sets the size of each speaker's movements: his large openings over those of all."""
    large = {
        who: float(
            np.quantile(
                np.concatenate([t.opening[t.seen] for t in talks if t.speaker == who]), LARGE
            )
        )
        for who in {talk.speaker for talk in talks}
    }
    usual = float(np.mean(list(large.values())))
    for talk in talks:
        talk.size = float(np.clip(large[talk.speaker] / max(usual, 1e-6), *SIZES))


def principal(talks: Sequence[Talk], count: int) -> tuple[Array32, float]:
    """(count, 468, 3) shapes of speech by importance, one standard deviation each, and that of the opening; canonical units."""
    total, frames, openings = np.zeros((1404, 1404)), 0, []
    for talk in talks:
        rows = talk.shape[talk.seen].astype(np.float64) / talk.size
        total += rows.T @ rows
        frames += len(rows)
        openings.append(talk.opening[talk.seen] / talk.size)
    values, axes = np.linalg.eigh(total / max(frames, 1))
    deviations = np.sqrt(np.maximum(values[::-1][:count], 1e-12))
    basis = (axes[:, ::-1][:, :count] * deviations).T.reshape(count, 468, 3)
    return basis.astype(np.float32), max(float(np.concatenate(openings).std()), 1e-4)


def set_targets(talks: Sequence[Talk], basis: Array32, unit: float) -> None:
    """Sets what the network shall give for each frame; lets the shapes go."""
    flat = basis.reshape(len(basis), -1).astype(np.float64)
    project = (flat / (flat**2).sum(1, keepdims=True)).T.astype(np.float32)
    for talk in talks:
        columns = [talk.shape @ project / talk.size, talk.opening[:, None] / (talk.size * unit)]
        talk.target = np.concatenate(columns, 1).astype(np.float32)
        talk.shape = np.zeros((0, 1404), np.float32)
