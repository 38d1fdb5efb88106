"""One edited face in one frame: its view for a step, its mask, and the paste of a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np

from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.options import EditRegion
from thcli.core.types import Array, Array32, Crop, Face
from thcli.faces.compositing.paste import CHANGE_ONLY, PasteContext, paste, paste_change
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.faces.crops.crop import Pixels, crop, transform_face
from thcli.faces.parsing.classes import (
    CLASSES,
    EARS,
    FACE,
    GLASSES,
    HAIR,
    NECK,
    ClassGroup,
    class_number,
    group_probability,
)
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.lost_detail import replace_lost_detail
from thcli.pipeline.editing.steps import EditStep, FaceView, Rendered
from thcli.pipeline.observe.crop_track import TrackedCrop
from thcli.pipeline.observe.mask_log import MaskEvidence
from thcli.pipeline.observe.region_stream import ParsedFaces

# Softness of a region's mask over the height of the face.
MASK_SOFTNESS: dict[EditRegion, float] = {"face": 0.02, "hair": 0.035, "all": 0.04}
MASK_RANGE = (0.08, 0.6)  # soft region: below the first nothing changes, above the second all
REMOVERS = "removers"  # step that takes detail off, rather than adding to it
_SKIN: ClassGroup = FACE | EARS | NECK | GLASSES
REGIONS: dict[EditRegion, ClassGroup] = {
    "face": _SKIN,
    "hair": HAIR,
    "all": _SKIN | HAIR | frozenset(map(class_number, ("hat", "ear_r", "neck_l"))),
}


@dataclass(frozen=True, slots=True)
class FaceInFrame:
    """The edited face in one frame.

    index: number of the frame.
    parser_crop: crop of the parser.
    placements: crops of the steps.
    number: count of earlier frames that show the face.
    face: in pixels of the frame.
    regions: of the face.
    evidence: for its mask and occlusion.
    """

    index: int
    parser_crop: TrackedCrop
    placements: tuple[Crop, ...]
    number: int
    face: Face
    regions: Regions
    evidence: MaskEvidence


def face_view(
    pixels: Pixels, face: Face, placement: Crop, regions: Regions, seconds: float
) -> FaceView:
    """Return a face of a frame as a step sees it.

    Args:
        pixels: of the frame.
        face: in pixels of the frame.
        placement: of the step's crop.
        regions: of the face.
        seconds: since the first frame of the clip.
    """
    return FaceView(
        np.asarray(crop(to_uint8(pixels), placement), np.uint8),
        placement,
        transform_face(face, placement.crop_from_frame),
        regions,
        seconds,
    )


def view_of(
    parsed: ParsedFaces, index: int, tracked_crop: TrackedCrop, start: Fraction
) -> FaceView:
    """Return one face of a frame that shows it; without regions where they are to be carried.

    start: time stamp of the first frame.
    """
    face, found = parsed.frame_faces.faces[index], parsed.parsed[index].regions
    assert face is not None
    placement = tracked_crop.placement
    regions = found or Regions(placement, np.zeros((len(CLASSES), 1, 1), np.float32))
    seconds = float(tracked_crop.seconds - start)
    return face_view(parsed.frame_faces.frame.pixels, face, placement, regions, seconds)


def views_of(
    pixels: Sequence[Pixels],
    in_frames: Sequence[FaceInFrame | None],
    step: int,
    start: Fraction,
    monochrome: float,
) -> list[FaceView]:
    """Return the face as a step sees it, in the frames that show it.

    start: time stamp of the first frame.
    monochrome: of the clip, see `FaceView`.
    """
    return [
        replace(
            face_view(
                image,
                in_frame.face,
                in_frame.placements[step],
                in_frame.regions,
                float(in_frame.parser_crop.seconds - start),
            ),
            monochrome=monochrome,
        )
        for image, in_frame in zip(pixels, in_frames, strict=True)
        if in_frame is not None
    ]


def paste_step(
    step: EditStep,
    requested: EditRegion,
    ops: PixelOps,
    work: tuple[Pixels, FaceInFrame, FaceView, Rendered | None, Array32],
) -> Pixels:
    """Paste the change of one step, or its whole crop with soft edges, into a frame.

    Args:
        step: an editor or painter.
        requested: value of --region.
        ops: of the device that pastes.
        work: the frame, the face in it, the view of the step, its crops before and after (None
            where it failed, which leaves the frame unchanged), and the occlusion mask.
    """
    frame, in_frame, view, rendered, occlusion_mask = work
    if rendered is None:
        return frame
    before, after, beside = rendered
    if step.whole_crop and requested == "auto":
        return paste(frame, after, view.placement, options=CHANGE_ONLY, ops=ops)
    target = view.placement
    region_mask = _edit_mask(in_frame, step.affected_region, requested)
    mask = _resample_mask(region_mask, in_frame.regions.placement, target)
    occluded = _resample_mask(occlusion_mask, in_frame.parser_crop.placement, target)
    if step.whole_crop:
        context = PasteContext(occlusion_mask=occluded)
        return paste(frame, after, target, mask, context=context, options=CHANGE_ONLY, ops=ops)
    if beside is not None and requested == "auto":
        mask, occluded = np.maximum(mask, beside), occluded * (1 - beside)
    changed = paste_change(frame, before, after, target, mask, occlusion_mask=occluded, ops=ops)
    if step.name != REMOVERS:
        return changed
    return replace_lost_detail(changed, before, after, target, mask * (1 - occluded))


def _edit_mask(
    in_frame: FaceInFrame, affected_region: EditRegion, requested: EditRegion
) -> Array32:
    """Return the soft mask of the region that may change, 0..1 in the crop of the regions.

    Args:
        in_frame: the face.
        affected_region: of the step.
        requested: value of --region.
    """
    region = affected_region if requested == "auto" else requested
    scale = _scale(in_frame.regions.placement.crop_from_frame)
    height = float(np.ptp(in_frame.face.box[1::2])) * scale
    inside = group_probability(in_frame.regions.probabilities, REGIONS[region])
    soft = cv2.GaussianBlur(inside, (0, 0), max(MASK_SOFTNESS[region] * height, 0.5))
    return np.asarray(smoothstep(*MASK_RANGE, soft), np.float32)


def _resample_mask(mask: Array32, source: Crop, target: Crop) -> Array32:
    """Resample a mask from one crop to another; 0 outside of the first."""
    target_from_source = target.crop_from_frame @ np.linalg.inv(source.crop_from_frame)
    placement = Crop(target_from_source, target.size)
    resampled = crop(mask, placement, border="black", kernel="linear")
    return np.asarray(np.clip(resampled, 0, 1), np.float32)


def _scale(matrix: Array) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
