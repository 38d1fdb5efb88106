"""Attribute directions of the atlas: changes of texture, detail and shape, and their sum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from thcli.core.errors import WeightsError
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.editors.atlas import layout, tone
from thcli.editors.atlas.appearance import covariates
from thcli.editors.atlas.regions import RegionName, region_mask
from thcli.faces.landmarks.topology import PAIRS, POINTS
from thcli.motion.limits import soft_limit

MAX_RISE, MAX_FALL = 0.25, 1.3  # limits of the change of soft logarithms of colours
MAX_DEVIATION = 1.3  # limit of the covariates, in standard deviations from their mean
WRINKLE_DEPTH = 0.5  # of `wrinkles` at strength -1 of young
# Limits of the rise in these regions. At the lips it is large, because teeth may appear.
MAX_BRIGHTENING: dict[RegionName, float] = {"lips": 0.4, "dark": 0.12, "beside": 0.08}
# Of the change between genders, below the nose: limit of the rise, and share of the hue.
MAX_JAW_RISE, JAW_HUE = 0.03, 0.5
WARM = (0.2, 0.4)  # red over blue of the skin, soft logarithms, from which a shadow has no own hue
BROW_HUE = 0.7  # share of the hue that a change of age loses at the brows
BROW_RISE = 0.3  # limit of their rise over their darkness
MAX_LID_RISE = 0.05  # limit of the rise around the eyes between genders
MAX_GENDER_FALL = 0.38  # limit of the fall between genders: narrowed eyes get no black lids
HALF = layout.COLUMNS // 2
TENSORS = (
    "texture",
    "texture_scale",
    "depends",
    "depends_scale",
    "detail",
    "shape",
    "look_mean",
    "look_spread",
)


@dataclass(frozen=True, slots=True)
class FaceChange:
    """Sum of the requested directions for one appearance.

    texture: (ROWS, COLUMNS, 3) added to soft logarithms of colour.
    detail: (ROWS / 2, COLUMNS / 2, 2) logarithms of the gain of two frequency bands.
    shape: (468, 3) displacements, canonical units.
    wrinkle_depth: depth of the age lines (see `wrinkles`).
    unsmile: what takes a whole smile away, added as far as a clip shows one; None for nothing.
    """

    texture: Array32
    detail: Array32
    shape: Array
    wrinkle_depth: float = 0.0
    unsmile: FaceChange | None = None

    def with_unsmile(self, share: float) -> FaceChange:
        """Return the change of a clip that shows a share 0..1 of a smile."""
        if self.unsmile is None:
            return self
        return FaceChange(
            self.texture + np.float32(share) * self.unsmile.texture,
            self.detail + np.float32(share) * self.unsmile.detail,
            self.shape + share * self.unsmile.shape,
            self.wrinkle_depth,
        )


@dataclass(frozen=True, slots=True)
class AtlasDirections:
    """Directions of K attributes at strength 1.

    Textures and details hold the left half, since they are symmetric.

    texture: (K, ROWS, HALF, 3) int8, times texture_scale (K,).
    depends: (K, L, ROWS, HALF, 3) int8, times depends_scale (K, L): added for a covariate one
    standard deviation from its mean.
    detail: (K, ROWS / 2, HALF / 2, 2).
    shape: (K, 468, 3) canonical units.
    look_mean, look_spread: (L,) mean and standard deviation of the covariates.
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

    def change(self, strengths: Mapping[str, float], look: Array32) -> FaceChange:
        """Sum the directions of several attributes.

        Args:
            strengths: attribute -> strength; unknown attributes are ignored.
            look: (APPEARANCE_SIZE,) as `appearance.measure` returns it.
        """
        calm = min(strengths.get("smiling", 0.0), 0.0)
        if not calm:
            return self._sum(strengths, look)
        unsmile = self._sum({"smiling": calm}, look)
        return replace(self._sum({**strengths, "smiling": 0.0}, look), unsmile=unsmile)

    def _sum(self, strengths: Mapping[str, float], look: Array32) -> FaceChange:
        """Return the sum of the directions of the attributes."""
        texture = np.zeros((layout.ROWS, HALF, 3), np.float32)
        detail = np.zeros(self.detail.shape[1:], np.float32)
        shape = np.zeros((POINTS, 3))
        deviation = (covariates(look) - self.look_mean) / self.look_spread
        deviation = np.clip(deviation, -MAX_DEVIATION, MAX_DEVIATION)
        for name, strength in strengths.items():
            if name not in self.names or strength == 0:
                continue
            k = self.names.index(name)
            own = self.texture[k] * np.float32(strength * self.texture_scale[k])
            for which in np.flatnonzero(self.depends_scale[k]):
                own += self.depends[k, which] * np.float32(
                    strength * self.depends_scale[k, which] * deviation[which]
                )
            if name == "male":
                own = _limit_gender(own, float(look[0] - look[2]))
            if name == "young":
                own = _calm_brows(own, max(-float(look[3]), 0.0))
            texture += own
            detail += self.detail[k].astype(np.float32) * np.float32(strength)
            shape += self.shape[k].astype(np.float64) * strength
        aged = max(-strengths.get("young", 0.0), 0.0)
        return FaceChange(
            mirror(limit_texture(texture)), mirror(detail), symmetrize(shape), WRINKLE_DEPTH * aged
        )


def limit_texture(texture: Array32) -> Array32:
    """Compress large colour changes (ROWS, HALF, 3), keeping the hue.

    Dark places do not glow and skin does not turn black.
    """
    out = texture
    most = np.full(texture.shape[:2], MAX_RISE, np.float32)
    for name, limit in MAX_BRIGHTENING.items():
        most += (limit - most) * region_mask(name)[:, :HALF]
    least = np.full_like(most, MAX_FALL)
    for far, bound in ((out.max(-1), most), (-out.min(-1), least)):
        over = np.maximum(far, 1e-6)
        factor = np.where(far > 0, soft_limit(over, bound) / over, 1).astype(np.float32)
        out = out * factor[..., None]
    return out


def _limit_gender(texture: Array32, warmth: float) -> Array32:
    """Limit the change of colours (ROWS, HALF, 3) between genders, relative to the skin.

    Where a beard may be, a shadow that goes does not glow, and one that comes has half of its hue
    only, and none on warm skin, where it would be grey. Make-up that comes does not blacken the
    lids, and lids and lips get no bright rims.

    Args:
        texture: the change.
        warmth: red over blue of the skin, soft logarithms.
    """
    grey = (texture @ tone.LUMA)[..., None]
    hue = np.where(grey < 0, JAW_HUE * (1 - smoothstep(*WARM, warmth)), JAW_HUE)
    calm = np.asarray(grey + (texture - grey) * hue, np.float32)
    out = texture + region_mask("jaw")[:, :HALF, None] * (_limit_rise(calm, MAX_JAW_RISE) - texture)
    out += region_mask("eyes")[:, :HALF, None] * (_limit_rise(out, MAX_LID_RISE) - out)
    return -_limit_rise(-out, MAX_GENDER_FALL)


def _calm_brows(texture: Array32, dark: float) -> Array32:
    """Return a change of age (ROWS, HALF, 3) in which fair brows do not glow.

    dark: darkness of the brows relative to the skin, soft logarithms.
    """
    grey = (texture @ tone.LUMA)[..., None]
    calm = _limit_rise(texture + np.float32(BROW_HUE) * (grey - texture), BROW_RISE * dark + 1e-3)
    return np.asarray(texture + region_mask("brows")[:, :HALF, None] * (calm - texture))


def _limit_rise(texture: Array32, most: float) -> Array32:
    """Limit the rise of colours (ROWS, HALF, 3), keeping the hue."""
    rise = np.maximum(texture.max(-1), 1e-6)
    return np.asarray(texture * np.minimum(soft_limit(rise, most) / rise, 1)[..., None], np.float32)


def mirror(half: Array32) -> Array32:
    """Append its mirror image to a left half (ROWS', HALF', C)."""
    return np.concatenate([half, half[:, ::-1]], 1)


def symmetrize(shape: Array) -> Array:
    """Average displacements (..., 468, 3) with their mirror images."""
    flip = np.array([-1.0, 1.0, 1.0])
    return np.asarray((shape + shape[..., PAIRS, :] * flip) / 2)


def unpack_directions(
    tensors: Mapping[str, npt.NDArray[np.generic]], where: str
) -> AtlasDirections:
    """Read directions from a file's tensors. Raises WeightsError for another kind of file.

    Args:
        tensors: of the file.
        where: its name, for messages.
    """
    missing = [name for name in (*TENSORS, "names") if name not in tensors]
    if missing:
        raise WeightsError(
            f"{where} holds no atlas: it lacks {', '.join(missing)}.",
            "Train one with thcli train atlas.",
        )
    names = tuple(json.loads(bytes(np.asarray(tensors["names"], np.uint8)).decode()))
    table = {name: np.asarray(tensors[name]) for name in TENSORS}
    some = table["depends_scale"] > 0
    if len(table["depends"]) != some.sum():
        raise WeightsError(f"{where} holds an incomplete atlas.", "Fetch or train it again.")
    depends = np.zeros((*some.shape, *table["texture"].shape[1:]), np.int8)
    depends[some] = table["depends"]
    found = AtlasDirections(names, **{**table, "depends": depends})
    texture_shape, shape_shape = (layout.ROWS, HALF, 3), (len(names), POINTS, 3)
    if found.texture.shape[1:] != texture_shape or found.shape.shape != shape_shape:
        raise WeightsError(
            f"{where} was trained for another layout of the atlas.",
            "Train it again: thcli train atlas.",
        )
    return found


def pack_directions(directions: AtlasDirections) -> dict[str, npt.NDArray[np.generic]]:
    """Return the tensors of a file."""
    words = np.frombuffer(json.dumps(list(directions.names)).encode(), np.uint8)
    tensors = {name: np.ascontiguousarray(getattr(directions, name)) for name in TENSORS}
    nonzero = directions.depends[directions.depends_scale > 0]  # most are 0
    return {"names": words, **tensors, "depends": nonzero}


def quantize(values: Array32) -> tuple[npt.NDArray[np.int8], Array32]:
    """Convert (..., ROWS, HALF, 3) to int8 and one scale per map."""
    top = np.abs(values).max((-3, -2, -1))
    scale = np.asarray(np.maximum(top, 1e-6) / 127, np.float32)
    coded = np.rint(values / scale[..., None, None, None]).astype(np.int8)
    return coded, np.where(top > 0, scale, 0).astype(np.float32)


def merge_directions(directions: AtlasDirections, better: AtlasDirections) -> AtlasDirections:
    """Return the first set with the second's directions replacing those of equal name.

    Directions that only the second has are appended.
    """
    rows = [(directions, k) for k in range(len(directions.names))]
    names = list(directions.names)
    for k, name in enumerate(better.names):
        if name in names:
            rows[names.index(name)] = better, k
        else:
            names.append(name)
            rows.append((better, k))
    stacked = {
        tensor: np.stack([getattr(origin, tensor)[k] for origin, k in rows])
        for tensor in ("texture", "texture_scale", "depends", "depends_scale", "detail", "shape")
    }
    return AtlasDirections(
        tuple(names),
        look_mean=directions.look_mean,
        look_spread=directions.look_spread,
        **stacked,
    )
