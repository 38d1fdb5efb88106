"""Patches that are cut out of a source once, and the stacked input of a frame's patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes.extract import CLOSED_GAP
from thcli.engines.mesh.eyes.texture import is_round
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.patches import inputs
from thcli.engines.mesh.patches.frames import eye_frame, sample_patch
from thcli.engines.mesh.patches.inputs import EyeShape

WIDER = (1.04, 1.15)  # gap of an eye over the source's from which it is not painted
# Mean shift of the rims since the source, in widths, between which a patch is blended in: an eye
# that does not change keeps the source's own pixels.
EYE_CHANGE = (0.015, 0.05)


@dataclass(frozen=True, slots=True)
class SourceIris:
    """Irises of a source: centre (2, 2) u, v in the eyes' openings, and radius (2,) in widths.

    A radius is 0 where the iris is unknown.
    """

    centre: Array
    radius: Array


@dataclass(frozen=True, slots=True)
class SourcePatches:
    """Eye patches of a source.

    factor: from colours to those of the network.  openings: of both eyes.  eyes: (2, 6, h, w)
    colours and rasters.  iris: of the source.  tone, natural: see `MouthInterior`.
    left_out: eyes that are not painted.
    """

    factor: float
    openings: tuple[Opening, Opening]
    eyes: Array32
    iris: SourceIris
    tone: Array
    natural: float
    left_out: tuple[bool, ...] = (False, False)


def opening_change(source: Opening, target: Opening, limits: tuple[float, float]) -> float:
    """Compute how far an opening differs from the source's, 0 (alike) to 1.

    Args:
        source, target: openings.
        limits: mean distances of the rims in widths for 0 and for 1.
    """
    inner = slice(16, 81)
    upper = np.abs(source.upper - target.upper)[inner].mean()
    distance = float(upper + np.abs(source.lower - target.lower)[inner].mean())
    return float(smoothstep(*limits, distance))


def eye_changes(source: SourcePatches, target: Array) -> tuple[float, float]:
    """Compute how far the eyes of a target mesh (468, 3) differ from the source's, 0 to 1."""
    changes = []
    for side, (own, ring) in enumerate(zip(source.openings, EYES, strict=True)):
        eye = opening.fit_opening(target, ring)
        change = opening_change(own, eye, EYE_CHANGE)
        is_uncovered = source.iris.radius[side] > 0 and is_round(source.iris.centre[side, 0])
        if is_uncovered and own.gap >= CLOSED_GAP:
            change *= 1 - float(smoothstep(*WIDER, eye.gap / own.gap))
        changes.append(0.0 if source.left_out[side] else change)
    return changes[0], changes[1]


def read_iris(mesh: Array, iris: Array | None) -> SourceIris:
    """Convert irises (2, 5, 2) in pixels, centre first, to the eyes' coordinates."""
    centre, radius = np.tile([0.5, 0.0], (2, 1)), np.zeros(2)
    for side in range(2 if iris is not None else 0):
        eye = opening.fit_opening(mesh, EYES[side])
        rim = eye.to_local(np.asarray(iris)[side])
        centre[side] = rim[0]
        radius[side] = np.clip(np.linalg.norm(rim[1:] - rim[0], axis=1).mean(), 0.1, 0.3)
    return SourceIris(centre, radius)


def cut_source(
    image: Image, mesh: Array, iris: SourceIris, tone: Array, natural: float = 1.0
) -> SourcePatches:
    """Cut the patches of a source image.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        iris: its irises.
        tone, natural: see `MouthInterior`.
    """
    left, right = (sample_patch(image, eye_frame(mesh, side)) for side in range(2))
    return stack_source((left, right), mesh, iris, tone, natural)


def stack_source(
    patches: tuple[Image, Image], mesh: Array, iris: SourceIris, tone: Array, natural: float = 1.0
) -> SourcePatches:
    """Stack the channels of a source's patches: both eyes, each (h, w, 3) uint8.

    Other arguments: see `cut_source`.
    """
    factor = inputs.gain(tone)
    pairs = []
    for side in range(2):
        shape = EyeShape(mesh, side, iris.centre[side], float(iris.radius[side]))
        colours = inputs.colours(patches[side], factor)
        pairs.append(np.concatenate([colours, inputs.eye_rasters(shape)[0]]))
    left, right = (opening.fit_opening(mesh, ring) for ring in EYES)
    return SourcePatches(factor, (left, right), np.stack(pairs), iris, tone, natural)


def stack_eyes(
    coarse: tuple[Image, Image],
    source: SourcePatches,
    target: Array,
    gaze: Array,
    changes: tuple[float, float],
) -> tuple[Array32, Array32]:
    """Stack the input of both eyes, (2, 12, h, w), and the windows of their mattes, (2, h, w).

    Args:
        coarse: patches of the warped frame.
        source: patches of the source.
        target: (468, 3) target mesh, pixels.
        gaze: (2, 2) shift of each iris in eye widths.
        changes: of the eyes; see `eye_changes`.
    """
    stacks, windows = [], []
    for side in range(2):
        iris = source.iris.centre[side] + gaze[side]
        shape = EyeShape(target, side, iris, float(source.iris.radius[side]))
        rasters, window = inputs.eye_rasters(shape)
        own = source.eyes[side]
        stacks.append(np.concatenate([inputs.colours(coarse[side], source.factor), rasters, own]))
        windows.append(window * changes[side])
    return np.stack(stacks), np.stack(windows).astype(np.float32)
