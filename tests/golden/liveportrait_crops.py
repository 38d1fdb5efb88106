"""Stages of LivePortrait's crops, and of pasting a crop back."""

from __future__ import annotations

import numpy as np

from tests.golden.liveportrait_inputs import GoldenInputs
from thcli.core import geometry
from thcli.core.types import Array, Array32, Image
from thcli.engines.liveportrait.mask import soft_mask
from thcli.faces.crops import align


def crop_square(points: Array32, size: int, scale: float, up: float) -> tuple[Array, float, float]:
    """Read centre, side and angle of LivePortrait's square from its crop."""
    matrix = align.liveportrait(points, size, scale, up).crop_from_frame
    side = size / float(np.sqrt(np.linalg.det(matrix[:2, :2])))
    centre = geometry.transform_points(inverse(matrix), [size / 2, size / 2])
    return centre, side, float(np.arctan2(matrix[0, 1], matrix[0, 0]))


def crop_stages(given: GoldenInputs) -> dict[str, Array]:
    out: dict[str, Array] = {}
    for tag, points in (("203", given.points(20)), ("106", given.points(25, 106))):
        out[f"crop/pts{tag}"] = points.astype(np.float64)
        centre, side, angle = crop_square(points, 512, 2.3, 0.125)
        out[f"crop/{tag}/center"], out[f"crop/{tag}/size"] = centre, np.array([side, side])
        out[f"crop/{tag}/angle"] = np.array([angle])
        for name in ("rot", "norot"):
            matrix = align.liveportrait(points, 512, rotate=name == "rot").crop_from_frame
            out[f"crop/{tag}/{name}/M_o2c"], out[f"crop/{tag}/{name}/M_c2o"] = (
                matrix,
                inverse(matrix),
            )
            out[f"crop/{tag}/{name}/pt_crop"] = geometry.transform_points(matrix, points)
        out[f"crop/{tag}/landmark_M_o2c"] = align.liveportrait(
            points, 224, 1.5, 0.1
        ).crop_from_frame
    return out | driving_crop_stages(given)


def driving_crop_stages(given: GoldenInputs) -> dict[str, Array]:
    """Compute the mean of the frames' upright boxes."""
    squares = [crop_square(given.points(i), 512, 2.2, 0.1) for i in (20, 21, 22)]
    boxes = np.array([[*(centre - side / 2), *(centre + side / 2)] for centre, side, _ in squares])
    mean = boxes.mean(0)
    size = mean[2] - mean[0]
    scale, middle = 512 / size, (mean[:2] + mean[2:]) / 2
    matrix = np.array(
        [[scale, 0, 256 - scale * middle[0]], [0, scale, 256 - scale * middle[1]], [0, 0, 1]]
    )
    (centre, _, angle), first = squares[0], boxes[0]
    corners = np.array(
        [[first[0], first[1]], [first[2], first[1]], [first[2], first[3]], [first[0], first[3]]]
    )
    c, s = np.cos(angle), np.sin(angle)
    return {
        "crop/driving/bboxes": boxes,
        "crop/driving/bbox_rot": (corners - centre) @ np.array([[c, -s], [s, c]]).T + centre,
        "crop/driving/global_bbox": mean,
        "crop/driving/M_o2c": matrix,
        "crop/driving/lmk_crop": geometry.transform_points(matrix, given.points(20)),
    }


def inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def paste_crop(crop: Image, original: Image, frame_from_crop: Array) -> tuple[Array32, Image]:
    """Blend a crop as the reference does: mask (H, W) in 0..1, and the frame; truncated, not
    rounded.
    """
    size = (original.shape[1], original.shape[0])
    mask = geometry.warp_affine(soft_mask(512), frame_from_crop, size).astype(np.float32)[
        ..., None
    ] / np.float32(255)
    moved = geometry.warp_affine(crop, frame_from_crop, size).astype(np.float32)
    mixed = mask * moved + (1 - mask) * original.astype(np.float32)
    return mask, np.clip(mixed, 0, 255).astype(np.uint8)


def paste_stages(given: GoldenInputs) -> dict[str, Image]:
    original = np.clip(np.floor(128 + 40 * given.normal(30, 720, 960, 3)), 0, 191).astype(np.uint8)
    crop = original[100:612, 200:712] + np.uint8(64)
    _, pasted = paste_crop(crop, original, np.array([[1.0, 0, 200], [0, 1, 100], [0, 0, 1]]))
    return {"paste/shift": pasted[::4, ::4], "paste/shift_edge": pasted[96:128, 196:228]}


def wave(height: int, width: int, offset: int) -> Image:
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return np.floor(127.5 + 100 * np.sin(x / 40 + c) * np.cos(y / 50 + offset)).astype(np.uint8)
