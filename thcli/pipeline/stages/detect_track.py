"""`thcli detect` and `thcli track`: the faces of every frame, a line of JSON a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import DetectOptions, TrackOptions
from thcli.core.types import Face, Frame
from thcli.faces.backends import DETECTORS
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.layouts import five_points
from thcli.faces.tracking.select import TrackStatistics
from thcli.media.atomic_file import Lines
from thcli.pipeline.dry_run import planned
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.observe.driver import follow
from thcli.pipeline.sources.source_image import FaceFinder

DETECT, TRACK = DetectOptions(), TrackOptions()


def detect(
    source: str | Path,
    output: str | Path | None = None,
    options: DetectOptions = DETECT,
    on: Listener = silent,
) -> Report:
    """Finds the faces of every frame of a picture, video or folder, each frame by itself.

    output: a JSON Lines file, '-' for standard output, or None for no lines. A line has index, pts, seconds and faces, each with
    box (x0, y0, x1, y1), score and keypoints (x, y) in pixels.  Report.faces: the most in one frame.
    Raises MediaError, NoFaceError when no frame shows a face, WeightsError, OutputError, UsageError.
    """
    with Job("detect", on) as job:
        info = media.probe(job.enter(media.local(source)))
        lines = Lines(output, options.overwrite)
        detector = DETECTORS.backend(options.detector).load(options.run)
        if options.dry_run:
            return planned(job, output, info, options.read)
        counter, found, most, empty = FrameCounter(), 0, 0, 0
        reader = job.enter(media.read(info.path, options.read, on=on))
        with lines, job.stage("detect", info.frames) as step:
            for frame in job.clock.over("decode", reader):
                with job.clock("detect", frames=1):
                    faces = detector.detect(to_uint8(frame.pixels))
                lines.write({**_head(frame), "faces": [_detected(face) for face in faces]})
                counter.add(frame.pts, frame.duration, frame.time_base)
                found, most, empty = found + len(faces), max(most, len(faces)), empty + (not faces)
                step()
            if not found:
                raise NoFaceError(
                    f"None of the {counter.frames} frames of {source} shows a face.",
                    "Give one that does, or try another --detector.",
                )
        return job.report(
            output, counter, faces=most, passed_through=empty, details={"detections": found}
        )


def track(
    source: str | Path,
    output: str | Path | None = None,
    options: TrackOptions = TRACK,
    on: Listener = silent,
) -> Report:
    """Follows every face of a clip under a stable number.

    output: as for `detect`. A line has index, pts, seconds, cut (whether a new scene begins) and faces, each with track, box, score,
    logit (the landmarker's certainty, see `core.types.Face`), keypoints (5) and, where asked for, points (68 or 468 of x, y, z).
    Report.details["tracks"]: of each track its number, the one that --face takes for it (None when it is not in the first frame
    with faces), the frames it is in, the first of them, and its median area in square pixels.
    Raises MediaError, NoFaceError when nobody was seen, WeightsError, OutputError, UsageError.
    """
    with Job("track", on) as job:
        info = media.probe(job.enter(media.local(source)))
        lines = Lines(output, options.overwrite)
        face_finder = FaceFinder.load(options.find.choosing(), options.run)
        if options.dry_run:
            return planned(job, output, info, options.read)
        statistics, counter, cuts, empty = TrackStatistics(), FrameCounter(), 0, 0
        with lines:
            for frame, faces, cut in follow(info, options.read, face_finder, job):
                rows = [_tracked(face, options.points) for face in faces]
                lines.write({**_head(frame), "cut": cut, "faces": rows})
                statistics.add(faces)
                counter.add(frame.pts, frame.duration, frame.time_base)
                cuts, empty = cuts + cut, empty + (not faces)
        details = {"cuts": cuts, "tracks": _summary(statistics)}
        return job.report(
            output, counter, faces=statistics.tracks, passed_through=empty, details=details
        )


def only_one_for_stdout(output: str | None, as_json: bool) -> str | None:
    """Where lines go when nobody says: standard output, or nowhere when the summary goes there. Raises UsageError for both there."""
    if output == "-" and as_json:
        raise UsageError(
            "--json and -o - both want standard output.", "Write the lines to a file with -o FILE."
        )
    return output if output is not None or as_json else "-"


def _head(frame: Frame) -> dict[str, Any]:
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
    """Pixels to the hundredth, as lists."""
    return np.round(np.asarray(values, np.float64), 2).tolist()


def _summary(statistics: TrackStatistics) -> list[dict[str, Any]]:
    number = {track: choice for choice, track in enumerate(statistics.opening)}
    return [
        {
            "track": t.track,
            "face": number.get(t.track),
            "frames": t.frames,
            "first": t.first,
            "area": round(t.area),
        }
        for t in sorted(statistics.summaries.values(), key=lambda t: t.track)
    ]
