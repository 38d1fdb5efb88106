"""Far side of a turned head, from its mirror image.

A source that is turned shows one half of its head well: cheek, ear, hair. Where a turn brings the
other half into view, the picture is rendered a second time from its mirror image, as if it were
another picture of the person, in the light of the first. Shoulders and cloth are not mirrored, nor
is what is held beside the head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy, compose, warp
from thcli.engines.mesh.background.blocks import Coverage
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.head.cheeks import (
    hair_beside,
    hair_light,
    lost_hair,
    mirror_blend,
    mirror_tint,
    mirrored_head,
)
from thcli.engines.mesh.head.cheeks.head_parts import Parts, find_hands, find_parts
from thcli.engines.mesh.head.cheeks.lost_hair import HairedHead
from thcli.engines.mesh.head.cheeks.mirror_blend import MirrorSamples
from thcli.engines.mesh.head.cheeks.mirror_room import EDGE, MirrorRoom
from thcli.engines.mesh.head.cheeks.mirrored_cheek import MirroredCheek
from thcli.engines.mesh.head.cheeks.mirrored_head import height_above_middle
from thcli.engines.mesh.head.outline import find_outline, sine_of_yaw
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import remap, resize, to_samples
from thcli.engines.mesh.shown_positions import cut_on, positions_on, with_cut
from thcli.engines.mesh.surroundings import Surroundings
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.landmarks.topology import OVAL, PAIRS
from thcli.faces.parsing.crops import Regions

LEAST_SIDE = 0.112  # sine of a source's yaw from which it has a far side
# Face heights between the near cheek and the picture's side, below which that cuts the head off and
# its mirror image would end in the middle of the other cheek
LEAST_HEAD = 0.09
TURNED = (0.35, 0.75)  # share of the mirrored cheek by which what is beside it shows: none, all
HAIR_BELOW = (-1.5, -0.8)  # as `mirrored_head.BELOW`, of hair that hangs down
# Share of the way to the mirror image's pose: it is not used, it is used alone. A frontal view is
# half of the way. LATER is added where hair would be lost, squares of the face's height of it
TURNED_BACK, LATER, LOST = (0.22, 0.32), 0.12, (0.03, 0.1)
UNCOVERED = 0.5  # face heights beside the face that show last as the mirror image comes up
SOFT = 0.4  # of that way, over which it comes up
LEAST = 0.02  # share of the mirror image, and of the frame below it, that counts as none
# Share by which mirrored hair shows beside the first picture's head; shares of that head and hair
# at their edge, through which what lies behind would shine
HAIR_SHOWS, WHOLE = (0.05, 0.3), (0.6, 0.98)
# Squares of the face's height of hair that would vanish, from which it is blown or laid there: the
# mirror image is not used
FLOWING = 0.27
# Face heights of hair beside the far cheek: it is bare, and it is not. Beside a bare one, hair that
# a side of the picture cuts off ends along the jaw
BARE = (0.05, 0.1)
CLOTH_GAIN = 4.0  # of its mask: where its soft edge begins it is whole, so that no seam is left


@dataclass(frozen=True, slots=True)
class FarSide:
    """A turned source's mirror image.

    person: (H, W, 4) uint8 premultiplied, in the light of the source's other side.  coverage: of
    the person.  mesh: (468, 3) in its pixels.
    room: within its sides.
    shift: pixels to the right from the mirror image to the source.
    side: sine of the source's yaw.  parts: of the source.  mirrored_parts: of the mirror image.
    held: (h, w) float32 mask of hands beside the source's face, on the samples of `parts`; None
    without any.  later: share of the way by which it comes up later than others.
    """

    person: Image
    coverage: Coverage
    mesh: Array
    surroundings: Surroundings
    room: MirrorRoom
    shift: int
    side: float
    parts: Parts
    mirrored_parts: Parts
    held: Array32 | None
    later: float


def prepare(
    cheek: MirroredCheek,
    mesh: Array,
    layers: MatteLayers,
    surroundings: Surroundings,
    regions: Regions,
    hands: Array,
) -> FarSide | None:
    """Mirror a source whose other cheek is hidden.

    None where too little of it is, where the picture cuts the other side's head off, and where that
    side shows hair that the mirror image has not.

    Args:
        cheek: the hidden cheek.
        mesh: (468, 3) pixels.
        layers: person and plate.
        surroundings: of the source.
        regions: of the face, down to the shoulders.
        hands: (N, 21, 2) pixels, points of hands near the face, which stay before the hair.
    """
    side = sine_of_yaw(mesh)
    if abs(side) < LEAST_SIDE:
        return None
    height, width = layers.person.shape[:2]
    outline = mesh[OVAL, 0]
    beside_cheek = width - 1 - outline.max() if side < 0 else outline.min()
    if beside_cheek < LEAST_HEAD * anatomy.face_height(mesh):
        return None
    own = find_parts(regions, mesh, (width, height), np.eye(3))
    mirrored = mesh[PAIRS]
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    cell = warp.map_step(mesh) * warp.COARSE  # so that the samples of both maps fall together
    shift = cell * round((2 * float(mesh[:, 0].mean()) - (width - 1)) / cell)
    beside = replace(
        surroundings,
        outline=find_outline(mirrored),
        hair=_flip(surroundings.hair),
        cloth=_flip(surroundings.cloth),
        neck=_flip(surroundings.neck),
        crown=None if surroundings.crown is None else surroundings.crown.flip(width),
        continued=(0.0, 0.0),
    )
    flip = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    other = find_parts(regions, mesh, (width, height), flip)
    first = HairedHead(mesh, surroundings, own.hair_at)
    second = HairedHead(mirrored, beside, other.hair_at)
    lost = lost_hair.measure(first, second, shift, TURNED_BACK[1], (width, height))
    if lost > FLOWING:
        return None
    person = layers.person.copy()
    mirrored_head.keep_head(person, mesh, regions)
    person = np.ascontiguousarray(person[:, ::-1])
    points = surroundings.outline.points
    hair_width = hair_beside.measure(own.hair_at, points, mesh, width, side)
    bare = 1 - float(smoothstep(*BARE, hair_width))
    room = MirrorRoom.of(mirrored, (width, height), bare)
    own_map = second.turn(mirrored, (width, height))
    if own_map is not None:
        grid = mirror_tint.picture_grid(own_map, (width, height))
        pixels = grid.pixel_positions()
        hair = other.hair_at(pixels)
        kept = 1 - hair * (1 - room.hair_at(pixels))
        light = hair_light.measure(layers.person[..., :3], mesh, own.hair_at, side)
        lit = hair_light.spread(light * hair_light.hair_share(regions), mirrored, side, grid)
        mirror_tint.tint(person, mirrored, own_map, np.log(cheek.gains), (hair, lit), kept)
    return FarSide(
        person,
        Coverage.of(person),
        mirrored,
        beside,
        room,
        shift,
        side,
        own,
        other,
        find_hands(hands, own, anatomy.face_height(mesh)),
        LATER * float(smoothstep(*LOST, lost)),
    )


def _flip(mask: Array32 | None) -> Array32 | None:
    return None if mask is None else np.ascontiguousarray(mask[:, ::-1])


def turned_back(far: FarSide, target: Array) -> float:
    """Return how far a target mesh (468, 3) has turned to the mirror image's pose, 0..1."""
    way = (far.side - sine_of_yaw(target)) / (2 * far.side)
    return float(smoothstep(*TURNED_BACK, way - far.later))


def _largest_share(weight: Array, back: float) -> float:
    """Return the largest share of a mirror image, of weights (468,) of the mirrored texture."""
    largest = float(weight.max())
    return back * max(largest, float(smoothstep(*TURNED, largest)))


def render(
    frame: tuple[Image, Image | None],
    far: FarSide,
    plate: Image,
    weight: Array,
    back: float,
    target: Array,
    warp_map: WarpMap,
) -> None:
    """Render the far side of a head over a frame, in place.

    Args:
        frame: (H, W, 3) uint8, and the alpha (H, W) uint8 of its person or None.
        far: the source's mirror image.
        plate: (H, W, 3) uint8 background.
        weight: (468,) share of the mirrored texture.
        back: 0..1, from `turned_back`.
        target: (468, 3) target mesh.
        warp_map: the frame's map.
    """
    if _largest_share(weight, back) <= LEAST:
        return
    out, alpha = frame
    size = out.shape[1], out.shape[0]
    own = target - (far.shift + warp_map.move[0], warp_map.move[1], 0)
    texture = warp.TexturePositions(far.mesh[:, :2], far.mesh[:, :2])
    step = warp_map.grid.step
    moved = warp_map.shoulders
    moved = None if moved is None else moved.shift(-far.shift)
    found = warp.build_map(far.mesh, far.surroundings, own, texture, size, step, moved)
    if found is None:
        return
    shares, solid = _spread(weight, own, found, back)
    upper, hanging = _fades(own, found.grid, size)
    shares *= hanging
    rows, columns = (np.flatnonzero((shares > LEAST).any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    # with the samples around it, which are not rendered
    kept = (
        slice(max(rows[0] - 1, 0), min(rows[-1] + 2, found.grid.rows)),
        slice(max(columns[0] - 1, 0), min(columns[-1] + 2, found.grid.columns)),
    )
    part = found.grid.part(*kept)
    move = far.shift + warp_map.move[0], warp_map.move[1]
    grid = part.move(move)
    positions = np.ascontiguousarray(compose.source_positions(found)[kept])
    cut = cut_on(part, found.cut)
    head, cloth, hair = cv2.split(far.mirrored_parts.sample(with_cut(positions, cut)))
    first = positions_on(grid, warp_map)
    first_head, first_cloth, first_hair = cv2.split(far.parts.sample(first))
    # the first picture's cloth stays, and the mirror image's is left out with its edge
    cloth = np.minimum(np.float32(CLOTH_GAIN) * cloth, np.float32(1))
    on_head = np.maximum(upper[kept], hair)
    body = np.maximum(cloth * (1 - first_head), (1 - head * on_head) * first_cloth)
    share = shares[kept] * (1 - (1 - solid[kept]) * body)
    share *= far.room.at(positions) * on_head
    share = _with_whole_hair(
        share, np.asarray(hair, np.float32), np.maximum(first_head, first_hair)
    )
    if far.held is not None:
        share *= 1 - remap(far.held, to_samples(first, far.parts.step))
    share = ((share - LEAST) / np.float32(1 - 2 * LEAST)).clip(0, 1)
    layers = MatteLayers(far.person, plate, far.coverage)
    moved_cut = None if cut is None else cut.move(move)
    samples = MirrorSamples(grid, positions, share, moved_cut)
    mirror_blend.blend(out, alpha, layers, samples)


def _with_whole_hair(share: Array32, hair: Array32, first: Array32) -> Array32:
    """Return shares (rows, columns) of a mirror image whose hair is whole where it is seen.

    Half transparent over what lies behind the first picture's head, and behind its soft edge, it
    would be grey.

    Args:
        share: of the mirror image.
        hair: in it.
        first: head and hair of the first picture.
    """
    bare = hair * (1 - smoothstep(*WHOLE, first))
    whole = smoothstep(*HAIR_SHOWS, share)
    return np.asarray(share + bare * (whole - share).clip(0), np.float32)


def _spread(
    weight: Array, target: Array, warp_map: WarpMap, back: float
) -> tuple[Array32, Array32]:
    """Interpolate the weights (468,) of a mesh, and continue those of its outline beside it.

    They count beside the mesh as TURNED says, and as far from it as the head has turned back, 0..1.

    Returns:
        (rows, columns) float32 on the map's grid, and how much is mesh (rows, columns).
    """
    grid = warp_map.grid
    beside = smoothstep(*TURNED, weight[OVAL])[:, None]
    around, distance = mirror_tint.spread_beside(beside, target, grid)
    around *= _uncovered(back, distance)[..., None]
    out = resize(np.asarray(around, np.float32), (grid.columns, grid.rows))[..., None]
    values = (weight * _uncovered(back, np.zeros(1)))[:, None]
    solid = mirror_tint.lay_mesh_over(out, values, target, grid, warp_map)
    return out[..., 0], solid


def _uncovered(back: float, distance: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return how far a head that turns back has uncovered what is beside its face, 0..1.

    What lies behind the cheek comes into view next to it first: shown as a whole, half
    transparent, it would be a ghost.

    Args:
        back: 0..1, from `turned_back`.
        distance: face heights from the outline of the face.
    """
    far = np.minimum(distance / UNCOVERED, 1)
    return np.asarray(smoothstep(0, SOFT, back * (1 + SOFT) - far))


def _fades(target: Array, grid: SampleGrid, size: tuple[int, int]) -> tuple[Array32, Array32]:
    """Return how far samples (rows, columns) lie on the head, and on the hair that hangs from it.

    The second one ends at the sides of the mirror image.
    """
    face_size = anatomy.face_height(target)
    x, y = grid.pixel_axes()
    above = height_above_middle(target, x, y)
    inside = smoothstep(0, EDGE * face_size, np.minimum(x, size[0] - 1 - x))
    head, hair = smoothstep(*mirrored_head.BELOW, above), inside * smoothstep(*HAIR_BELOW, above)
    return np.asarray(head, np.float32), np.asarray(hair, np.float32)
