"""Catalogue of the expression sliders and of the named expressions made of them.

Options, files of keys and motion files use these names. `motion.control` gives them their shapes.
Action units (AU) are those of Ekman and Friesen 1978, Facial Action Coding System.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thcli.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class SliderSpec:
    """Range and meaning of a slider; 0 changes nothing.

    low, high: range of its values.  about: what the ends of the range are.
    """

    low: float
    high: float
    about: str


MAX_GAZE = (30.0, 15.0)  # degrees
SLIDERS: Mapping[str, SliderSpec] = {
    "brows": SliderSpec(-1, 1, "-1 lowered and drawn together, 1 raised"),
    "inner-brows": SliderSpec(-1, 1, "inner ends: -1 drawn together, 1 raised"),
    "lids": SliderSpec(-1, 1, "-1 wide open, 1 shut"),
    "wink": SliderSpec(-1, 1, "-1 shuts the eye on the image's left, 1 that on its right"),
    "squint": SliderSpec(0, 1, "1 narrowed eyes and raised cheeks"),
    "gaze-x": SliderSpec(-MAX_GAZE[0], MAX_GAZE[0], "degrees to the image's right"),
    "gaze-y": SliderSpec(-MAX_GAZE[1], MAX_GAZE[1], "degrees down"),
    "smile": SliderSpec(-1, 1, "-1 corners of the mouth drawn down, 1 broad smile"),
    "jaw": SliderSpec(0, 1, "1 wide open"),
    "pucker": SliderSpec(-1, 1, "-1 mouth drawn wide, 1 lips pursed"),
}
TURNS: Mapping[str, SliderSpec] = {
    "yaw": SliderSpec(-90, 90, "degrees, positive turns the nose to the image's left"),
    "pitch": SliderSpec(-90, 90, "degrees, positive looks down"),
    "roll": SliderSpec(-90, 90, "degrees, positive tilts clockwise"),
}
NEUTRAL = "neutral"
MAX_STRENGTH = 1.5  # of a named expression

EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    NEUTRAL: {},
    "happy": {"smile": 0.7, "squint": 0.45, "brows": 0.1},  # AU 6, 12
    "sad": {"inner-brows": 0.9, "lids": 0.16, "smile": -0.75, "gaze-y": 5},  # AU 1, 4, 15
    "angry": {"brows": -1.0, "squint": 0.25, "smile": -0.45},  # AU 4, 7, 15
    "surprised": {"brows": 1.0, "lids": -0.6, "jaw": 0.45, "pucker": 0.15},  # AU 1, 2, 5, 26
    "kiss": {"pucker": 1.0, "lids": 0.3, "brows": 0.15},  # AU 18
    "wink": {"wink": 1.0, "smile": 0.35},  # AU 46
}
"""Values of the sliders at strength 1."""


def parse_strength(text: str) -> tuple[str, float]:
    """Return the name and the strength of an expression such as "happy" or "happy=0.6".

    Raises:
        UsageError: the expression is not known, or the strength is no number within its range.
    """
    name, equals, number = text.partition("=")
    if name not in EXPRESSIONS:
        raise UsageError(
            f"There is no expression {name!r}.", f"There are: {', '.join(EXPRESSIONS)}."
        )
    try:
        strength = float(number) if equals else 1.0
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= MAX_STRENGTH:
        raise UsageError(
            f"The strength of {name} must be a number within 0..{MAX_STRENGTH}, not {number!r}."
        )
    return name, strength
