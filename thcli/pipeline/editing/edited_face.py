"""One edited face of a clip: crops, masks and features from pass 1, changed pixels in pass 2."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import cv2
import numpy as np

from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.options import EditOptions, EditRegion, TemplateOptions
from thcli.core.protocols import Parser
from thcli.core.stream import ordered_map
from thcli.core.types import Array, Array32, Crop, Face
from thcli.faces.compositing.paste import paste_change
from thcli.faces.crops.crop import Pixels, crop, transform_face
from thcli.faces.parsing.classes import (
    EARS,
    FACE,
    HAIR,
    NECK,
    ClassGroup,
    class_number,
    group_probability,
)
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.edit_log import FeatureLog, RegionLog
from thcli.pipeline.editing.smoothed_meshes import SmoothedMeshes
from thcli.pipeline.editing.steps import EditStep, FaceView
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, TrackedCrop, write_crop_track
from thcli.pipeline.observe.mask_log import MaskEvidence, MaskLog
from thcli.pipeline.observe.region_stream import ParsedFaces
from thcli.pipeline.observe.track_log import TrackLog

# Crop of the parser: the whole head with its hair.
PARSER_TEMPLATE = TemplateOptions(template="square", size=256, scale=2.4)
# Softness of a region's mask over the height of the face.
MASK_SOFTNESS: dict[EditRegion, float] = {"face": 0.02, "hair": 0.015, "all": 0.04}
# Weight of appearance differences for occlusion: shading of a turning head differs too.
OCCLUSION_WEIGHT = 0.3
MASK_RANGE = (0.08, 0.6)  # soft region: below the first nothing changes, above the second all
_GLASSES = frozenset({class_number("eye_g")})
_SKIN: ClassGroup = FACE | EARS | NECK | _GLASSES
REGIONS: dict[EditRegion, ClassGroup] = {
    "face": _SKIN,
    "hair": HAIR,
    "all": _SKIN | HAIR | frozenset(map(class_number, ("hat", "ear_r", "neck_l"))),
}


@dataclass(frozen=True, slots=True)
class FaceInFrame:
    """The edited face in one frame.

    parser_crop: crop of the parser.
    placements: crops of the steps.
    number: count of earlier frames that show the face.
    face: in pixels of the frame.
    probabilities: (19, h, w) regions in the parser's crop.
    evidence: for its mask and occlusion.
    """

    parser_crop: TrackedCrop
    placements: tuple[Crop, ...]
    number: int
    face: Face
    probabilities: Array32
    evidence: MaskEvidence


class EditedFace:
    """One edited face of a clip.

    Pass 1: `learn` takes all frames in order, then `finalize` is called. Pass 2: `in_frames` yields
    the face in every frame, and `apply` changes it.
    """

    def __init__(
        self,
        track: int,
        steps: Sequence[EditStep],
        log: TrackLog,
        parser: Parser,
        options: EditOptions,
        name: str,
        job: Job,
    ) -> None:
        """Write the crop tracks of a face.

        Args:
            track: number of the face.
            steps: editors and painters in their order.
            log: faces of the clip.
            parser: segments the face.
            options: of the edit.
            name: of the clip, for metadata.
            job: clock and temporary files.
        """
        self._track, self._steps, self._log = track, steps, log
        self._options, self._job = options, job
        temp_dir = job.temp_dir()
        with job.clock("calm"):
            templates = [PARSER_TEMPLATE, *(step.template for step in steps)]
            paths = [temp_dir / f"{i}{SUFFIX}" for i in range(len(templates))]
            for path, template in zip(paths, templates, strict=True):
                self.unseen = write_crop_track(
                    path, log, track, template, options.stabilization, name
                )
            self._crop_tracks = [CropTrack(path) for path in paths]
            motion_path = temp_dir / "motion.safetensors"
            self._meshes = SmoothedMeshes(motion_path, log, track, self._crop_tracks[1])
        self._regions = job.enter(RegionLog())
        self._features = [job.enter(FeatureLog()) for _ in steps]
        self._samples: list[tuple[FaceView, Array32] | None] = [None for _ in steps]
        self._parameters: list[Any] = []
        self._masks = job.enter(
            MaskLog(parser, 0.0, REGIONS["all"], OCCLUSION_WEIGHT, self._regions.add)
        )

    def faces(self) -> Iterator[Face | None]:
        """Yield the face in every frame, None where it was not detected."""
        return self._meshes.faces(self._log, self._track)

    def crops(self) -> Iterator[tuple[TrackedCrop, ...]]:
        """Yield the crops of the parser and of each step in every frame."""
        return zip(*self._crop_tracks, strict=True)

    def learn(
        self, window: Sequence[ParsedFaces], index: int, crops: Sequence[tuple[TrackedCrop, ...]]
    ) -> None:
        """Add the next frames of pass 1.

        Args:
            window: frames with their faces, parsed in the parser's crop.
            index: of this face among the faces of a frame.
            crops: of the parser and of each step, per frame.
        """
        for parsed, frame_crops in zip(window, crops, strict=True):
            frame_faces = parsed.frame_faces
            parser_crop = None if frame_faces.faces[index] is None else frame_crops[0]
            self._masks.add(frame_faces.frame, parser_crop, parsed.parsed[index])
        for i, (step, log) in enumerate(zip(self._steps, self._features, strict=True)):
            views = [
                _face_view(
                    parsed.frame_faces.frame.pixels, face, frame_crops[i + 1].placement, regions
                )
                for parsed, frame_crops in zip(window, crops, strict=True)
                if (face := parsed.frame_faces.faces[index]) is not None
                and (regions := parsed.parsed[index].regions) is not None
            ]
            if views:
                with self._job.clock("learn", frames=len(views)):
                    features = step.extract_features(views)
                log.add(features)
                if self._samples[i] is None:
                    self._samples[i] = views[0], features.per_frame[0]

    def finalize(self) -> None:
        """Decide the edit of the whole clip. Call once, between the passes."""
        self._masks.finish()
        for step, log, sample in zip(self._steps, self._features, self._samples, strict=True):
            if sample is not None:
                self._parameters.append(step.finalize(log.mean, *sample))

    def in_frames(self) -> Iterator[FaceInFrame | None]:
        """Yield the face of every frame, in order; None where it was not detected."""
        number = 0
        rows = self.faces(), self.crops(), self._regions.read(), self._masks.evidence()
        for face, crops, probabilities, evidence in zip(*rows, strict=True):
            if face is None or probabilities is None or evidence is None:
                yield None
                continue
            placements = tuple(tracked.placement for tracked in crops[1:])
            yield FaceInFrame(crops[0], placements, number, face, probabilities, evidence)
            number += 1

    def occlusion_masks(
        self, pixels: Sequence[Pixels], in_frames: Sequence[FaceInFrame | None]
    ) -> list[Array32]:
        """Return the occlusion masks of the frames that show the face, 0..1 in the parser's crop.

        Args:
            pixels: (H, W, 3) frames.
            in_frames: the face in each frame.
        """
        shown = [
            (image, in_frame)
            for image, in_frame in zip(pixels, in_frames, strict=True)
            if in_frame is not None
        ]
        with self._job.clock("mask", frames=len(shown)):
            return [
                self._masks.masks(in_frame.evidence, image, in_frame.parser_crop).occlusion
                for image, in_frame in shown
            ]

    def apply(
        self,
        pixels: Sequence[Pixels],
        in_frames: Sequence[FaceInFrame | None],
        occlusion_masks: Sequence[Array32],
        step_indices: Sequence[int] | None = None,
        *,
        alone: bool = False,
    ) -> list[Pixels]:
        """Apply the edit to frames; those that do not show the face pass through unchanged.

        Args:
            pixels: (H, W, 3) uint8 or uint16 frames.
            in_frames: the face in each frame.
            occlusion_masks: of the frames that show the face, see `occlusion_masks`.
            step_indices: of the steps to apply, None for all.
            alone: edit the identity and appearance of each frame rather than of the clip, as
                frame-wise methods do, for comparison.
        """
        out = list(pixels)
        frames = [i for i, in_frame in enumerate(in_frames) if in_frame is not None]
        shown = [in_frame for in_frame in in_frames if in_frame is not None]
        if not shown:
            return out
        for index in range(len(self._steps)) if step_indices is None else step_indices:
            step = self._steps[index]
            views = [
                _face_view(
                    out[i],
                    in_frame.face,
                    in_frame.placements[index],
                    Regions(in_frame.parser_crop.placement, in_frame.probabilities),
                )
                for i, in_frame in zip(frames, shown, strict=True)
            ]
            with self._job.clock(step.name, frames=len(views)):
                rendered = self._render(index, views, shown[0].number, alone)
            put = partial(_paste_step, step.affected_region, self._options.region)
            work = zip(
                [out[i] for i in frames], shown, views, rendered, occlusion_masks, strict=True
            )
            workers = self._options.run.threads or os.cpu_count() or 1
            with self._job.clock("carry", frames=len(views)):
                changed = list(ordered_map(put, work, workers, workers + 1))
            for i, frame in zip(frames, changed, strict=True):
                out[i] = frame
        return out

    def _render(
        self, index: int, views: list[FaceView], first: int, alone: bool
    ) -> list[tuple[Pixels, Pixels]]:
        """Render crops before and after a step. first: number of the first frame with the face."""
        step, log = self._steps[index], self._features[index]
        features = log.rows(first, len(views))
        if not alone:
            return list(step.render(views, features.per_frame, log.mean, self._parameters[index]))
        out: list[tuple[Pixels, Pixels]] = []
        for view, shared, own in zip(views, features.shared, features.per_frame, strict=True):
            out += step.render([view], own[None], shared, step.finalize(shared, view, own))
        return out


def zip_in_frames(
    edited_faces: Sequence[EditedFace], skip: int
) -> Iterator[tuple[FaceInFrame | None, ...]]:
    """Yield all faces of every frame from number `skip` on."""
    return islice(zip(*(face.in_frames() for face in edited_faces), strict=True), skip, None)


def _face_view(pixels: Pixels, face: Face, placement: Crop, regions: Regions) -> FaceView:
    return FaceView(
        np.asarray(crop(to_uint8(pixels), placement), np.uint8),
        placement,
        transform_face(face, placement.crop_from_frame),
        regions,
    )


def _paste_step(
    affected_region: EditRegion,
    requested: EditRegion,
    work: tuple[Pixels, FaceInFrame, FaceView, tuple[Pixels, Pixels], Array32],
) -> Pixels:
    """Paste the change of one step into a frame.

    Args:
        affected_region: of the step.
        requested: value of --region.
        work: the frame, the face in it, the view of the step, its crops before and after, and the
            occlusion mask.
    """
    frame, in_frame, view, (before, after), occlusion_mask = work
    parser_placement = in_frame.parser_crop.placement
    mask = _edit_mask(in_frame, affected_region, requested)
    return paste_change(
        frame,
        before,
        after,
        view.placement,
        _resample_mask(mask, parser_placement, view.placement),
        occlusion_mask=_resample_mask(occlusion_mask, parser_placement, view.placement),
    )


def _edit_mask(
    in_frame: FaceInFrame, affected_region: EditRegion, requested: EditRegion
) -> Array32:
    """Return the soft mask of the region that may change, 0..1 in the parser's crop.

    Args:
        in_frame: the face.
        affected_region: of the step.
        requested: value of --region.
    """
    region = affected_region if requested == "auto" else requested
    scale = _scale(in_frame.parser_crop.placement.crop_from_frame)
    height = float(np.ptp(in_frame.face.box[1::2])) * scale
    inside = group_probability(in_frame.probabilities, REGIONS[region])
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
