"""Files of keys: sliders, expressions, blinks and head rotation by time (docs/expressions.md).

    # seconds  NAME=VALUE ...
    0.0  neutral
    1.0  happy=0.8 yaw=10
    2.0  blink
    3.5  neutral yaw=0

An expression without a value has strength 1; `wink` is one, `wink=VALUE` is the slider. Between two
keys of a name its value changes smoothly; before its first key it rises from 0, and its last one
holds. An expression takes the place of those that earlier lines name, so that they fade from their
last key to this one, while it rises from the last line that names one. `neutral` is such a line for
every name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from thcli.core.errors import MediaError, UsageError
from thcli.core.expressions import EXPRESSIONS, NEUTRAL, SLIDERS, TURNS, parse_strength
from thcli.core.text_files import reading_reason
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

    tracks: name of a slider or an angle -> its points by rising time.
    expressions: name of an expression -> the same.
    blinks: start times of blinks in seconds.
    """

    tracks: Mapping[str, Sequence[Point]]
    expressions: Mapping[str, Sequence[Point]]
    blinks: Sequence[float]

    @property
    def end(self) -> float:
        """Time of the last key in seconds."""
        every = (*self.tracks.values(), *self.expressions.values())
        last = [points[-1][0] for points in every]
        return max([*last, *self.blinks], default=0.0)

    def values(self, seconds: Array) -> dict[str, Array]:
        """Return the values (T,) of every slider and angle with keys, and of blinks under `BLINK`.

        Those of expressions are added to the sliders that they are made of.
        """
        found = {name: _curve(seconds, points) for name, points in self.tracks.items()}
        for name, points in self.expressions.items():
            strength = _curve(seconds, points)
            for slider, share in EXPRESSIONS[name].items():
                found[slider] = found.get(slider, 0.0) + share * strength
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
        raise MediaError(
            f"The file of keys {path} cannot be read: {reading_reason(exc)}.", EXAMPLE
        ) from exc
    if len(content) > MAX_BYTES:
        raise MediaError(f"The file of keys {path} is larger than 4 MiB.", EXAMPLE)
    lines = _Lines()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            lines.read(words)
        except _LineError as exc:
            raise MediaError(f"Line {number} of {path}: {exc}.", EXAMPLE) from exc
    if not lines.count:
        raise MediaError(f"The file of keys {path} has no key.", EXAMPLE)
    return Keys(lines.tracks, lines.expressions, lines.blinks)


class _LineError(Exception):
    """A line that is not understood; its text has no full stop."""


@dataclass(slots=True)
class _Lines:
    """Keys of the lines so far, see `Keys`.

    last: time of the line before.  rests, moods: times of the lines with `neutral`, and of those
    with an expression or `neutral`, each once; what has no key yet is 0 until the last one that is
    earlier than its first.
    """

    tracks: dict[str, list[Point]] = field(default_factory=dict)
    expressions: dict[str, list[Point]] = field(default_factory=dict)
    blinks: list[float] = field(default_factory=list)
    last: float = 0.0
    rests: list[float] = field(default_factory=list)
    moods: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of keys."""
        every = (*self.tracks.values(), *self.expressions.values())
        return sum(map(len, every)) + len(self.blinks)

    def read(self, words: Sequence[str]) -> None:
        """Add the keys of one line."""
        seconds = _number(words[0], "the time")
        if seconds > MAX_SECONDS:
            raise _LineError(f"the time {seconds:g} is beyond {MAX_SECONDS:.0f} seconds")
        if seconds < self.last:
            before = f"{self.last:g}, the one before it"
            raise _LineError(f"the time {seconds:g} must be at or after {before}")
        if len(words) == 1:
            raise _LineError("the time is followed by no name")
        values: dict[str, float] = {}
        strengths: dict[str, float] = {}
        for word in words[1:]:
            name, value = _read_value(word)
            named = strengths if _is_expression(word) else values
            if name in named:
                raise _LineError(f"{name} is named twice")
            named[name] = value
        if values.pop(BLINK, 0.0):
            self.blinks.append(seconds)
        rests, moody = NEUTRAL in strengths, bool(strengths)
        strengths.pop(NEUTRAL, None)
        if rests:
            values = dict.fromkeys(self.tracks, 0.0) | values
        if moody:  # takes the place of the expressions before it
            strengths = dict.fromkeys(self.expressions, 0.0) | strengths
        _add_points(self.tracks, seconds, values, self.rests)
        _add_points(self.expressions, seconds, strengths, self.moods)
        self.last = seconds
        for times, is_named in ((self.rests, rests), (self.moods, moody)):
            if is_named and seconds not in times[-1:]:
                times.append(seconds)
        if self.count > MAX_KEYS:
            raise _LineError(f"there are more than {MAX_KEYS} keys")


def _is_expression(word: str) -> bool:
    """Return whether a word names an expression: wink does, wink=0.5 is the slider."""
    name, equals, _ = word.partition("=")
    return name in EXPRESSIONS and not (equals and name in SLIDERS)


def _add_points(
    tracks: dict[str, list[Point]],
    seconds: float,
    values: Mapping[str, float],
    rests: Sequence[float],
) -> None:
    """Add a point to each track; what has none yet is 0 until the last rest before `seconds`.

    A rest at the same time, on the line before, is part of this one.
    """
    zero = next((time for time in rests[:-3:-1] if time < seconds), 0.0)
    for name, value in values.items():
        points = tracks.setdefault(name, [(zero, 0.0)] if 0 < zero < seconds else [])
        if points and points[-1][0] == seconds:
            points[-1] = seconds, value
        else:
            points.append((seconds, value))


def _read_value(word: str) -> tuple[str, float]:
    """Return the name and the value of a word such as smile=0.5, happy or blink."""
    name, equals, text = word.partition("=")
    spec = SLIDERS.get(name) or TURNS.get(name)
    if spec is not None and not _is_expression(word):
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
        known = ", ".join(dict.fromkeys([*SLIDERS, *TURNS, *EXPRESSIONS, BLINK]))
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
