"""`thcli prepare`: from videos to a dataset of cropped clips with their motion files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thcli import __version__, media
from thcli.core.errors import MediaError, NoFaceError, OutputError, ThcliError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import OutputOptions, PrepareOptions, ReadOptions
from thcli.core.types import Crop, Frame
from thcli.faces.crops.crop import crop as crop_image
from thcli.faces.crops.crop import transform_face
from thcli.media.info import MediaInfo
from thcli.motion.file.writer import MotionWriter
from thcli.motion.observe import observe
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.tracking import track_video
from thcli.train.data.dataset import COLUMNS, MOTION, SUFFIXES
from thcli.train.data.prepare_journal import CLIPS, IndexRow, PrepareJournal
from thcli.train.data.segments import Segment, Segmenter

KEY_INTERVAL = 8  # frames between key frames, so that any frame needs a short decode only
WINDOW = 256  # frames of motion written at a time
TIME_MARGIN = 1e-4  # seconds; less than the distance of any two frames
DEFAULT = PrepareOptions()


def prepare(
    inputs: Sequence[Path], output: Path, options: PrepareOptions = DEFAULT, on: Listener = silent
) -> dict[str, Any]:
    """Track every face of every video and write one clip per segment.

    A video that cannot be used gives a warning and counts in "failed". With options.resume, videos
    that an earlier run finished count in "skipped".

    Args:
        inputs: Videos, or folders that are searched for videos.
        output: Folder of the dataset.
        options: Options of the command.
        on: Listener for progress and warnings.

    Returns:
        The report of `--json`.

    Raises:
        MediaError, NoFaceError: The first failure, when the dataset is empty at the end.
        UsageError: The folder was started with other options.
        OutputError: The folder is in use or cannot be written.
        WeightsError: The tracker's weights are missing.
    """
    with Job("prepare", on, options, inputs) as job:
        videos = list(_find_videos(inputs))
        if not videos:
            raise MediaError(
                f"{inputs[0]} contains no videos.", f"Give videos: {', '.join(SUFFIXES)}."
            )
        if options.dry_run:
            return _dry_run_report(videos, output, job)
        face_finder = FaceFinder.load(options.find.choosing(), options.run)
        journal = PrepareJournal(output, options)
        errors: list[tuple[Path, ThcliError]] = []
        skipped = 0
        try:
            for video in videos:
                if journal.has(video):
                    skipped += 1
                    continue
                try:
                    rows, dropped = _process_video(video, output, options, face_finder, job)
                except (MediaError, NoFaceError) as exc:
                    errors.append((video, exc))
                    job.warn(f"{video} is left out. {exc.message}")
                    continue
                journal.add(video, rows, dropped)
            rows = journal.finish()
        except OutputError:
            journal.discard_unused()
            raise
        if not rows:
            journal.discard()
            raise errors[0][1] if errors else _no_face_error(options)
        return {
            "command": "prepare",
            "output": str(output),
            "videos": len(videos),
            "skipped": skipped,
            "failed": len(errors),
            "clips": len(rows),
            "frames": sum(int(row["frames"]) for row in rows),
            "dropped": journal.dropped,
            "seconds": round(job.seconds, 3),
            "errors": [
                {"video": str(video), "code": exc.exit_code, "message": exc.message}
                for video, exc in errors
            ],
        }


def _find_videos(inputs: Sequence[Path]) -> Iterator[Path]:
    """Yield the files as given and the videos of folders, each once."""
    seen = set()
    for given in inputs:
        found = (
            sorted(p for p in given.rglob("*") if p.suffix.lower() in SUFFIXES)
            if given.is_dir()
            else [given]
        )
        for path in found:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _process_video(
    video: Path, output: Path, options: PrepareOptions, face_finder: FaceFinder, job: Job
) -> tuple[list[IndexRow], int]:
    """Write the clips of one video; return their rows and the number of dropped segments."""
    info = media.probe(video)
    if info.kind != "video":
        raise MediaError(f"{video} is not a video.", "Give videos.")
    rows: list[IndexRow] = []
    with Segmenter(options) as segmenter:
        for frame, faces, new in track_video(info, ReadOptions(), face_finder, job):
            for segment in segmenter.feed(frame, faces, cut=new):
                rows.append(_write_clip(segment, info, output, options, job))
        for segment in segmenter.finish():
            rows.append(_write_clip(segment, info, output, options, job))
    return sorted(rows, key=lambda row: (row["start"], row["track"])), segmenter.dropped


def _write_clip(
    segment: Segment, info: MediaInfo, output: Path, options: PrepareOptions, job: Job
) -> IndexRow:
    """Write one clip and its motion file; return its index row.

    Raises:
        MediaError: The video cannot be read.
        OutputError: The clip cannot be written.
    """
    square = segment.crop(options)
    path = output / CLIPS / f"{_stem(info.path)}-{segment.track:02d}-{segment.start:06d}.mp4"
    start, end = (float(time - info.start) for time in (segment.first, segment.last))
    span = ReadOptions(start=max(start - TIME_MARGIN, 0.0), end=end + TIME_MARGIN)
    encoding = OutputOptions(
        overwrite=True,
        crf=options.crf,
        audio="drive" if options.audio else "none",
        key_every=KEY_INTERVAL,
    )
    sound = info if options.audio and info.audio else None
    count = 0
    with (
        media.write(
            path,
            square.size,
            None,
            encoding,
            media.WritePlan(
                time_base=info.time_base,
                rate=info.rate,
                drive=sound,
                span=span,
                frames=segment.frames,
            ),
        ) as out,
        job.clock("cut"),
        media.read(info.path, span, device=job.device, on=job.on) as reader,
    ):
        first: int | None = None
        for frame in reader:
            first = frame.pts if first is None else first
            out.write(
                crop_image(to_uint8(frame.pixels), square),
                frame.pts if sound else frame.pts - first,
                frame.duration,
            )
            count += 1
    motion_path = path.with_name(path.stem + MOTION)
    motion_path.unlink(missing_ok=True)
    if count == segment.frames:  # a damaged video may decode to other frames the second time
        _write_motion(motion_path, segment, square, info, options)
    x, y = np.linalg.solve(
        square.crop_from_frame[:2, :2], (options.size - 1) / 2 - square.crop_from_frame[:2, 2]
    )
    seconds = float(segment.last - segment.first)
    values = (
        path.relative_to(output).as_posix(),
        str(info.path),
        segment.start,
        f"{start:.4f}",
        count,
        f"{(count - 1) / seconds:.3f}" if seconds else "",
        segment.track,
        f"{x:.1f}",
        f"{y:.1f}",
        f"{options.size / square.crop_from_frame[0, 0]:.1f}",
        f"{segment.face:.1f}",
        int(sound is not None),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _write_motion(
    path: Path, segment: Segment, crop: Crop, info: MediaInfo, options: PrepareOptions
) -> None:
    """Write the mesh motion of a clip, in the clip's own pixels and frames."""
    blank = np.broadcast_to(np.uint8(0), (options.size, options.size, 3))
    metadata = {"source": info.path.name, "made_by": f"thcli {__version__}"}
    first: int | None = None
    with MotionWriter(path, metadata, overwrite=True) as writer:
        for frames, faces in segment.log.windows(segment.track, WINDOW):
            first = frames[0].pts if first is None else first
            shifted = [
                Frame(blank, frame.pts - first, frame.time_base, frame.index) for frame in frames
            ]
            cropped = [
                None if face is None else transform_face(face, crop.crop_from_frame)
                for face in faces
            ]
            writer.append(observe(shifted, cropped))


def _stem(path: Path) -> str:
    """Return a file stem for a video's clips: its name and a hash that separates equal names."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem)[:60]
    return f"{plain}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:6]}"


def _dry_run_report(videos: Sequence[Path], output: Path, job: Job) -> dict[str, Any]:
    """Return the report of --dry-run."""
    frames, errors = 0, []
    for video in videos:
        try:
            frames += media.probe(video).frames or 0
        except MediaError as exc:
            errors.append({"video": str(video), "code": exc.exit_code, "message": exc.message})
    return {
        "command": "prepare",
        "output": str(output),
        "videos": len(videos),
        "skipped": 0,
        "failed": len(errors),
        "clips": 0,
        "frames": frames,
        "dropped": 0,
        "seconds": round(job.seconds, 3),
        "errors": errors,
        "dry_run": True,
    }


def _no_face_error(options: PrepareOptions) -> NoFaceError:
    return NoFaceError(
        f"No face is visible for {options.min_frames} frames at {options.min_face:g} px or more.",
        "Lower --min-frames or --min-face.",
    )
