"""Border of a picture: a painted or scanned frame, black bars. It stays where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array32, Image

LEAST = 2  # pixels; one line may be a pattern's
MOST = 0.25  # of the picture's side, the widest border
NOISE = 12.0  # levels by which the border departs from its own colour
CROSSED = 0.02  # of a line that may be dirt or a head that reaches into it
STEP = 24.0  # levels between the border and the picture
STEP_SHARE = 0.85  # of a side's length that has this step
FRAME_SHARE = 0.95  # of the middle half of a side, where a frame of several tones has it
# A single line around the whole picture: mean levels by which it departs from its colour, share of
# it that does not; levels between its four sides, and share of each from which the picture differs
LINE_NOISE, LINE_SHARE, LINE_SIDES, LINE_STEP_SHARE = 20.0, 0.8, 60.0, 0.9
EVEN_SHARE = 0.7  # of such a frame's lines that have one colour; others are edges, a little askew
# Lines of any colours at one edge: the most; the level over that of the picture beside them, below
# which they differ from it, and over that of its next line, above which it goes on; levels from
# which that can be told, and the share of the edge that must have them; the share that differs
MOST_LINES, DIMMED, GOES_ON = 3, 0.8, 0.95
LEAST_LEVEL, LEAST_TOLD, LINE_LENGTH = 40.0, 0.3, 0.9
SAMPLES, TRIED = 512, 20  # pixels of a line that are read; lines after which half of that must be
THIN = 0.05  # of the picture's side, a border that may touch the person
MOST_PERSON = 0.01  # share of a wider border that may be taken for the person
SOFT = 2  # pixels between the border and the picture, mixed by encoders and scalers

Widths = tuple[int, int, int, int]  # in pixels at the top, the bottom, the left and the right
NO_BORDER = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Border:
    """Border of a picture (H, W).

    top, bottom, left, right: its widths in pixels.
    image: (H, W, 3) uint8, the picture with its border.
    """

    top: int
    bottom: int
    left: int
    right: int
    image: Image

    @classmethod
    def of(cls, image: Image, widths: Widths) -> Border | None:
        """Return the border of a picture with these widths, None where they are 0."""
        return cls(*widths, image) if any(widths) else None

    def extend_inside(self) -> Image:
        """Return the picture (H, W, 3) with its edge repeated in place of the border."""
        height, width = self.image.shape[:2]
        inside = self.image[self.top : height - self.bottom, self.left : width - self.right]
        sides = (self.top, self.bottom), (self.left, self.right), (0, 0)
        return np.pad(inside, sides, mode="edge")

    def clear(self, out: Image) -> None:
        """Set the border of a frame (H, W, 4) without a background to 0, in place.

        Lines stay as they are extended: below a body the background would show.
        """
        height, width = out.shape[:2]
        sides = self.top, self.bottom, self.left, self.right
        top, bottom, left, right = (side if side > MOST_LINES + SOFT else 0 for side in sides)
        out[:top] = out[height - bottom :] = 0
        out[:, :left] = out[:, width - right :] = 0

    def render(self, out: Image) -> None:
        """Copy the border to a frame (H, W, 3), in place."""
        height, width = self.image.shape[:2]
        for rows in (slice(0, self.top), slice(height - self.bottom, height)):
            out[rows] = self.image[rows]
        for columns in (slice(0, self.left), slice(width - self.right, width)):
            out[:, columns] = self.image[:, columns]


def find_border(image: Image, person: Array32 | None = None) -> Border | None:
    """Find the border of a picture (H, W, 3) uint8, see `find_widths`; None where it has none."""
    return Border.of(image, find_widths(image, person))


def find_widths(image: Image, person: Array32 | None = None) -> Widths:
    """Find lines of one colour along the edges of a picture that end in a step.

    On all four sides they may change from line to line: a print on a ground, with its shadow; there
    a single line will do, too. So does one of any colours at one edge that is darker or lighter
    than the picture all along: scaling mixed it with what was beyond.

    Args:
        image: (H, W, 3) uint8.
        person: (h, w) person probability in 0..1; more than a thin line that shows the person is
            no border.
    """
    frame = _frame_widths(image)
    if frame is not None:
        top, bottom, left, right = frame
    elif _has_line(image):
        top = bottom = left = right = 1 + SOFT
    else:
        top, bottom = _widths(image)
        left, right = _widths(image[top : image.shape[0] - bottom].swapaxes(0, 1))
        if min(image.shape[:2]) > 2 * (MOST_LINES + SOFT):
            below, above, before, after = map(_line_width, _from_sides(image))
            top, bottom, left, right = top or above, bottom or below, left or before, right or after
    if person is not None:
        height, width = image.shape[:2]
        top = _without_person(top, height, person)
        bottom = _without_person(bottom, height, person[::-1])
        left = _without_person(left, width, person.T)
        right = _without_person(right, width, person.T[::-1])
    return top, bottom, left, right


def common_widths(found: Sequence[Widths]) -> Widths:
    """Return the widths that all of several frames have."""
    if not found:
        return NO_BORDER
    top, bottom, left, right = (min(sides) for sides in zip(*found, strict=True))
    return top, bottom, left, right


def _without_person(width: int, length: int, person: Array32) -> int:
    """Return the width of a border at the top of a picture, 0 where it shows the person.

    Args:
        width: in pixels.
        length: of the picture from the top, in pixels.
        person: (h, w) probability.
    """
    if width <= THIN * length:
        return width
    shown = person[: max(1, round(width / length * len(person)))]
    return 0 if (shown > 0.5).mean() > MOST_PERSON else width


def _widths(image: Image) -> tuple[int, int]:
    """Return the widths of the borders at the top and the bottom of an image (H, W, 3)."""
    widths = _width(image), _width(image[::-1])
    return widths if sum(widths) <= 2 * MOST * len(image) else (0, 0)


def _width(image: Image) -> int:
    """Return the width of the border at the top of an image (H, W, 3), 0 without one.

    A line of it has one colour, but for the borders of the other sides at its ends.
    """
    colour = np.median(image[0].astype(np.float32), 0)
    for row in range(round(MOST * len(image)) + 1):
        if _differing(image[row], colour, NOISE, ends=False) > CROSSED:
            beyond = image[min(row + SOFT, len(image) - 1)]
            ends = row >= LEAST and _differing(beyond, colour, STEP) > STEP_SHARE
            return row + SOFT if ends else 0
    return 0


def _has_line(image: Image) -> bool:
    """Return whether a line of one colour runs around an image (H, W, 3).

    The middle half of each side counts. Encoders mix a line's colours with those beside it.
    """
    colours: list[Array32] = []
    if min(image.shape[:2]) <= 2 * (1 + SOFT):
        return False
    for lines in _from_sides(image):
        line, beside = (_middle(lines)[row].astype(np.float32) for row in (0, 1 + SOFT))
        colour = np.median(line, 0)
        colours.append(colour)
        alike = np.abs(line - colour).mean(-1) <= LINE_NOISE
        step = np.abs(beside - colour).max(-1) > STEP
        if alike.mean() < LINE_SHARE or step.mean() < LINE_STEP_SHARE:
            return False
    return float(np.ptp(colours, axis=0).max()) < LINE_SIDES


def _line_width(image: Image) -> int:
    """Return the width of darker or lighter lines at the top of an image (H, W, 3), 0 without."""
    step = max(1, image.shape[1] // SAMPLES)
    light = image[: MOST_LINES + 2, ::step].astype(np.float32).mean(-1)
    for count in range(1, MOST_LINES + 1):
        if any(_is_dimmed(level, count) for level in (light, 255 - light)):
            return count + SOFT
    return 0


def _is_dimmed(level: Array32, count: int) -> bool:
    """Return whether the first lines of a picture (N, W) are dimmer than the next, and these not.

    Args:
        level: 0..255, of light or of what is missing to white.
        count: of the first lines.
    """
    told = level[count] > LEAST_LEVEL
    if told.mean() < LEAST_TOLD:
        return False
    lines, beside, following = (
        rows[told] for rows in (level[:count].mean(0), level[count], level[count + 1])
    )
    goes_on = np.median(beside / following.clip(1)) > GOES_ON
    return bool(goes_on and (lines < DIMMED * beside).mean() > LINE_LENGTH)


def _from_sides(image: Image) -> tuple[Image, Image, Image, Image]:
    """Return an image (H, W, 3) as seen from below, where clothes end a frame, and three sides."""
    across = image.swapaxes(0, 1)
    return image[::-1], image, across, across[::-1]


def _middle(image: Image) -> Image:
    """Return samples of the middle half of the lines of an image (H, W, 3)."""
    length = image.shape[1]
    return image[:, length // 4 : length - length // 4 : max(1, length // SAMPLES)]


def _frame_widths(image: Image) -> tuple[int, int, int, int] | None:
    """Return the widths of a frame at the top, the bottom, the left and the right, None without."""
    widths = []
    for lines in _from_sides(image):
        widths.append(_frame_width(lines))
        if not widths[-1]:
            return None
    bottom, top, left, right = widths
    return top, bottom, left, right


def _frame_width(image: Image) -> int:
    """Return the width of a frame at the top of an image (H, W, 3), 0 without one.

    In the middle half of the side most of its lines have one colour each, and it ends in a step.
    """
    middle, width = _middle(image), 0
    even: list[bool] = []
    for row in range(min(round(MOST * len(image)) + 1, len(image) - 2 * SOFT)):
        colour = np.median(middle[row].astype(np.float32), 0)
        even.append(_differing(middle[row], colour, NOISE) <= CROSSED)
        ends = _differing(middle[row + 2 * SOFT], colour, STEP) > FRAME_SHARE
        if ends and even[-1] and row >= LEAST and np.mean(even) > EVEN_SHARE:
            width = row + 2 * SOFT
        if row >= TRIED and np.mean(even) < EVEN_SHARE / 2:
            break
    return width


def _differing(line: Image, colour: Array32, levels: float, *, ends: bool = True) -> float:
    """Return the share of a line (W, 3) that differs from a colour (3,) by more than `levels`.

    Without its ends: only from the first to the last sample that has the colour.
    """
    differs = np.abs(line.astype(np.float32) - colour).max(-1) > levels
    if not ends:
        alike = np.flatnonzero(~differs)
        if not len(alike) or alike[0] + len(differs) - alike[-1] > 2 * MOST * len(differs):
            return 1.0
        differs = differs[alike[0] : alike[-1] + 1]
    return float(differs.mean())
