"""Several pictures of one person: each pose and expression takes the nearest picture's texture.

The first picture gives the size, the background, the hair and the shape that is animated. The
others are brought to its place and rendered to the same target, with its glasses instead of their
own. Within the face they are blended by shares that change smoothly with pose and expression, so
that nothing pops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.geometry import rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh.head.glasses import layer as glasses_layer
from thcli.engines.mesh.head.glasses.layer import Glasses
from thcli.engines.mesh.mouth import seen_mouths
from thcli.engines.mesh.mouth.colours import skin_tone
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.faces.crops.crop import transform_face
from thcli.faces.landmarks import topology
from thcli.motion.canonical import (
    PosedShape,
    decompose,
    eye_openings,
    gaze,
    mouth_opening,
)
from thcli.motion.render_target import RenderTarget

GAIN_RANGE = (0.6, 1.6)  # of a picture's colours to those of the first
ANGLE = np.radians(25.0)  # difference of pose that counts as 1
SHAPE, MOUTH, EYES = 6.0, 3.0, 2.0  # weights of the differences of shape and openings
SHARE_RANGE = (0.15, 0.8)  # of the way from one picture to another, in which its share rises
LEAST_SHARE = 0.01  # below it a picture is not rendered
WORN = 0.3  # how far a point is glasses from which it is kept
SHRINK, FEATHER = 0.94, 0.07  # of the face's outline; standard deviation in its widths


@dataclass(frozen=True, slots=True)
class OtherPicture:
    """A further picture, in the place, size and tone of the first.

    source: prepared, with the glasses of the first.  posed: its face.  gaze: (2, 2) of its eyes
    against those of the first.  kept: numbers of the points that outline what the first picture
    alone shows, or None.
    """

    source: MeshSource
    posed: PosedShape
    gaze: Array
    kept: Array | None = None


@dataclass(frozen=True, slots=True)
class SeveralPictures:
    """Pictures of one person. Read-only, so threads may share it.

    first: the picture that is animated.  posed: its face.  others: further pictures.
    left_out: how many are not used, as an object covers the mouth in them, or in the first, alone.
    """

    first: MeshSource
    posed: PosedShape
    others: tuple[OtherPicture, ...]
    left_out: int = 0

    @property
    def face(self) -> Face:
        """The face that is animated."""
        return self.first.face

    @property
    def pictures(self) -> tuple[MeshSource, ...]:
        """All of them, the first one first."""
        return self.first, *(other.source for other in self.others)

    @property
    def size(self) -> tuple[int, int]:
        """Size of the image and of every frame, (width, height) in pixels."""
        return self.first.size


def prepare_pictures(
    first: MeshSource,
    others: Sequence[tuple[Image, Face]],
    parsed: Sequence[ParsedSource | None],
) -> SeveralPictures:
    """Prepare further pictures of the person of a source.

    Args:
        first: the source that is animated.
        others: images (H, W, 3) uint8 with the person's face.
        parsed: regions of the face in each of them, or None.

    Raises:
        NoFaceError: a face has no mesh.
    """
    own = decompose(first.mesh)
    prepared = [
        _prepare_other(first, own, picture, regions)
        for picture, regions in zip(others, parsed, strict=True)
    ]
    used = [one for one in prepared if one.source.mouth_hidden == first.mouth_hidden]
    mouths = [
        found
        for one in used
        if not first.mouth_hidden
        and (found := seen_mouths.extract(one.source.image, one.source.mesh)) is not None
    ]
    if mouths and first.seen_mouths is None:
        first = replace(first, seen_mouths=seen_mouths.collect(mouths))
    return SeveralPictures(first, own, tuple(used), len(prepared) - len(used))


def _prepare_other(
    first: MeshSource,
    own: PosedShape,
    picture: tuple[Image, Face],
    parsed: ParsedSource | None,
) -> OtherPicture:
    image, face = picture
    if face.mesh is None:
        raise NoFaceError(
            "A further picture's face has no mesh.", "Choose another picture or landmarker."
        )
    posed = decompose(face.mesh)
    scale = float(np.exp(own.log_scale - posed.log_scale))
    shift = own.centre[:2] - scale * posed.centre[:2]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]], np.float64)
    placed = transform_face(face, matrix)
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    warped = cv2.warpAffine(
        image, matrix[:2], first.size, flags=kernel, borderMode=cv2.BORDER_REPLICATE
    )
    moved = np.asarray(warped, np.uint8)
    tone = skin_tone(moved, np.asarray(placed.mesh, np.float64))
    gain = np.clip(first.tone / np.maximum(tone, 1.0), *GAIN_RANGE)
    toned = np.clip(moved * gain + 0.5, 0, 255).astype(np.uint8)
    source = prepare(
        toned,
        placed,
        None,
        with_folds=first.folds is not None,
        parsed=None if parsed is None else parsed.move(matrix),
    )
    change = np.zeros((2, 2))
    if first.face.iris is not None and placed.iris is not None:
        change = gaze(first.mesh, first.face.iris) - gaze(source.mesh, placed.iris)
    kept = find_kept(first.glasses, source.glasses)
    lent = None if first.glasses is None else glasses_layer.lend(first.glasses)
    return OtherPicture(replace(source, glasses=lent), decompose(source.mesh), change, kept)


def find_kept(own: Glasses | None, others: Glasses | None) -> Array | None:
    """Return the points of the mesh around the eyes that a further picture does not lend.

    Where glasses are part of its skin, or dark ones hid the eyes, or the first picture's are part
    of its skin, two pairs would be blended. None where it lends all of the face.

    Args:
        own, others: glasses of the first and of the further picture.
    """
    is_free = others is None or (bool(others.pieces) and not others.hides_eyes)
    if is_free and (own is None or own.pieces):
        return None
    worn = np.max([glasses.worn for glasses in (own, others) if glasses is not None], 0)
    return np.union1d(np.flatnonzero(worn > WORN), np.concatenate(topology.EYES))


def picture_shares(pictures: SeveralPictures, points: Array) -> Array:
    """Return the share 0..1 of each further picture for a target mesh (468, 3).

    A share rises from 0 to 1 as pose and expression go from those of the first picture to those of
    the other, and falls as they leave that line. It changes smoothly with the mesh.
    """
    begin = _features(pictures.posed)
    moved = _features(decompose(points)) - begin
    shares = []
    for other in pictures.others:
        line = _features(other.posed) - begin
        length = float(line @ line)
        along = float(moved @ line) / max(length, 1e-9)
        aside = float(((moved - along * line) ** 2).sum()) / max(length, 1e-9)
        shares.append(float(smoothstep(*SHARE_RANGE, along)) / (1 + aside))
    return np.asarray(shares)


def _features(posed: PosedShape) -> Array:
    """Return pose, shape and openings of a face as one vector."""
    openings = np.append(EYES * eye_openings(posed.shape), MOUTH * mouth_opening(posed.shape))
    shape = SHAPE * posed.shape[:, :2].ravel() / np.sqrt(len(posed.shape))
    return np.concatenate([rotvec_from_matrix(posed.rotation) / ANGLE, shape, openings])


def targets_of_others(
    pictures: SeveralPictures, target: RenderTarget
) -> list[tuple[OtherPicture, RenderTarget, float]]:
    """Return the further pictures that a frame needs, with targets and blend weights in turn."""
    shares = picture_shares(pictures, target.points)
    total, found = float(np.prod(1 - shares)), []
    for other, share in zip(pictures.others, shares, strict=True):
        if share >= LEAST_SHARE:
            total += float(share)
            moved = replace(target, gaze=target.gaze + other.gaze)
            found.append((other, moved, float(share) / total))
    return found


def blend_face(
    out: Image,
    other: Image,
    points: Array,
    body: Array | None,
    share: float,
    kept: Array | None = None,
) -> Image:
    """Blend another rendering (H, W, 3) uint8 over the face of a frame, with a soft edge.

    Args:
        out, other: renderings of the same target; out is (H, W, 4) where its person is cut out.
        points: (468, 3) the target.
        body: (2,) shift of the whole person, or None.
        share: weight 0..1 of the other one.
        kept: numbers of the points that outline what stays, or None.
    """
    if out.shape[2] > other.shape[2]:  # a face, which hides all that is behind it
        other = np.asarray(cv2.cvtColor(other, cv2.COLOR_RGB2RGBA), np.uint8)
    moved = points[:, :2] + (0 if body is None else body)
    outline = moved[topology.OVAL]
    middle, width = outline.mean(0), float(np.ptp(outline[:, 0]))
    reach = max(FEATHER * width, 1.0)
    mask = _fill_hull(middle + SHRINK * (outline - middle), out)
    soft: Array32 = np.asarray(cv2.GaussianBlur(mask, (0, 0), reach))
    weight = np.asarray(share * soft * mask, np.float32)
    if kept is not None:
        stays = _fill_hull(moved[kept], out)
        weight *= (1 - stays) * (1 - np.asarray(cv2.GaussianBlur(stays, (0, 0), reach), np.float32))
    return np.asarray(cv2.blendLinear(other, out, weight, 1 - weight), np.uint8)


def _fill_hull(points: Array, image: Image) -> Array32:
    """Fill the convex hull of points (N, 2) of an image: (H, W) float32, 0 or 1."""
    mask = np.zeros(image.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1.0)
    return mask
