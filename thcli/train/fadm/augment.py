"""Augmentation of fadm-s' training pairs.

Pairs are moved, mirrored and relit. Coarse frames are degraded, or replaced by the true frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from thcli.core.imaging import optical_flow
from thcli.core.options import FadmTrainOptions, TrainOptions
from thcli.core.types import Array, Array32, Image
from thcli.motion.model3d import EXPRESSION_NAMES, SYMMETRIC_NAMES

MAX_ZOOM, MAX_ANGLE = 0.04, 3.0  # change of scale; degrees
MAX_SHIFT = 0.02  # of the side
DEFOCUS_SHARE = 0.5  # of the pairs; all images of a pair are blurred alike
DEFOCUS_RANGE = (0.3, 1.2)  # standard deviation in pixels
FLOWS = ("source_flow", "residual_flow")
ATTRIBUTE_NOISE = 0.02  # standard deviation
COMPRESSED_SHARE = 0.5  # of the untouched frames
QUALITY = (25, 80)  # JPEG quality of coarse frames
MIN_QUALITY = 50  # JPEG quality of untouched frames
BLUR_RANGE, SCALE_RANGE = (0.4, 1.6), (0.45, 0.8)  # standard deviation in pixels; of the side
WARP_GRID, MAX_WARP = 9, 0.012  # points along a side; displacement, of the side
MAX_GAIN = 0.1  # change of brightness per colour of a coarse frame


@dataclass(frozen=True, slots=True)
class StoredPair:
    """A pair as stored.

    coarse, truth, still, source: (S, S, 3) uint8. inside: (4,) x0, y0, x1, y1. attributes: (22,)
    source minus driving.
    """

    coarse: Image
    truth: Image
    still: Image
    source: Image
    inside: Array32
    attributes: Array32


def prepare_pair(item: StoredPair, size: int) -> dict[str, Array32]:
    """Return the centre of a pair without augmentation."""
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    out = _add_flows(_warp_pair(item, identity, size))
    return out | {"untouched": np.array(0, np.float32)}


def augment_pair(
    item: StoredPair,
    size: int,
    options: TrainOptions,
    model_options: FadmTrainOptions,
    rng: np.random.Generator,
) -> dict[str, Array32]:
    """Return a randomly augmented pair of `size` pixels."""
    coarse = item.coarse
    kind = rng.random()
    if kind < model_options.untouched:
        coarse = item.truth
        if rng.random() < COMPRESSED_SHARE:
            coarse = compress_jpeg(coarse, int(rng.integers(MIN_QUALITY, 96)))
    elif kind < model_options.untouched + model_options.degraded:
        coarse = degrade(coarse, rng)
    still = coarse if rng.random() < model_options.alone else item.still
    changed = replace(item, coarse=coarse, still=still)
    angle = np.deg2rad(rng.uniform(-MAX_ANGLE, MAX_ANGLE))
    scale = rng.uniform(1 - MAX_ZOOM, 1 + MAX_ZOOM)
    matrix = np.zeros((2, 3))
    matrix[:, :2] = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    reach = min((len(coarse) - size) / 2, MAX_SHIFT * size)
    matrix[:, 2] = rng.uniform(-reach, reach, 2)
    if rng.random() < 0.5:  # a shift by whole pixels keeps them sharp
        matrix[:, :2], matrix[:, 2] = np.eye(2), np.rint(matrix[:, 2])
    out = _warp_pair(changed, matrix, size)
    if options.flip and rng.random() < 0.5:
        out = mirror_pair(out)
    out = _add_flows(defocus(out, rng) if rng.random() < DEFOCUS_SHARE else out)
    low, high = 1 - options.jitter, 1 + options.jitter
    colour_gain = rng.uniform(low, high, (3, 1, 1)).astype(np.float32)
    gain = colour_gain * np.float32(rng.uniform(low, high))
    gamma = np.float32(np.exp(rng.uniform(-2, 2) * options.jitter))
    for name in ("coarse", "truth", "source"):
        out[name] = np.clip(out[name] ** gamma * gain, 0, 1)
    out["untouched"] = np.array(kind < model_options.untouched, np.float32)
    noise = rng.normal(0, ATTRIBUTE_NOISE, item.attributes.shape)
    out["attributes"] = out["attributes"] + noise.astype(np.float32)
    return out


def _warp_pair(item: StoredPair, matrix: Array, size: int) -> dict[str, Array32]:
    """Warp all images by a matrix (2, 3) about the centre, as float32."""
    side = len(item.coarse)
    centre, target = (side - 1) / 2, (size - 1) / 2
    affine = matrix.copy()
    affine[:, 2] += target - affine[:, :2] @ [centre, centre]
    x0, y0, x1, y1 = (round(float(v + 0.5)) for v in item.inside)
    inside = np.zeros((side, side), np.uint8)
    inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 255
    border = cv2.BORDER_REPLICATE

    def warp(image: Image) -> Array32:
        source = np.ascontiguousarray(image)
        out = cv2.warpAffine(source, affine, (size, size), flags=cv2.INTER_CUBIC, borderMode=border)
        return np.asarray(out.transpose(2, 0, 1).astype(np.float32) / np.float32(255))

    mask = cv2.warpAffine(inside, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    return {
        "coarse": warp(item.coarse),
        "truth": warp(item.truth),
        "source": warp(item.still),
        "inside": mask[None].astype(np.float32) / np.float32(255),
        "attributes": item.attributes.astype(np.float32),
    }


def defocus(out: dict[str, Array32], rng: np.random.Generator) -> dict[str, Array32]:
    """Blur all images alike, because cameras differ."""
    sigma = float(rng.uniform(*DEFOCUS_RANGE))
    blurred = {
        name: cv2.GaussianBlur(out[name].transpose(1, 2, 0), (0, 0), sigma)
        for name in ("coarse", "truth", "source")
    }
    return out | {
        name: np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1))
        for name, image in blurred.items()
    }


def mirror_pair(out: dict[str, Array32]) -> dict[str, Array32]:
    """Mirror a pair: images (C, S, S), attributes (A,) and the x component of flows (2, S, S)."""
    mirrored = {
        name: np.ascontiguousarray(value[..., ::-1]) if value.ndim == 3 else value
        for name, value in out.items()
    }
    mirrored["attributes"] = mirror_attributes(out["attributes"])
    sign = np.array([-1, 1], np.float32)[:, None, None]
    return mirrored | {name: mirrored[name] * sign for name in FLOWS if name in mirrored}


def _add_flows(out: dict[str, Array32]) -> dict[str, Array32]:
    """Add source_flow (coarse to source) and residual_flow (truth to coarse), (2, S, S) pixels."""

    def image(name: str) -> Image:
        coded = np.rint(out[name].clip(0, 1) * 255).astype(np.uint8)
        return np.ascontiguousarray(coded.transpose(1, 2, 0))

    coarse, truth, source = (image(name) for name in ("coarse", "truth", "source"))
    flows = (optical_flow(coarse, source), optical_flow(truth, coarse))
    return out | {
        name: np.ascontiguousarray(flow.transpose(2, 0, 1))
        for name, flow in zip(FLOWS, flows, strict=True)
    }


def mirror_attributes(attributes: Array32) -> Array32:
    """Return the attributes of the mirrored face.

    Left and right are exchanged; one-sided shapes and two of the rotations change their sign.
    """
    names = list(EXPRESSION_NAMES)
    order = [names.index(_mirrored_name(name)) for name in names]
    sign = np.ones(len(names) + 3, np.float32)
    sign[[i for i, name in enumerate(names) if name.startswith("side_")]] = -1
    sign[-2:] = -1
    return np.asarray(attributes[[*order, *range(len(names), len(names) + 3)]] * sign, np.float32)


def _mirrored_name(name: str) -> str:
    if name in SYMMETRIC_NAMES:
        return name
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


def degrade(image: Image, rng: np.random.Generator) -> Image:
    """Apply one or two of blur, downscaling, local warp, lighting and compression.

    The results look like those of other engines and of bad videos.
    """
    changes: list[Callable[[Image, np.random.Generator], Image]] = [
        blur,
        downscale,
        warp_locally,
        change_light,
        compress_strongly,
    ]
    for number in rng.choice(len(changes), int(rng.integers(1, 3)), replace=False):
        image = changes[number](image, rng)
    return image


def blur(image: Image, rng: np.random.Generator) -> Image:
    """Blur an image."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(*BLUR_RANGE))), np.uint8)


def downscale(image: Image, rng: np.random.Generator) -> Image:
    """Reduce and enlarge an image."""
    side = len(image)
    reduced = round(side * float(rng.uniform(*SCALE_RANGE)))
    small = cv2.resize(image, (reduced, reduced), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def warp_locally(image: Image, rng: np.random.Generator) -> Image:
    """Warp an image smoothly by a small random field."""
    side = len(image)
    coarse = rng.normal(0, MAX_WARP / 2 * side, (WARP_GRID, WARP_GRID, 2))
    coarse = coarse.clip(-MAX_WARP * side, MAX_WARP * side).astype(np.float32)
    field = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    x, y = x + field[..., 0], y + field[..., 1]
    out = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def change_light(image: Image, rng: np.random.Generator) -> Image:
    """Multiply each colour by a random gain."""
    low, high = 1 - MAX_GAIN, 1 + MAX_GAIN
    gain = rng.uniform(low, high, 3) * rng.uniform(low, high)
    return np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)


def compress_strongly(image: Image, rng: np.random.Generator) -> Image:
    """Compress an image at low JPEG quality."""
    return compress_jpeg(image, int(rng.integers(*QUALITY)))


def compress_jpeg(image: Image, quality: int) -> Image:
    """Compress an image as JPEG and decode it."""
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
