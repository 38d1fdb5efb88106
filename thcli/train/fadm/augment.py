"""How pairs are changed while fadm-s learns: moved, mirrored, lit; coarse frames made worse, or put in their place the true frame itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from thcli.core.imaging import optical_flow
from thcli.core.options import FadmTrainOptions, TrainOptions
from thcli.core.types import Array, Array32, Image
from thcli.motion.model3d import EXPRESSION, SHAPES

ZOOM, TURN = 0.04, 3.0  # at most so much larger or smaller, and so many degrees turned
SHIFT = 0.02  # of the side, at most so far beside its place
SOFT, SOFTNESS = (
    0.5,
    1.2,
)  # of the pairs are out of focus, all of their pictures alike, by at most so many pixels
WAYS = ("motion", "off")
JITTER = 0.02  # spread of what is added to the attributes
AGAIN = 0.5  # of the frames that are left untouched come compressed once more
QUALITY = (25, 80)  # of JPEG, for coarse frames; untouched ones get at least GOOD
GOOD = 50
BLUR, SMALLER = (0.4, 1.6), (0.45, 0.8)  # pixels; part of the side
GRID, WARPED = (
    9,
    0.012,
)  # points of a local warp along a side, and how far they move at most, of the side
LIGHT = 0.1  # how much brighter or darker a coarse frame's colours may be


@dataclass(frozen=True, slots=True)
class Item:
    """A pair as it is kept: coarse, truth, still, source (S, S, 3) uint8, inside (4,) x0, y0, x1, y1, attributes (22,) source minus driving."""

    coarse: Image
    truth: Image
    still: Image
    source: Image
    inside: Array32
    attributes: Array32


def plain(item: Item, size: int) -> dict[str, Array32]:
    """As it is, its middle."""
    return _with_motion(_cut(item, np.array([[1.0, 0, 0], [0, 1.0, 0]]), size)) | {
        "untouched": np.array(0, np.float32)
    }


def augmented(
    item: Item, size: int, options: TrainOptions, own: FadmTrainOptions, draw: np.random.Generator
) -> dict[str, Array32]:
    """A pair of `size` pixels, changed at random."""
    coarse = item.coarse
    kind = draw.random()
    if kind < own.untouched:
        coarse = item.truth
        if draw.random() < AGAIN:
            coarse = compressed(coarse, int(draw.integers(GOOD, 96)))
    elif kind < own.untouched + own.degraded:
        coarse = worse(coarse, draw)
    still = coarse if draw.random() < own.alone else item.still
    changed = replace(item, coarse=coarse, still=still)
    angle, zoom = np.deg2rad(draw.uniform(-TURN, TURN)), draw.uniform(1 - ZOOM, 1 + ZOOM)
    matrix = np.zeros((2, 3))
    matrix[:, :2] = zoom * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    reach = min((len(coarse) - size) / 2, SHIFT * size)
    matrix[:, 2] = draw.uniform(-reach, reach, 2)
    if draw.random() < 0.5:  # without a turn pixels stay sharp
        matrix[:, :2], matrix[:, 2] = np.eye(2), np.rint(matrix[:, 2])
    out = _cut(changed, matrix, size)
    if options.flip and draw.random() < 0.5:
        out = flipped(out)
    out = _with_motion(softer(out, draw) if draw.random() < SOFT else out)
    gain = draw.uniform(1 - options.jitter, 1 + options.jitter, (3, 1, 1)).astype(
        np.float32
    ) * np.float32(draw.uniform(1 - options.jitter, 1 + options.jitter))
    power = np.float32(np.exp(draw.uniform(-2, 2) * options.jitter))
    for name in ("coarse", "truth", "source"):
        out[name] = np.clip(out[name] ** power * gain, 0, 1)
    out["untouched"] = np.array(kind < own.untouched, np.float32)
    out["attributes"] = out["attributes"] + draw.normal(0, JITTER, item.attributes.shape).astype(
        np.float32
    )
    return out


def _cut(item: Item, matrix: Array, size: int) -> dict[str, Array32]:
    """Everything seen through a matrix (2, 3) about the middle, as floats."""
    side = len(item.coarse)
    middle, target = (side - 1) / 2, (size - 1) / 2
    whole = matrix.copy()
    whole[:, 2] += target - whole[:, :2] @ [middle, middle]
    x0, y0, x1, y1 = (round(float(v + 0.5)) for v in item.inside)
    inside = np.zeros((side, side), np.uint8)
    inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 255
    pictures = np.concatenate([item.coarse, item.truth, item.still], 2)
    moved = [
        cv2.warpAffine(
            np.ascontiguousarray(part),
            whole,
            (size, size),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for part in (pictures[..., :3], pictures[..., 3:6], pictures[..., 6:])
    ]
    mask = cv2.warpAffine(
        inside, whole, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    unit = [part.transpose(2, 0, 1).astype(np.float32) / np.float32(255) for part in moved]
    return {
        "coarse": unit[0],
        "truth": unit[1],
        "source": unit[2],
        "inside": mask[None].astype(np.float32) / np.float32(255),
        "attributes": item.attributes.astype(np.float32),
    }


def softer(out: dict[str, Array32], draw: np.random.Generator) -> dict[str, Array32]:
    """All pictures out of focus alike: cameras differ."""
    width = float(draw.uniform(0.3, SOFTNESS))
    blurs = {
        name: cv2.GaussianBlur(out[name].transpose(1, 2, 0), (0, 0), width)
        for name in ("coarse", "truth", "source")
    }
    return out | {
        name: np.ascontiguousarray(np.asarray(p, np.float32).transpose(2, 0, 1))
        for name, p in blurs.items()
    }


def flipped(out: dict[str, Array32]) -> dict[str, Array32]:
    """The mirrored pair: pictures (C, S, S), numbers (A,), and ways (2, S, S), along which left and right change their sign."""
    found = {
        name: np.ascontiguousarray(value[..., ::-1]) if value.ndim == 3 else value
        for name, value in out.items()
    }
    found["attributes"] = mirrored(out["attributes"])
    return found | {
        name: found[name] * np.array([-1, 1], np.float32)[:, None, None]
        for name in WAYS
        if name in found
    }


def _with_motion(out: dict[str, Array32]) -> dict[str, Array32]:
    """Together with motion, where the coarse frame's content is in the source, and off, where the truth's is in the coarse frame: (2, S, S) pixels."""
    coarse, truth, source = (
        np.ascontiguousarray(
            np.rint(out[name].clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        )
        for name in ("coarse", "truth", "source")
    )
    ways = (optical_flow(coarse, source), optical_flow(truth, coarse))
    return out | {
        name: np.ascontiguousarray(way.transpose(2, 0, 1))
        for name, way in zip(WAYS, ways, strict=True)
    }


def mirrored(attributes: Array32) -> Array32:
    """The numbers of the mirrored face: left and right change places, one-sided shapes and two of the turns change their sign."""
    names = list(EXPRESSION)
    order = [names.index(_other(name)) for name in names]
    sign = np.ones(len(names) + 3, np.float32)
    sign[[i for i, name in enumerate(names) if name.startswith("side_")]] = -1
    sign[-2:] = -1
    return np.asarray(attributes[[*order, *range(len(names), len(names) + 3)]] * sign, np.float32)


def _other(name: str) -> str:
    if name in SHAPES:
        return name
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


def worse(picture: Image, draw: np.random.Generator) -> Image:
    """As other engines and bad videos have it: one or two of blur, fewer pixels, a local warp, another light, compression."""
    ways: list[Callable[[Image, np.random.Generator], Image]] = [
        blurred,
        smaller,
        warped,
        lit,
        blocky,
    ]
    for number in draw.choice(len(ways), int(draw.integers(1, 3)), replace=False):
        picture = ways[number](picture, draw)
    return picture


def blurred(picture: Image, draw: np.random.Generator) -> Image:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), float(draw.uniform(*BLUR))), np.uint8)


def smaller(picture: Image, draw: np.random.Generator) -> Image:
    """Made of fewer pixels."""
    side = len(picture)
    few = round(side * float(draw.uniform(*SMALLER)))
    small = cv2.resize(picture, (few, few), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def warped(picture: Image, draw: np.random.Generator) -> Image:
    """Its parts moved a little, smoothly."""
    side = len(picture)
    little = (
        draw.normal(0, WARPED / 2 * side, (GRID, GRID, 2))
        .clip(-WARPED * side, WARPED * side)
        .astype(np.float32)
    )
    field = cv2.resize(little, (side, side), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    return np.asarray(
        cv2.remap(
            picture,
            x + field[..., 0],
            y + field[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def lit(picture: Image, draw: np.random.Generator) -> Image:
    """Each colour brighter or darker."""
    gain = draw.uniform(1 - LIGHT, 1 + LIGHT, 3) * draw.uniform(1 - LIGHT, 1 + LIGHT)
    return np.clip(np.rint(picture * gain), 0, 255).astype(np.uint8)


def blocky(picture: Image, draw: np.random.Generator) -> Image:
    """Compressed much."""
    return compressed(picture, int(draw.integers(*QUALITY)))


def compressed(picture: Image, quality: int) -> Image:
    """What JPEG of that quality leaves."""
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
