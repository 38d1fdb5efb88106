"""What the adapters share: licence and place of weights, pictures as the libraries want them, heatmaps, overlapping boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from thcli import weights
from thcli.core.device import enough_memory
from thcli.core.types import Array, Array32
from thcli.weights import check_licence as check_licence

if TYPE_CHECKING:
    import torch

_EAR = 0.55  # of the eye distance, from an eye outwards to the ear, on a frontal face


def file_of(name: str, licence: Literal["any", "free"], member: str = "") -> Path:
    """The verified file of an entry of weights.toml, or that member of an archive.

    Raises WeightsError when it is absent (the hint is the command that gets it) or `check_licence` refuses it.
    """
    check_licence(name, licence)
    place = weights.locate(name)
    return place / member if weights.registry()[name].archive else place


def fill(
    network: torch.nn.Module, tensors: dict[str, torch.Tensor], what: str, device: torch.device
) -> None:
    """Loads a network strictly, puts it on the device and into evaluation.

    `module.` in front of keys (a network saved from DataParallel) is taken off.  Raises WeightsError naming the keys that differ,
    DeviceError when the device's memory is full.
    """

    state = {key.removeprefix("module."): value for key, value in tensors.items()}
    own = network.state_dict()
    counters = (
        "num_batches_tracked",
    )  # absent from files older than PyTorch 0.4.1; never read in evaluation
    weights.require_keys(state, own, what, ignore=counters)
    network.load_state_dict({**own, **{k: v for k, v in state.items() if k in own}})
    with enough_memory(device, f"for {what}", "Use --device cpu."):
        network.to(device).eval().requires_grad_(False)


def six_points(five: npt.ArrayLike) -> Array32:
    """(6, 2) keypoints as Face has them from (5, 2) eyes, nose, mouth corners; the ears are guessed along the eyes' line."""
    p = np.asarray(five, np.float32)
    across = p[1] - p[0]
    ears = [p[0] - np.float32(_EAR) * across, p[1] + np.float32(_EAR) * across]
    return np.stack([p[0], p[1], p[2], (p[3] + p[4]) / 2, *ears])


def peaks(heatmaps: Array32) -> tuple[Array, Array32]:
    """The highest cell of each heatmap, moved a quarter of a cell towards the higher neighbour (Newell et al. 2016, sec. 3.1).

    heatmaps: (N, H, W).  Returns (N, 2) x, y in cells (0 is the centre of the first) and (N,) heights.
    """
    count, height, width = heatmaps.shape
    flat = heatmaps.reshape(count, -1)
    best = flat.argmax(1)
    y, x = np.divmod(best, width)
    rows = np.arange(count)
    right = (
        heatmaps[rows, y, np.minimum(x + 1, width - 1)] - heatmaps[rows, y, np.maximum(x - 1, 0)]
    )
    below = (
        heatmaps[rows, np.minimum(y + 1, height - 1), x] - heatmaps[rows, np.maximum(y - 1, 0), x]
    )
    inner_x, inner_y = (x > 0) & (x < width - 1), (y > 0) & (y < height - 1)
    points = np.stack([x + 0.25 * np.sign(right) * inner_x, y + 0.25 * np.sign(below) * inner_y], 1)
    return points.astype(np.float64), flat[rows, best]


def suppress(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], overlap: float) -> list[int]:
    """Non-maximum suppression: the rows to keep, best first, none of which overlaps a better one by more than `overlap` (IoU).

    boxes: (N, 4) x0, y0, x1, y1.  scores: (N,).
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(int(first))
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        inner = np.clip(high - low, 0, None).prod(1)
        order = rest[inner <= overlap * np.maximum(area[first] + area[rest] - inner, 1e-12)]
    return kept
