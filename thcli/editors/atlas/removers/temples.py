"""Temples of glasses beside the eyes' part: lines from its border to the ears, taken off.

The network sees the face between the temples of the head alone. A temple goes on beyond that: one
thin line on each side, which begins at a rim that was found. It is followed outwards, and skin from
above and below takes its place.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.parts import COLUMNS, PARTS, ROWS, code_texture, decode_texture

_INSIDE = 12  # samples within the part's border where a temple begins
_HALF = 20  # samples: half the height of a window whose median is the skin beside a temple
_STEP = 1  # samples that a temple rises or falls in one column, at most
_BEND = 0.15  # cost of a sample of that, in lines of the least strength
_MOST = 2.0  # strength above which a line counts no more
_LINE = (0.05, 2.5)  # least soft logarithms between a temple and the skin, and over its grain
_BEGIN = 0.3  # of what is replaced at the border, where a temple begins
_NO_LINE = 0.7  # reward that a column without a line costs
_TOLD = 0.15  # visibility below which nothing is told
_EDGE = 0.4  # of a temple's strength: where it ends above and below
_MARGIN = 2  # samples that are replaced beyond these ends
_SKIN = 4  # samples of skin above and below that are continued
_SMOOTH = 2.0  # samples: deviation of the ends along a temple, and of its soft border's third


class Temples(NamedTuple):
    """Skin in place of temples.

    target: (ROWS, COLUMNS, 3) soft logarithms.
    solid: (ROWS, COLUMNS) 0..1, where it replaces the texture.
    """

    target: Array32
    solid: Array32


def take_off_temples(texture: Array32, weight: Array32, rims: Array32) -> Temples:
    """Follow temples outwards from the rims at the border of the eyes' part.

    Args:
        texture: (ROWS, COLUMNS, 3) soft logarithms with glasses.
        weight: (ROWS, COLUMNS) visibility.
        rims: (ROWS, COLUMNS) 0..1, where rims are replaced.
    """
    part = PARTS["eyes"]
    rows = slice(part.top, part.top + part.height)
    target, solid = texture.copy(), np.zeros((ROWS, COLUMNS), np.float32)
    ends = (part.left + _INSIDE, COLUMNS - part.left - part.width + _INSIDE)
    for end, flip in zip(ends, (slice(None, None, -1), slice(None)), strict=True):
        # Columns run outwards; on the left side the atlas is mirrored.
        columns = slice(0, end) if flip.step == -1 else slice(COLUMNS - end, COLUMNS)
        own = texture[rows, columns][:, flip]
        seen = weight[rows, columns][:, flip]
        start = rims[rows, columns][:, flip]
        filled, share = _follow(np.ascontiguousarray(own), seen, start)
        target[rows, columns] = filled[:, flip]
        solid[rows, columns] = share[:, flip]
    return Temples(target, solid)


def _follow(texture: Array32, seen: Array32, rims: Array32) -> tuple[Array32, Array32]:
    """Return one side without its temple, and where that is replaced; columns run outwards."""
    nothing = np.zeros(seen.shape, np.float32)
    change = texture - _median_down(texture)
    told = seen > _TOLD
    begins = rims[:, :_INSIDE].max(1) > _BEGIN
    if not begins.any() or told.sum() < change.shape[1]:
        return texture, nothing
    found: tuple[float, npt.NDArray[np.intp], Array32] = (0.0, np.zeros(0, np.intp), nothing)
    for side in (-1, 1):  # darker and lighter than the skin
        line = np.maximum(np.float32(side) * (change @ tone.LUMA), 0)
        least = max(_LINE[0], _LINE[1] * float(np.median(line[told & (line > 0)])))
        strength = np.clip(line / np.float32(least), 0, _MOST) * told - _NO_LINE
        value, path = _path(np.asarray(strength, np.float32), begins)
        if value > found[0]:
            found = value, path, line
    _, path, line = found
    if len(path) <= _INSIDE:
        return texture, nothing
    return _replace(texture, line, path, nothing)


def _median_down(texture: Array32) -> Array32:
    """Return the median of a column's window around each sample: skin beside a thin line."""
    coded = code_texture(texture)
    padded = np.pad(coded, ((_HALF, _HALF), (0, 0), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _HALF + 1, axis=0)
    return decode_texture(np.ascontiguousarray(np.median(windows, axis=-1).astype(np.uint8)))


def _path(reward: Array32, begins: npt.NDArray[np.bool_]) -> tuple[float, npt.NDArray[np.intp]]:
    """Return the path of most reward that begins at a rim: its value, and each column's row.

    It ends where going on does not pay.
    """
    count = reward.shape[1]
    total = np.where(begins, reward[:, 0], -np.inf)
    shifts = np.arange(-_STEP, _STEP + 1)
    steps = np.zeros(reward.shape, np.intp)
    best_value, end, row = 0.0, -1, 0
    for column in range(count):
        if column:
            padded = np.pad(total, _STEP, constant_values=-np.inf)
            came = np.stack(
                [padded[_STEP + s : _STEP + s + len(total)] - _BEND * abs(s) for s in shifts]
            )
            best = came.argmax(0)
            steps[:, column] = shifts[best]
            total = reward[:, column] + came.max(0)
        if float(total.max()) > best_value:
            best_value, end, row = float(total.max()), column, int(total.argmax())
    path = np.zeros(end + 1, np.intp)
    for column in range(end, -1, -1):
        path[column] = row
        row += steps[row, column]
    return best_value, path


def _replace(
    texture: Array32, line: Array32, path: npt.NDArray[np.intp], nothing: Array32
) -> tuple[Array32, Array32]:
    """Return the texture with skin in place of the line along a path, and the share of it."""
    height = len(line)
    columns = np.arange(len(path))
    least = _EDGE * line[path, columns]
    reach = np.zeros((2, len(path)), np.float32)
    for side, direction in enumerate((-1, 1)):
        going = np.ones(len(path), bool)
        for step in range(1, _HALF + 1):
            row = np.clip(path + direction * step, 0, height - 1)
            going &= line[row, columns] > least
            reach[side] += going
    soft = cv2.GaussianBlur(reach, (0, 0), _SMOOTH, borderType=cv2.BORDER_REPLICATE)
    wide = np.maximum(reach, soft) + _MARGIN
    top = path - wide[0]
    bottom = path + wide[1]
    place = np.arange(height, dtype=np.float32)[:, None]
    inside = np.clip(np.minimum(place - top, bottom - place) / _SMOOTH + 0.5, 0, 1)
    share = nothing.copy()
    share[:, : len(path)] = inside
    share = np.asarray(cv2.GaussianBlur(share, (0, 0), 0.8), np.float32)
    out = texture.copy()
    for column in columns:
        a, b = int(np.floor(top[column])), int(np.ceil(bottom[column]))
        above = texture[max(a - _SKIN, 0) : max(a, 1), column].mean(0)
        below = texture[min(b + 1, height - 1) : b + 1 + _SKIN, column].mean(0)
        along = np.clip((place[:, 0] - a) / max(b - a, 1), 0, 1)[:, None]
        out[:, column] = above + along * (below - above)
    ends = len(path)
    smooth = cv2.GaussianBlur(out[:, :ends], (0, 0), sigmaX=_SMOOTH, sigmaY=0.1)
    out[:, :ends] = smooth
    return np.asarray(out, np.float32), share
