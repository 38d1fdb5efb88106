"""Files of keys: sliders, expressions, blinks and head rotation by time (docs/expressions.md).

    # seconds  NAME=VALUE ...
    0.0  neutral
    1.0  happy=0.8 yaw=10
    2.0  blink
    3.5  neutral yaw=0

A name without a value has strength 1. Between two keys of a name its value changes smoothly; before
its first key it is 0, and its last one holds. An expression takes the place of those that earlier
lines name, so that they fade from their last key to this one; `neutral` does so for every name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thcli.core.errors import MediaError, UsageError
from thcli.core.expressions import EXPRESSIONS, NEUTRAL, SLIDERS, TURNS, parse_strength
from thcli.core.types import Array
from thcli.motion.sliders import blink_curve, keyframe_curve

BLINK = "blink"  # an event: lids that close and open by themselves
MAX_BYTES, MAX_KEYS = 1 << 22, 100_000
MAX_SECONDS = 1e6
EXAMPLE = "A line is SECONDS NAME=VALUE ..., such as: 1.5 smile=0.6 yaw=10"

Point = tuple[float, float]
"""Seconds and value."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys by name.

    tracks: name of a slider, an expression or an angle -> its points by rising time.
    blinks: start times of blinks in seconds.
    """

    tracks: Mapping[str, Sequence[Point]]
    blinks: Sequence[float]

    @property
    def end(self) -> float:
        """Time of the last key in seconds."""
        last = [points[-1][0] for points in self.tracks.values()]
        return max([*last, *self.blinks], default=0.0)

    def values(self, seconds: Array) -> dict[str, Array]:
        """Return the values (T,) of every name with keys, and of blinks under `BLINK`."""
        found = {name: _curve(seconds, points) for name, points in self.tracks.items()}
        if self.blinks:
            found[BLINK] = blink_curve(seconds, self.blinks)
        return found


def read_keys(path: Path) -> Keys:
    """Read a file of keys.

    Raises:
        MediaError: the file cannot be read, or has no key; a line is not understood, names a value
            out of its range, or is earlier than the one before it. The message has its number.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise MediaError(f"The file of keys {path} cannot be read: {exc}.", EXAMPLE) from exc
    if len(content) > MAX_BYTES:
        raise MediaError(f"The file of keys {path} is larger than 4 MiB.", EXAMPLE)
    tracks: dict[str, list[Point]] = {}
    blinks: list[float] = []
    last = 0.0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            last = _read_line(words, last, tracks, blinks)
        except _LineError as exc:
            raise MediaError(f"Line {number} of {path}: {exc}.", EXAMPLE) from exc
    if not tracks and not blinks:
        raise MediaError(f"The file of keys {path} has no key.", EXAMPLE)
    return Keys(tracks, blinks)


class _LineError(Exception):
    """A line that is not understood; its text has no full stop."""


def _read_line(
    words: Sequence[str], last: float, tracks: dict[str, list[Point]], blinks: list[float]
) -> float:
    """Add the keys of one line; return its time in seconds."""
    seconds = _number(words[0], "the time")
    if not last <= seconds <= MAX_SECONDS:
        raise _LineError(f"the time {seconds:g} must be at or after {last:g}, the one before it")
    if len(words) == 1:
        raise _LineError("the time is followed by no name")
    values: dict[str, float] = {}
    for word in words[1:]:
        name, value = _read_value(word)
        if name in values:
            raise _LineError(f"{name} is named twice")
        values[name] = value
    if values.pop(BLINK, 0.0):
        blinks.append(seconds)
    ended = dict.fromkeys(tracks if NEUTRAL in values else (), 0.0)
    if any(name in EXPRESSIONS for name in values):
        ended |= {name: 0.0 for name in tracks if name in EXPRESSIONS}
    for name, value in (ended | values).items():
        if name == NEUTRAL:
            continue
        points = tracks.setdefault(name, [])
        if points and points[-1][0] == seconds:
            points[-1] = seconds, value
        else:
            points.append((seconds, value))
    if sum(len(points) for points in tracks.values()) + len(blinks) > MAX_KEYS:
        raise _LineError(f"there are more than {MAX_KEYS} keys")
    return seconds


def _read_value(word: str) -> tuple[str, float]:
    """Return the name and the value of a word such as smile=0.5, happy or blink."""
    name, equals, text = word.partition("=")
    spec = SLIDERS.get(name) or TURNS.get(name)
    if spec is not None:
        if not equals:
            raise _LineError(f"{name} needs a value, such as {name}={spec.high:g}")
        value = _number(text, name)
        if not spec.low <= value <= spec.high:
            raise _LineError(f"{name} must be within {spec.low:g}..{spec.high:g}, not {value:g}")
        return name, value
    if name in (BLINK, NEUTRAL):
        if equals:
            raise _LineError(f"{name} has no value")
        return name, 1.0
    if name not in EXPRESSIONS:
        known = ", ".join([*SLIDERS, *TURNS, *EXPRESSIONS, BLINK])
        raise _LineError(f"there is no {name!r}; there are {known}")
    try:
        return parse_strength(word)
    except UsageError as exc:
        raise _LineError(exc.message.rstrip(".")) from exc


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise _LineError(f"{what} is {text!r}, which is no number")
    return value


def _curve(seconds: Array, points: Sequence[Point]) -> Array:
    """Return a smooth curve (T,) through points; it begins at 0 with the clip."""
    begin = [] if points[0][0] <= 0 else [(0.0, 0.0)]
    return keyframe_curve(seconds, *begin, *points)
