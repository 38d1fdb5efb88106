"""Painted variants of a face: the same face with and without glasses, beards or make-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas.removers.parts import PartName
from thcli.editors.drawn import beard, glasses, glasses_frame, makeup
from thcli.editors.drawn.appearance import measure
from thcli.editors.drawn.beard_form import BeardForm, form_of
from thcli.editors.drawn.lens import CLEAR, LensMaterial
from thcli.editors.drawn.scene import Scene

VARIANTS: dict[PartName, tuple[str, ...]] = {
    "eyes": ("eyeglasses", "eyeglasses", "makeup"),
    "lower": ("beard", "beard", "moustache", "lipstick", "makeup"),
}
"""Painted variants of each part, beside the bare one."""
_BEARDS = ("beard", "beard", "goatee", "stubble", "stubble", "moustache")


def open_scene(crop: Image, mesh: Array, regions: Array32) -> Scene:
    """Return a crop to paint on. Arguments as `Scene`'s."""
    return Scene(crop, mesh, regions, measure(crop, mesh, regions))


def paint_variant(scene: Scene, name: str, rng: np.random.Generator) -> Image:
    """Return the crop with one attribute of random style, strength and colour."""
    out = scene.crop.astype(np.float32)
    _PAINTERS[name](out, scene, rng)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def _glasses(out: Array32, scene: Scene, rng: np.random.Generator) -> None:
    metal = rng.random() < 0.35
    thin = rng.uniform(0.25, 0.6) if metal else rng.uniform(0.7, 1.5)
    level = rng.uniform(15, 60) if rng.random() < 0.7 else rng.uniform(60, 170)
    colour = np.clip(level * np.exp(rng.normal(0, 0.18, 3)), 5, 220)
    base = glasses_frame.READING
    tall = rng.uniform(0.13, 0.26)
    style = replace(
        base,
        half=(rng.uniform(0.24, 0.33), tall),
        square=rng.uniform(2.0, 4.5),
        brow=rng.uniform(0.0, 0.06),
        taper=rng.uniform(0.05, 0.3),
        rim=(base.rim[0] * thin, base.rim[1] * thin**0.5),
        temple=(base.temple[0] * rng.uniform(0.3, 1.6), base.temple[1]),
        above=rng.uniform(-0.05, 0.02),
        colour=(float(colour[0]), float(colour[1]), float(colour[2])),
    )
    dim = rng.uniform(0.75, 1.0)
    material = LensMaterial(
        (CLEAR.pass_top[0] * dim, CLEAR.pass_top[1] * dim, CLEAR.pass_top[2] * dim),
        CLEAR.pass_bottom,
        rng.uniform(0.02, 0.2),
    )
    glasses.draw(out, scene, style, material, rng.uniform(0.6, 1.3))


def _beard(out: Array32, scene: Scene, rng: np.random.Generator) -> None:
    name = _BEARDS[rng.integers(len(_BEARDS))]
    strength = rng.uniform(0.35, 1.5)
    beard.draw(out, scene, name, strength, _form(scene, rng), _hair_colour(scene, rng))


def _moustache(out: Array32, scene: Scene, rng: np.random.Generator) -> None:
    strength = rng.uniform(0.4, 1.5)
    beard.draw(out, scene, "moustache", strength, _form(scene, rng), _hair_colour(scene, rng))


def _form(scene: Scene, rng: np.random.Generator) -> BeardForm:
    return form_of(scene.appearance, int(rng.integers(1 << 16)))


def _hair_colour(scene: Scene, rng: np.random.Generator) -> Array | None:
    if rng.random() < 0.4:
        return None
    grey = float(scene.appearance.skin.mean()) * rng.uniform(0.12, 0.75)
    warmth = rng.uniform(0, 0.25)
    return np.asarray(grey * np.array([1 + warmth, 1.0, 1 - warmth]) / 0.8)


def _lipstick(out: Array32, scene: Scene, rng: np.random.Generator) -> None:
    makeup.apply_lipstick(out, scene, rng.uniform(0.4, 1.3))


def _makeup(out: Array32, scene: Scene, rng: np.random.Generator) -> None:
    makeup.apply_full_makeup(out, scene, rng.uniform(0.5, 1.4))


_PAINTERS: dict[str, Callable[[Array32, Scene, np.random.Generator], None]] = {
    "eyeglasses": _glasses,
    "beard": _beard,
    "moustache": _moustache,
    "lipstick": _lipstick,
    "makeup": _makeup,
}
