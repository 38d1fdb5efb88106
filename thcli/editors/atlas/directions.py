"""The directions: what each attribute changes of texture, detail and shape, and how they add up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.errors import WeightsError
from thcli.core.types import Array, Array32
from thcli.editors.atlas import layout as plan
from thcli.editors.atlas.appearance import leanings
from thcli.editors.atlas.regions import Area, area
from thcli.faces.landmarks.topology import PAIRS, POINTS
from thcli.motion.limits import soft

BRIGHTER, DARKER = 0.25, 1.3  # the most that soft logarithms of colours rise and fall
UNLIKE = 1.3  # spreads from the mean look up to which a texture depends on it
LINES = 0.5  # of `wrinkles`, at strength 1 of what is the opposite of young
CAREFUL: dict[Area, float] = {
    "lips": 0.4,
    "dark": 0.12,
    "beside": 0.08,
}  # the most that they rise elsewhere: teeth may show
HALF = plan.COLUMNS // 2
TENSORS = (
    "texture",
    "texture_scale",
    "depends",
    "depends_scale",
    "detail",
    "shape",
    "look_mean",
    "look_spread",
    "man",
)


@dataclass(frozen=True, slots=True)
class Change:
    """What the wanted strengths come to, for one look. texture: (ROWS, COLUMNS, 3) of soft logarithms of colour.

    detail: (ROWS / 2, COLUMNS / 2, 2) logarithms of the gain of two bands.  shape: (468, 3) canonical units.  lines: how deep the lines of age are (see `wrinkles`).
    """

    texture: Array32
    detail: Array32
    shape: Array
    lines: float = 0.0


@dataclass(frozen=True, slots=True)
class Directions:
    """K attributes at strength 1, the left half of each (faces are symmetric here).

    texture: (K, ROWS, HALF, 3) int8, times texture_scale (K,).  depends: (K, L, ROWS, HALF, 3) int8, times depends_scale (K, L): what is
    added for a look whose leaning is one spread from the mean.  detail: (K, ROWS / 2, HALF / 2, 2).  shape: (K, 468, 3).  man: what
    `look.likeness` weighs a face with.
    """

    names: tuple[str, ...]
    texture: npt.NDArray[np.int8]
    texture_scale: Array32
    depends: npt.NDArray[np.int8]
    depends_scale: Array32
    detail: npt.NDArray[np.floating]
    shape: npt.NDArray[np.floating]
    look_mean: Array32
    look_spread: Array32
    man: Array32

    def change(self, strengths: Mapping[str, float], look: Array32) -> Change:
        """strengths: by name; those not known are left out.  look: as `look.measured` gives it."""
        texture = np.zeros((plan.ROWS, HALF, 3), np.float32)
        detail = np.zeros(self.detail.shape[1:], np.float32)
        shape = np.zeros((POINTS, 3))
        away = np.clip((leanings(look) - self.look_mean) / self.look_spread, -UNLIKE, UNLIKE)
        for name, strength in strengths.items():
            if name not in self.names or strength == 0:
                continue
            k = self.names.index(name)
            texture += self.texture[k] * np.float32(strength * self.texture_scale[k])
            for which in np.flatnonzero(self.depends_scale[k]):
                texture += self.depends[k, which] * np.float32(
                    strength * self.depends_scale[k, which] * away[which]
                )
            detail += self.detail[k].astype(np.float32) * np.float32(strength)
            shape += self.shape[k].astype(np.float64) * strength
        aged = max(-strengths.get("young", 0.0), 0.0)
        return Change(whole(limited(texture)), whole(detail), symmetric(shape), LINES * aged)


def limited(texture: Array32) -> Array32:
    """A change of colours (ROWS, HALF, 3) bent where it goes too far: what is dark must not glow, skin does not turn black; the hue stays."""
    out = texture
    most = np.full(texture.shape[:2], BRIGHTER, np.float32)
    for name, limit in CAREFUL.items():
        most += (limit - most) * area(name)[:, :HALF]
    least = np.full_like(most, DARKER)
    for far, bound in ((out.max(-1), most), (-out.min(-1), least)):
        over = np.maximum(far, 1e-6)
        out = out * np.where(far > 0, soft(over, bound) / over, 1).astype(np.float32)[..., None]
    return out


def whole(half: Array32) -> Array32:
    """A left half (ROWS', HALF', C) with its mirror image."""
    return np.concatenate([half, half[:, ::-1]], 1)


def symmetric(shape: Array) -> Array:
    """(..., 468, 3) displacements, each point's together with its mirror image's."""
    flip = np.array([-1.0, 1.0, 1.0])
    return np.asarray((shape + shape[..., PAIRS, :] * flip) / 2)


def unpacked(tensors: Mapping[str, npt.NDArray[np.generic]], where: str) -> Directions:
    """Directions from a file's tensors. where: its name, for messages.  Raises WeightsError for another file's."""
    missing = [name for name in (*TENSORS, "names") if name not in tensors]
    if missing:
        raise WeightsError(
            f"{where} holds no atlas: it lacks {', '.join(missing)}.",
            "`thcli train atlas` makes one.",
        )
    names = tuple(json.loads(bytes(np.asarray(tensors["names"], np.uint8)).decode()))
    table = {name: np.asarray(tensors[name]) for name in TENSORS}
    some = table["depends_scale"] > 0
    if len(table["depends"]) != some.sum():
        raise WeightsError(f"{where} holds no whole atlas.", "Fetch or make it again.")
    depends = np.zeros((*some.shape, *table["texture"].shape[1:]), np.int8)
    depends[some] = table["depends"]
    found = Directions(names, **{**table, "depends": depends})
    if found.texture.shape[1:] != (plan.ROWS, HALF, 3) or found.shape.shape != (
        len(names),
        POINTS,
        3,
    ):
        raise WeightsError(
            f"{where} was made for another layout of the atlas.",
            "Train it again: thcli train atlas.",
        )
    return found


def packed(directions: Directions) -> dict[str, npt.NDArray[np.generic]]:
    """The tensors of a file."""
    words = np.frombuffer(json.dumps(list(directions.names)).encode(), np.uint8)
    tensors = {name: np.ascontiguousarray(getattr(directions, name)) for name in TENSORS}
    return {
        "names": words,
        **tensors,
        "depends": directions.depends[directions.depends_scale > 0],
    }  # most are nothing


def in_bytes(values: Array32) -> tuple[npt.NDArray[np.int8], Array32]:
    """(..., ROWS, HALF, 3) as int8 and a scale for each map."""
    top = np.abs(values).max((-3, -2, -1))
    scale = np.asarray(np.maximum(top, 1e-6) / 127, np.float32)
    coded = np.rint(values / scale[..., None, None, None]).astype(np.int8)
    return coded, np.where(top > 0, scale, 0).astype(np.float32)


def joined(directions: Directions, better: Directions) -> Directions:
    """The first with the second's directions in place of its own of the same names; those it lacks come last. The first judges looks."""
    rows = [(directions, k) for k in range(len(directions.names))]
    names = list(directions.names)
    for k, name in enumerate(better.names):
        if name in names:
            rows[names.index(name)] = better, k
        else:
            names.append(name)
            rows.append((better, k))
    stacked = {
        tensor: np.stack([getattr(which, tensor)[k] for which, k in rows])
        for tensor in ("texture", "texture_scale", "depends", "depends_scale", "detail", "shape")
    }
    return Directions(
        tuple(names),
        look_mean=directions.look_mean,
        look_spread=directions.look_spread,
        man=directions.man,
        **stacked,
    )
