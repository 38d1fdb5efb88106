"""Beards on a picture: the hairs of `whiskers` in the person's own colour, lit as the skin below them is."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn import beard_roots, hair_strokes
from thcli.editors.drawn.appearance import Look
from thcli.editors.drawn.hair_strokes import Coat
from thcli.editors.drawn.scene import Scene
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.faces.parsing.classes import MOUTH, NECK, SKIN
from thcli.faces.parsing.polygon import coverage

_LIGHT = 0.07  # canonical units: width of the Gaussian that leaves the light of the skin and not its detail
_LIGHTEST = 0.5  # of the skin's brightness: a beard is seen
_DARKER = 0.7  # than hair on the head: it is thicker, and in the face's shadow
_NEAR = 0.045  # canonical units: the skin below hair is in shadow
ROOM = 3 * _NEAR  # around hairs that are drawn


def draw(out: Array32, scene: Scene, name: str, strength: float, dyed: Array | None = None) -> None:
    """Draws one kind of beard on (S, S, 3) float32 0..255, in place. dyed: (3,) RGB of hair that is coloured too."""
    kind = beard_roots.KINDS[name]
    solid = min(strength / 0.5, 1.0) * kind.solid
    coat = hair_strokes.drawn(scene, beard_roots.hairs(name, round(strength, 3)), solid, ROOM)
    if coat is not None:
        free = (1 - scene.before[coat.here]) * (1 - _lips(scene, coat))
        lay(
            out,
            scene,
            coat,
            free,
            own_colour(scene.look) if dyed is None else 0.8 * dyed,
            kind.below,
        )


def own_colour(look: Look) -> Array:
    """(3,) RGB of a beard that this person might have: like the hair, or like the brows where little hair is seen; darker than the skin."""
    share = float(np.clip(look.hair_share[0] / 0.06, 0, 1))
    colour = share * (0.75 * look.hair + 0.25 * look.brow) + (1 - share) * look.brow * 0.75
    grey = float(colour.mean())
    # Without what a green screen or a blue light leaves in dark hair.
    warm = np.array(
        [
            max(colour[0], 1.05 * grey),
            np.clip(colour[1], 0.9 * grey, grey),
            min(colour[2], 0.95 * grey),
        ]
    )
    warm *= grey / max(float(warm.mean()), 1.0)
    most = _LIGHTEST * float(look.skin.mean())
    return np.asarray(warm * min(_DARKER, most / max(grey, 1.0)))


def lay(out: Array32, scene: Scene, coat: Coat, free: Array32, colour: Array, below: float) -> None:
    """Lays hairs on the skin, in place. free: (h, w) where they may be seen.  below: 0..1, how dark the skin between them becomes."""
    scale = scene.pose[0]
    part = out[coat.here]
    light = _light(scene, coat)
    cover = coat.cover * free
    thick = cv2.GaussianBlur(cover, (0, 0), _NEAR * scale)
    thick = np.clip(thick * np.float32(1.15), 0, 1)
    tint = colour.astype(np.float32) / np.float32(max(float(scene.look.skin.mean()), 1.0))
    skin = scene.region(*SKIN, *NECK)[coat.here]
    under = np.minimum(np.float32(below) * thick * free * skin, 1)[..., None]
    part *= 1 - under * (1 - np.clip(tint * np.float32(0.9), 0, 1))
    shade = coat.shade / np.maximum(coat.cover, np.float32(1e-4))
    hair = (
        colour.astype(np.float32) * (light * (np.float32(0.3) + np.float32(1.4) * shade))[..., None]
    )
    part += cover[..., None] * (hair - part)


def _light(scene: Scene, coat: Coat) -> Array32:
    """(h, w) how bright the skin is there, 1 as usual; across lips and edges from what is around."""
    rows, columns = coat.here
    small = 4
    size = (
        max((columns.stop - columns.start) // small, 2),
        max((rows.stop - rows.start) // small, 2),
    )
    grey = (
        cv2.resize(scene.crop[coat.here], size, interpolation=cv2.INTER_AREA)
        .astype(np.float32)
        .mean(-1)
    )
    sure = (
        cv2.resize(scene.region(*SKIN, *NECK)[coat.here], size, interpolation=cv2.INTER_AREA) ** 2
    )
    width = _LIGHT * scene.pose[0] / small
    total = cv2.GaussianBlur(sure, (0, 0), width) + np.float32(0.02)
    mean = float(scene.look.skin.mean())
    found = (cv2.GaussianBlur(grey * sure, (0, 0), width) + np.float32(0.02 * mean)) / total
    ratio = np.clip(found / np.float32(max(mean, 1.0)), 0.15, 2.2)
    return np.asarray(cv2.resize(ratio, coat.size, interpolation=cv2.INTER_LINEAR), np.float32)


def _lips(scene: Scene, coat: Coat) -> Array32:
    """(h, w) 0..1, lips and what is between them."""
    ring = coverage(
        scene.mesh[LIPS_OUTER, :2] - (coat.x0, coat.y0), coat.size, -0.01 * scene.pose[0]
    )
    return np.asarray(
        np.maximum(ring, np.clip(1.4 * scene.region(*MOUTH)[coat.here] - 0.3, 0, 1)), np.float32
    )
