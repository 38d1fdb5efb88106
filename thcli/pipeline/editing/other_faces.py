"""Observation of the files of --identity-from, --motion-from and --background-from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from thcli import media
from thcli.core.batches import require_finite
from thcli.core.errors import NotFiniteError
from thcli.core.imaging import to_uint8
from thcli.core.options import EditOptions, ReadOptions, TemplateOptions
from thcli.core.protocols import Editor
from thcli.core.types import Array32, Face, Frame, Image
from thcli.faces.crops.crop import crop, transform_face
from thcli.pipeline.editing.recombination import OtherFace, Recombination
from thcli.pipeline.editing.smoothed_meshes import SmoothedMeshes
from thcli.pipeline.editing.steps import EditorStep, EditStep
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, TrackedCrop, write_crop_track
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces

OTHER_FACES = "other faces"  # stage of the report

_Shown = tuple[float, Image, Face]
"""Seconds since the first frame, a crop, and the face in its pixels."""


def recombine(
    variants: Sequence[Sequence[EditStep]], options: EditOptions, job: Job
) -> list[list[EditStep]]:
    """Return the steps, their editors with the parts of other files.

    Args:
        variants: steps of each request.
        options: of the edit; without such files the steps are returned as they are.
        job: clock, progress and temporary files.

    Raises:
        NoFaceError: a file shows no face.
        MediaError: a file cannot be read.
        NotFiniteError: an editor computed values that are not finite.
    """
    asked = options.recombine
    editors = [step.editor for step in variants[0] if isinstance(step, EditorStep)]
    if not asked.files:
        return [list(steps) for steps in variants]
    face_finder = FaceFinder.load(options.faces, options.run, options.read)
    with job.clock.counted_as(OTHER_FACES):
        found = {
            path: observe_other_face(path, editors[0], face_finder, options, job)
            for path in dict.fromkeys(asked.files)
        }
    parts = (asked.identity, asked.motion, asked.background)
    others = Recombination(*(None if path is None else found[path] for path in parts))
    return [
        [
            replace(step, recombination=others) if isinstance(step, EditorStep) else step
            for step in steps
        ]
        for steps in variants
    ]


def span_of(path: Path, options: EditOptions) -> ReadOptions:
    """Return the part of a file that is observed.

    Motion and background are used at the times of the clip, an identity is that of all frames.
    """
    asked, clip = options.recombine, options.read
    end = None if clip.end is None or path == asked.identity else clip.end - clip.start
    return replace(clip, start=0.0, end=end)


def observe_other_face(
    path: Path, editor: Editor, face_finder: FaceFinder, options: EditOptions, job: Job
) -> OtherFace:
    """Track and encode the largest face of a file. Raises as `recombine`."""
    read = span_of(path, options)
    video, log = VideoSelection(media.probe(path, read), read), job.enter(TrackLog())
    pixels = options.stabilization.pixels
    statistics = track_faces(video, log, face_finder, job, FrameMeasurer(pixels))
    (track,) = face_finder.choose(statistics, video.select, str(path), job)
    folder = job.temp_dir()
    with job.clock("calm"):
        template = TemplateOptions(template=editor.template, size=editor.crop_size)
        crops_path = folder / f"other{SUFFIX}"
        write_crop_track(crops_path, log, track, template, options.stabilization, path.name)
        crop_track = CropTrack(crops_path)
        meshes = SmoothedMeshes(folder / "motion.safetensors", log, track, crop_track)
    keeps_crops = path == options.recombine.background
    other = job.enter(OtherFace(editor.crop_size, keeps_crops=keeps_crops))
    with job.frames(path, read) as frames:
        shown = _shown(zip(frames, meshes.faces(log, track), crop_track, strict=True))
        while window := list(islice(shown, options.run.batch_size)):
            with job.clock("learn", frames=len(window)):
                encode = partial(_encode, editor, window)
                encoded = job.batches("edit").run_each(len(window), encode)
            for (seconds, image, _), vectors in zip(window, encoded, strict=True):
                if vectors is not None:
                    other.add(seconds, image, *vectors)
    if not len(other):
        raise NotFiniteError(f"The editor computed values that are not finite for {path}.")
    return other


def _shown(rows: Iterable[tuple[Frame, Face | None, TrackedCrop]]) -> Iterator[_Shown]:
    """Yield the frames that show the face."""
    first: float | None = None
    for frame, face, tracked in rows:
        first = frame.seconds if first is None else first
        if face is not None:
            image = crop(to_uint8(frame.pixels), tracked.placement)
            own = transform_face(face, tracked.placement.crop_from_frame)
            yield frame.seconds - first, image, own


def _encode(editor: Editor, shown: Sequence[_Shown], part: slice) -> list[tuple[Array32, Array32]]:
    """Return identity and landmarks of some frames. Raises NotFiniteError."""
    crops = [image for _, image, _ in shown[part]]
    faces = [face for _, _, face in shown[part]]
    identities, landmarks = editor.encode(crops, faces)
    require_finite(identities, landmarks)
    return list(zip(identities, landmarks, strict=True))
