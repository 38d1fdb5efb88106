"""One edited face of a clip: crops, masks and features from pass 1, changed pixels in pass 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from operator import call
from typing import Any

from thcli.core.errors import NotFiniteError
from thcli.core.options import EditOptions, TemplateOptions
from thcli.core.protocols import Parser
from thcli.core.stream import ordered_map
from thcli.core.types import Array32, Face
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.faces.crops.align import resize
from thcli.faces.crops.crop import Pixels
from thcli.faces.parsing.crops import HEAD_SCALE, Regions
from thcli.pipeline.editing.edit_log import FeatureLog, RegionLog
from thcli.pipeline.editing.face_in_frame import REGIONS, FaceInFrame, paste_step, view_of, views_of
from thcli.pipeline.editing.monochrome import MonochromeMeter
from thcli.pipeline.editing.repeated_frames import RepeatedFrames
from thcli.pipeline.editing.skin_motion import SkinMotion, move_mesh
from thcli.pipeline.editing.smoothed_meshes import SmoothedMeshes
from thcli.pipeline.editing.step_batches import extract_each, render_alone, render_each
from thcli.pipeline.editing.steps import EditStep, FaceView, Rendered
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, TrackedCrop, write_crop_track
from thcli.pipeline.observe.mask_log import MaskLog
from thcli.pipeline.observe.region_stream import ParsedFaces
from thcli.pipeline.observe.track_log import TrackLog

# Crop of the parser: the whole head with its hair.
PARSER_TEMPLATE = TemplateOptions(template="square", size=256, scale=HEAD_SCALE)
# Weight of appearance differences for occlusion: shading of a turning head differs too.
OCCLUSION_WEIGHT = 0.3
# Frames on both sides; a third one reduces the parser's noise by a tenth only and costs a third.
SMOOTHING_REACH = 2


class EditedFace:
    """One edited face of a clip.

    Pass 1: `learn` takes all frames in order, then `finalize` is called. Pass 2: `in_frames` yields
    the face in every frame, and `apply` changes it. `use` starts another pass 2.
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
        self._ops = pixel_ops(options.run.device)
        self._workers = options.run.workers
        temp_dir = job.temp_dir()
        with job.clock("calm"):
            templates = [PARSER_TEMPLATE, *(step.template for step in steps)]
            paths = [temp_dir / f"{i}{SUFFIX}" for i in range(len(templates))]
            for path, template in zip(paths, templates, strict=True):
                self.unseen = write_crop_track(
                    path, log, track, template, options.stabilization, name
                )
            self._crop_tracks = [CropTrack(path) for path in paths]
            self._start = next(self._crop_tracks[0].window(0, 1)).seconds
            motion_path = temp_dir / "motion.safetensors"
            self._meshes = SmoothedMeshes(motion_path, log, track, self._crop_tracks[1])
        self._regions = job.enter(RegionLog())
        self._motion = job.enter(SkinMotion())
        self._repeated = RepeatedFrames()
        self._monochrome = MonochromeMeter()
        self._features = [job.enter(FeatureLog()) for _ in steps]
        self._samples: list[tuple[FaceView, Array32] | None] = [None for _ in steps]
        self._parameters: list[Any] = []
        self._masks = job.enter(
            MaskLog(
                parser, 0.0, REGIONS["all"], OCCLUSION_WEIGHT, self._regions.add, SMOOTHING_REACH
            )
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

        The jaw is corrected in pass 2 only: features are measured at the smoothed mesh, up to
        `skin_motion.MOST` away, and those of `apply` with `alone` at the corrected one.

        Args:
            window: frames with their faces, parsed in the parser's crop.
            index: of this face among the faces of a frame.
            crops: of the parser and of each step, per frame.
        """
        parts = (
            partial(self._learn_regions, window, index, crops),
            partial(self._learn_features, window, index, crops),
            partial(self._learn_motion, window, index, crops),
        )
        for _ in ordered_map(call, parts, min(self._workers, 2), 2):
            pass

    def _learn_regions(
        self, window: Sequence[ParsedFaces], index: int, crops: Sequence[tuple[TrackedCrop, ...]]
    ) -> None:
        """Smooth and store the regions and masks of frames; arguments as for `learn`."""
        for parsed, frame_crops in zip(window, crops, strict=True):
            parser_crop = frame_crops[0] if parsed.parsed[index].visible else None
            self._masks.add(parsed.frame_faces.frame, parser_crop, parsed.parsed[index])

    def _learn_motion(
        self, window: Sequence[ParsedFaces], index: int, crops: Sequence[tuple[TrackedCrop, ...]]
    ) -> None:
        """Store the motion of the skin, and measure colours; arguments as for `learn`."""
        for parsed, (tracked, *_) in zip(window, crops, strict=True):
            face, image = parsed.frame_faces.faces[index], parsed.parsed[index].crop
            seconds = float(tracked.seconds - self._start)
            placement = tracked.placement
            if image is not None:
                placement = resize(placement, image.shape[1])
                self._monochrome.add(image)
            self._motion.add(face, image, placement, seconds, tracked.scene)
            self._repeated.add(parsed.frame_faces.frame.pixels, face, tracked.scene)

    def _learn_features(
        self, window: Sequence[ParsedFaces], index: int, crops: Sequence[tuple[TrackedCrop, ...]]
    ) -> None:
        """Extract the features of frames; arguments as for `learn`."""
        shown = [
            (parsed, frame_crops)
            for parsed, frame_crops in zip(window, crops, strict=True)
            if parsed.parsed[index].visible
        ]
        for i, (step, log) in enumerate(zip(self._steps, self._features, strict=True)):
            views = [
                view_of(parsed, index, frame_crops[i + 1], self._start)
                if step.each_frame or parsed.parsed[index].regions is not None
                else None
                for parsed, frame_crops in shown
            ]
            measured = [view for view in views if view is not None]
            with self._job.clock("learn", frames=len(measured)):
                rows = iter(extract_each(self._job.batches("edit"), step, measured))
            for view in views:
                if view is None:
                    log.repeat()
                    continue
                features = next(rows)
                log.add(features)
                if self._samples[i] is None and features is not None:
                    self._samples[i] = view, features.per_frame[0]

    def finalize(self) -> None:
        """Decide the edit of the whole clip. Call once, between the passes.

        Raises NotFiniteError when a step failed in every frame that shows the face.
        """
        self._masks.finish()
        self.use(self._steps)

    def use(self, steps: Sequence[EditStep]) -> None:
        """Decide the edit again with the same backends at other strengths, for another pass 2.

        Raises as `finalize`.
        """
        self._steps, self._parameters = steps, []
        for step, log, sample in zip(steps, self._features, self._samples, strict=True):
            if sample is not None:
                view = replace(sample[0], monochrome=self._monochrome.share())
                self._parameters.append(step.finalize(log.mean, view, sample[1]))
            elif len(log):
                raise NotFiniteError(f"{step.name} computed values that are not finite.")

    def changes(self, index: int) -> bool:
        """Return True when step number `index` changes this face."""
        return index < len(self._parameters) and self._parameters[index] is not None

    def in_frames(self) -> Iterator[FaceInFrame | None]:
        """Yield the face of every frame, in order; None where it was not detected.

        In frames that repeat an earlier one it rests: filters in time move what they smooth.
        """
        number = 0
        last: FaceInFrame | None = None
        rows = (
            self.faces(),
            self.crops(),
            self._regions.read(),
            self._masks.evidence(),
            self._motion.corrections(),
            self._repeated,
        )
        for index, (face, crops, probabilities, evidence, moved, repeated) in enumerate(
            zip(*rows, strict=True)
        ):
            if face is None or probabilities is None or evidence is None:
                last = None
                yield None
                continue
            if repeated and last is not None:
                parser_crop = replace(last.parser_crop, seconds=crops[0].seconds)
                last = replace(last, index=index, number=number, parser_crop=parser_crop)
            else:
                placements = tuple(tracked.placement for tracked in crops[1:])
                regions = Regions(resize(crops[0].placement, probabilities.shape[2]), probabilities)
                own = move_mesh(face, moved)
                last = FaceInFrame(index, crops[0], placements, number, own, regions, evidence)
            yield last
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

        def mask(work: tuple[Pixels, FaceInFrame]) -> Array32:
            image, in_frame = work
            return self._masks.masks(in_frame.evidence, image, in_frame.parser_crop).occlusion

        with self._job.clock("mask", frames=len(shown)):
            return list(ordered_map(mask, shown, self._workers, self._workers + 1))

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

        A frame where a step fails is one of job.failed_frames.

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
            if not (alone or self.changes(index)):
                continue
            seen = partial(views_of, in_frames=in_frames, step=index, start=self._start)
            views = seen(out, monochrome=self._monochrome.share())
            measured = seen(pixels, monochrome=0.0) if alone else None
            with self._job.clock(step.name, frames=len(views)):
                rendered = self._render(index, views, shown[0].number, measured)
            put = partial(paste_step, step, self._options.region, self._ops)
            self._job.failed_frames.update(
                in_frame.index
                for in_frame, crops in zip(shown, rendered, strict=True)
                if crops is None
            )
            work = zip(
                [out[i] for i in frames], shown, views, rendered, occlusion_masks, strict=True
            )
            with self._job.clock("carry", frames=len(views)):
                changed = list(ordered_map(put, work, self._workers, self._workers + 1))
            for i, frame in zip(frames, changed, strict=True):
                out[i] = frame
        return out

    def _render(
        self, index: int, views: list[FaceView], first: int, measured: list[FaceView] | None
    ) -> list[Rendered | None]:
        """Render crops before and after a step, None where it failed.

        first: number of the first frame with the face.
        measured: views of the unedited frames when each is edited by its own appearance.
        """
        step, log, batches = self._steps[index], self._features[index], self._job.batches("edit")
        features = log.rows(first, len(views))
        if measured is not None:
            return render_alone(batches, step, views, features, measured)
        return render_each(batches, step, views, features, log.mean, self._parameters[index])


def zip_in_frames(
    edited_faces: Sequence[EditedFace], skip: int
) -> Iterator[tuple[FaceInFrame | None, ...]]:
    """Yield all faces of every frame from number `skip` on."""
    return islice(zip(*(face.in_frames() for face in edited_faces), strict=True), skip, None)
