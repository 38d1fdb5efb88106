"""`thcli detect` and `thcli track`: the faces of every frame as lines of JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import DetectOptions, TrackOptions
from thcli.core.types import Face, Frame
from thcli.faces.backends import DETECTORS
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.layouts import five_points
from thcli.faces.tracking.select import TrackStatistics
from thcli.media.atomic_file import JsonLinesWriter
from thcli.pipeline.check_options import check_run
from thcli.pipeline.dry_run import plan
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.tracking import track_video

DETECT, TRACK = DetectOptions(), TrackOptions()


def detect(
    source: str | Path,
    output: str | Path | None = None,
    options: DetectOptions = DETECT,
    on: Listener = silent,
) -> Report:
    """Detect the faces of every frame, each frame by itself.

    A line of output has index, pts, seconds and faces, each with box (x0, y0, x1, y1), score and
    keypoints (x, y) in pixels. Report.faces is the largest number in one frame. Pixels are those of
    the frame as it is shown: an anamorphic one is widened first.

    Args:
        source: image, video, folder of images, or '-' for standard input.
        output: JSON Lines file, '-' for standard output, None for no lines.
        options: detector, range.
        on: listener for progress and warnings.

    Raises:
        MediaError: the input cannot be read.
        NoFaceError: no frame shows a face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: an unknown detector.
    """
    check_run(options)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("detect", on, options, [source]) as job:
        info = media.probe(job.seekable(source), options.read)
        lines = JsonLinesWriter(output, options.overwrite)
        detector = DETECTORS.backend(options.detector).load(options.run)
        if options.dry_run:
            return plan(job, output, info, options.read)
        counter, total, most, empty = FrameCounter(), 0, 0, 0
        device = job.device
        reader = job.enter(
            media.read(info.path, options.read, device=device, on=on, tone_mapped=True)
        )
        with lines, job.stage("detect", info.frames) as step:
            for frame in job.clock.time_each("decode", reader):
                with job.clock("detect", frames=1):
                    faces = detector.detect(to_uint8(frame.pixels))
                lines.write({**_frame_row(frame), "faces": [_detected(face) for face in faces]})
                counter.add(frame.pts, frame.duration, frame.time_base)
                total, most, empty = total + len(faces), max(most, len(faces)), empty + (not faces)
                step()
            if not total:
                raise NoFaceError(
                    f"None of the {counter.frames} frames of {source} shows a face.",
                    "Give one that does, or try another --detector.",
                )
        details = {"detections": total}
        return job.report(output, counter, faces=most, passed_through=empty, details=details)


def track(
    source: str | Path,
    output: str | Path | None = None,
    options: TrackOptions = TRACK,
    on: Listener = silent,
) -> Report:
    """Track every face of a clip under a stable number.

    A line of output has index, pts, seconds, cut (a new scene begins) and faces, each with track,
    box, score, logit (confidence of the landmarker, see `core.types.Face`), keypoints (5) and, with
    --points 68 or 468, points (x, y, z), in pixels of the frame as it is shown, as for `detect`.

    Report.details["tracks"] has for each track its number, the number that --face takes for it
    (None when it is not in the first frame with faces), the count of its frames, the first of them,
    and its median area in square pixels.

    Args:
        source: image, video, folder of images, or '-' for standard input.
        output: as for `detect`.
        options: detector, points, range.
        on: listener for progress and warnings.

    Raises:
        MediaError: the input cannot be read.
        NoFaceError: no frame shows a face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: an unknown backend.
    """
    check_run(options)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("track", on, options, [source]) as job:
        info = media.probe(job.seekable(source), options.read)
        lines = JsonLinesWriter(output, options.overwrite)
        face_finder = FaceFinder.load(options.find.choosing(), options.run, options.read)
        if options.dry_run:
            return plan(job, output, info, options.read)
        statistics, counter, cuts, empty = TrackStatistics(), FrameCounter(), 0, 0
        with lines:
            for frame, faces, cut in track_video(info, options.read, face_finder, job):
                rows = [_tracked(face, options.points) for face in faces]
                lines.write({**_frame_row(frame), "cut": cut, "faces": rows})
                statistics.add(faces)
                counter.add(frame.pts, frame.duration, frame.time_base)
                cuts, empty = cuts + cut, empty + (not faces)
        details = {"cuts": cuts, "tracks": _track_rows(statistics)}
        return job.report(
            output, counter, faces=statistics.tracks, passed_through=empty, details=details
        )


def _frame_row(frame: Frame) -> dict[str, Any]:
    return {"index": frame.index, "pts": frame.pts, "seconds": round(frame.seconds, 6)}


def _detected(face: Face) -> dict[str, Any]:
    points = face.keypoints if face.keypoints is not None else face.points
    return {
        "box": _rounded(face.box),
        "score": round(float(face.score), 4),
        "keypoints": None if points is None else _rounded(points[:, :2]),
    }


def _tracked(face: Face, points: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "track": face.track,
        "box": _rounded(face.box),
        "score": round(float(face.score), 4),
        "logit": round(face.logit, 2),
    }
    if face.mesh is not None and points:
        row["keypoints"] = _rounded(five_points(face.mesh))
    if face.mesh is not None and points > 5:
        row["points"] = _rounded(landmarks68(face.mesh) if points == 68 else face.mesh)
    return row


def _rounded(values: npt.ArrayLike) -> Any:
    """Return pixels as lists, rounded to 0.01."""
    return np.round(np.asarray(values, np.float64), 2).tolist()


def _track_rows(statistics: TrackStatistics) -> list[dict[str, Any]]:
    numbers = {track: number for number, track in enumerate(statistics.first_seen_tracks)}
    return [
        {
            "track": summary.track,
            "face": numbers.get(summary.track),
            "frames": summary.frames,
            "first": summary.first,
            "area": round(summary.area),
        }
        for summary in sorted(statistics.summaries.values(), key=lambda s: s.track)
    ]
