"""Frames of a source video as sources of the mesh engine: each is warped by itself.

The footage shows the person's own open mouth in some frames, and what a hand or a microphone in
front of the face looks like: both are collected once. Light, sharpness and contrast change at a
cut, so that each shot has the mouths, the light and the darkest tone of its own frames.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mode
from typing import TYPE_CHECKING

import cv2
import numpy as np

from thcli.core.geometry import bounding_box
from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Array32, Crop, Face, Frame, Image, Motion
from thcli.engines.mesh.anatomy import LIPS, face_height
from thcli.engines.mesh.background import still_ground
from thcli.engines.mesh.background.border import (
    NO_BORDER,
    Border,
    Widths,
    common_widths,
    find_widths,
)
from thcli.engines.mesh.background.still_ground import FindPerson, StillGround
from thcli.engines.mesh.eyes import lid_skin
from thcli.engines.mesh.eyes.extract import extract_eyes
from thcli.engines.mesh.head.cheeks import mirrored_cheek
from thcli.engines.mesh.head.cheeks.near_side import NearSide
from thcli.engines.mesh.head.covered_points import NO_COVERS, Cover, find_covers
from thcli.engines.mesh.head.glasses import held
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.head.shades import folds, turned_light
from thcli.engines.mesh.head.shades.folds import SourceFolds
from thcli.engines.mesh.head.steep_texture import BorderHair
from thcli.engines.mesh.mouth import (
    closed_lips,
    colours,
    lip_rims,
    mouth_corners,
    mouth_interior,
    side_light,
)
from thcli.engines.mesh.mouth.lip_rims import PARTED_GAP
from thcli.engines.mesh.mouth.mouth_corners import Smirks
from thcli.engines.mesh.mouth.shot_looks import (
    CLOSED_FRAMES,
    LookSamples,
    ShotLook,
    own_shots,
    shot_looks,
)
from thcli.engines.mesh.opening import fit_opening
from thcli.engines.mesh.prepared_source import MOST_BLUR, MeshSource
from thcli.engines.mesh.surroundings import Surroundings
from thcli.engines.mesh.warp import map_step
from thcli.faces.compositing.occlusion import SAMPLES, AppearanceModel, TextureSamples
from thcli.faces.compositing.uv_map import UvMap
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.surface import inward_normals
from thcli.faces.parsing.crops import Regions
from thcli.motion.canonical import neutral
from thcli.motion.file.windows import windows
from thcli.motion.observe import rebuild_driver_meshes
from thcli.motion.timeline import frame_visibility, read_timeline

if TYPE_CHECKING:
    from thcli.engines.mesh.patches.inside_painter import InsidePainter

CLOSING_RANGE = (0.7, 0.97)  # target gap / own gap, below which lips close over the teeth
FINE = 2  # times as many samples of the warp map as for an image: lips are small in a frame
PARSED_FRAMES = 5  # frames in which glasses are looked for
OCCLUSION_SIDE = 128  # pixels of the crop in which the mask of an occluder is computed
OCCLUSION_SCALE = 1.15  # side of that crop over the face's
OCCLUDED_RANGE = (0.35, 0.65)  # probability from which a pixel is the occluder's
OCCLUDER_REACH = 0.02  # face heights that its mask grows

ParseFace = Callable[[Image, Face], Regions | None]


@dataclass(frozen=True, slots=True)
class MeshVideo:
    """Shared facts of the frames of a source video.

    looks: of its shots in order, at least one.  appearance: of the face without anything in front
    of it, None for a short clip.  smirks: None where the landmarks of slanted mouths are right.
    parse_face: see `collect`.
    worn: (468,) how far points are glasses, which keep their shape; None where none are worn.
    covers: what is before each eye in most frames.
    mouth_painter: see `MeshSource`.
    find_person: see `collect`.
    border: that all of its frames have.
    """

    looks: tuple[ShotLook, ...]
    appearance: AppearanceModel | None
    smirks: Smirks | None
    parse_face: ParseFace
    worn: Array | None = None
    covers: tuple[Cover, Cover] = NO_COVERS
    mouth_painter: InsidePainter | None = None
    find_person: FindPerson | None = None
    border: Widths = NO_BORDER

    def look_at(self, pts: int) -> ShotLook:
        """Return the look of the shot to which a time stamp belongs."""
        begins = [look.begin for look in self.looks]
        return self.looks[max(bisect_right(begins, pts) - 1, 0)]


_UV_MAP = UvMap(neutral())


def collect(
    own: MotionStore,
    frames: Iterable[Frame],
    parse_face: ParseFace,
    mouth_painter: InsidePainter | None = None,
    find_person: FindPerson | None = None,
) -> MeshVideo:
    """Collect open mouths, the light of the eyes, the appearance of the face and its glasses.

    Args:
        own: motion of kind "mesh" of the video.
        frames: its frames in order, read once at most.
        parse_face: finds the regions of a frame's face, None without its network.
        mouth_painter: see `MeshSource`.
        find_person: without it the background moves with the head.
    """
    timeline = read_timeline(own)
    clear = frame_visibility(timeline) == 1  # beside a hidden face a hand may cover the mouth
    gaps, smirks = np.zeros(len(timeline)), np.zeros(len(timeline), bool)
    meshes = (mesh for window in windows(own) for mesh in rebuild_driver_meshes(window))
    for i, mesh in enumerate(meshes):
        if timeline.unoccluded[i]:
            gaps[i] = fit_opening(mesh, LIPS).gap
            smirks[i] = mouth_corners.seek_share(mesh) > 0
    known = gaps, timeline.pose[:, :3], clear
    whole = LookSamples(timeline.unoccluded, *known, SAMPLES)
    shots = {
        begin: LookSamples(frames, *known, CLOSED_FRAMES)
        for begin, frames in own_shots(timeline.shot, timeline.unoccluded).items()
    }
    looks = [whole, *shots.values()]
    corners: dict[int, tuple[bool, Array32]] = {}
    wanted = set(np.flatnonzero(smirks).tolist()).union(*(look.wanted for look in looks))
    parsed = sorted(whole.sampled)[:: max(1, len(whole.sampled) // PARSED_FRAMES)]
    samples, worn, borders = TextureSamples(), [], []
    covers: list[tuple[Cover, Cover]] = []
    for index, frame in enumerate(frames if wanted else ()):
        if index in wanted:
            image = to_uint8(frame.pixels)
            mesh = rebuild_driver_meshes(own.window(index, index + 1))[0]
            if index in whole.sampled:
                samples.add(_UV_MAP.unwrap(image, mesh))
            if index in parsed:
                borders.append(find_widths(image))
                if (regions := parse_face(image, _face_of(mesh))) is not None:
                    covers.append(find_covers(regions, mesh))
                    are_dark = "glasses" in covers[-1]
                    worn.append(held.find(regions, mesh, are_dark=are_dark))
            if smirks[index]:
                on_right = mouth_corners.slant(mesh) > 0
                corners[index] = on_right, mouth_corners.measure(image, mesh)
            for look in looks:
                look.add(index, image, mesh)
        if index >= max(wanted):
            break
    pts = np.concatenate([window.pts for window in windows(own)])
    return MeshVideo(
        shot_looks(whole.look(int(pts[0])), shots, timeline.shot, pts),
        samples.appearance_model(),
        mouth_corners.collect(pts, timeline.shot, corners),
        parse_face,
        _median_worn(worn),
        _usual_covers(covers),
        mouth_painter,
        find_person,
        common_widths(borders),
    )


def _median_worn(found: Sequence[Array | None]) -> Array | None:
    """Return the median over frames of how far points are glasses; None where most show none."""
    if 2 * sum(one is not None for one in found) <= len(found):
        return None
    return np.asarray(np.median([one for one in found if one is not None], 0))


def _usual_covers(found: Sequence[tuple[Cover, Cover]]) -> tuple[Cover, Cover]:
    """Return what covers each eye in most of the frames; nothing where none is known."""
    if not found:
        return NO_COVERS
    right, left = zip(*found, strict=True)
    return mode(right), mode(left)


def _face_of(mesh: Array) -> Face:
    return Face(bounding_box(mesh).astype(np.float32), 1.0, mesh=mesh.astype(np.float32))


def prepare_frame(
    image: Image, mesh: Array, target: Array, video: MeshVideo, pts: int, *, moves_eyes: bool
) -> MeshSource:
    """Prepare a frame as the source of itself.

    Args:
        image: (H, W, 3) uint8.
        mesh, target: (468, 3) float64 pixels, the frame's own and where it goes.
        video: whose frame it is.
        pts: its time stamp.
        moves_eyes: the eyes become layers of their own, and the skin folds around them; otherwise
            they are skin, and what is above the mouth stays the frame's.
    """
    border = Border.of(image, video.border)
    image = image if border is None else border.extend_inside()
    look = video.look_at(pts)
    is_blurred = look.seen_eyes is not None and look.seen_eyes.share > MOST_BLUR
    tone = colours.skin_tone(image, mesh)
    interior = replace(
        mouth_interior.prepare(mesh, tone, look.seen_eyes, look.natural),
        darkest=look.darkest,
        aside=side_light.measure(image, mesh),
    )
    parted = None
    if interior.lips.gap > PARTED_GAP:
        colour = None if look.seam is None else look.seam * tone
        parted = closed_lips.prepare(image, mesh, colour, interior.blur, look.haze)
        closing = fit_opening(target, LIPS).gap / interior.lips.gap
        share = 1 - float(smoothstep(*CLOSING_RANGE, closing))
        mesh = mesh if share <= 0 else lip_rims.exclude_teeth(image, mesh, share)
    eyes = extract_eyes(image, mesh, None, tone, covers=video.covers) if moves_eyes else ()
    face, normals, cheek = _face_of(mesh), inward_normals(mesh), None
    if mirrored_cheek.may_show(normals, mesh, target):
        regions = video.parse_face(image, face)
        hair = BorderHair.find(normals, mesh, regions)
        cheek = mirrored_cheek.prepare(image, mesh, regions, hair)
    folded: SourceFolds | None = None
    if moves_eyes:
        folded = folds.prepare(image, mesh, None, interior.natural, evens=False)
    ground = _find_ground(image, mesh, target, video)
    ends_above = 0.0 if ground is None else ground.ends_above
    return MeshSource(
        image,
        face,
        mesh,
        normals,
        max(1, map_step(mesh) // FINE),
        NearSide.of(mesh),
        Surroundings(find_outline(mesh), float(image.shape[0] - 1), False, ends_above=ends_above),
        None,
        eyes,
        cheek,
        tone,
        interior,
        parted,
        lid_skin.extract(image, mesh, eyes) if eyes else (),
        look.mouths,
        shut_lips=closed_lips.prepare_shut(image, mesh) if parted is None else None,
        mouth_painter=None if is_blurred else video.mouth_painter,
        folds=folded,
        light=None if folded is None else turned_light.prepare(image, mesh, folded, None, target),
        border=border,
        rigid=video.worn,
        ground=ground,
    )


def _find_ground(image: Image, mesh: Array, target: Array, video: MeshVideo) -> StillGround | None:
    """Tell the person of a frame whose head moves; None of another one, or without its network."""
    held = still_ground.strength(mesh, target)
    if video.find_person is None or held <= 0:
        return None
    return still_ground.find(image, mesh, held, video.find_person)


def keep_occluders(image: Image, out: Image, mesh: Array, video: MeshVideo, doubt: float) -> Image:
    """Put what is in front of the face back where the frame shows it.

    Args:
        image: (H, W, 3) uint8 frame.
        out: the rendered frame, changed in place.
        mesh: (468, 3) pixels of the frame.
        video: its appearance model tells an occluder from the face.
        doubt: 0..1, that something may be in front of it; light and turns also look different.
    """
    if video.appearance is None or doubt <= 0:
        return out
    probability = video.appearance.occlusion_probability(_UV_MAP.unwrap(image, mesh))
    if probability.max() < OCCLUDED_RANGE[0]:
        return out
    placement = align.square(bounding_box(mesh), OCCLUSION_SIDE, OCCLUSION_SCALE)
    mask = _UV_MAP.project(probability, mesh, placement)
    reach = OCCLUDER_REACH * face_height(mesh) * float(placement.crop_from_frame[0, 0])
    width = 2 * max(round(reach), 1) + 1
    mask = smoothstep(*OCCLUDED_RANGE, cv2.dilate(mask, np.ones((width, width), np.uint8)))
    return _blend_back(image, out, np.asarray(doubt * mask, np.float32), placement)


def _blend_back(image: Image, out: Image, mask: Array32, placement: Crop) -> Image:
    """Blend the frame over the rendered one where the mask (h, w) of a crop is, in place."""
    frame_from_crop = np.linalg.inv(placement.crop_from_frame)
    low = np.floor(frame_from_crop[:2, 2]).astype(int).clip(0)
    high = np.ceil(frame_from_crop[:2, :2] @ placement.size + frame_from_crop[:2, 2]).astype(int)
    x1, y1 = np.minimum(high, (image.shape[1], image.shape[0]))
    x0, y0 = low
    if x1 <= x0 or y1 <= y0:
        return out
    box_from_frame = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
    to_box = Crop(box_from_frame @ frame_from_crop, (int(x1 - x0), int(y1 - y0)))
    share = np.clip(crop(mask, to_box, border="black", kernel="linear"), 0, 1)
    view, kept = out[y0:y1, x0:x1], image[y0:y1, x0:x1]
    view[:] = cv2.blendLinear(kept, view, share, 1 - share)
    return out


def is_changed(motion: Motion, row: int) -> bool:
    """Return whether a frame differs from the footage."""
    return bool(motion.valid[row]) and float(motion.arrays["weight"][row]) > 0
