"""`thcli prepare`: videos in, a dataset of cropped clips out (index.csv, clips/*.mp4, and each clip's motion beside it)."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from thcli import __version__, media
from thcli.core.errors import MediaError, NoFaceError, OutputError, ThcliError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import OutputOptions, PrepareOptions, ReadOptions
from thcli.core.types import Crop, Frame
from thcli.faces.crops.crop import crop as cut
from thcli.media.atomic_file import SideFile
from thcli.media.failures import unwritable
from thcli.media.info import MediaInfo
from thcli.motion.file import MotionWriter
from thcli.motion.observe import observe
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.driver import follow
from thcli.pipeline.sources.source_image import FaceFinder
from thcli.train.data.dataset import COLUMNS, INDEX, MOTION, SUFFIXES
from thcli.train.data.segments import Segment, Segmenter, in_crop

CLIPS, RECORDS = "clips", ".prepared"
KEYS = 8  # frames between key frames: any frame is a short decode away
WINDOW = 256
HAIR = 1e-4  # seconds: nearer to each other than this no two frames are
DEFAULT = PrepareOptions()
Row = dict[str, Any]


def prepare(
    inputs: Sequence[Path], output: Path, options: PrepareOptions = DEFAULT, on: Listener = silent
) -> dict[str, Any]:
    """Follows every face of every video and writes a clip for each piece in which it stays; returns the report of `--json`.

    A video that cannot be used (broken, no face) is told in a warning and counted in "failed".  With options.resume videos that an
    earlier run finished are left alone ("skipped").
    Raises the first of these failures when the dataset is empty at the end, UsageError, OutputError, WeightsError.
    """
    with Job("prepare", on) as job:
        videos = list(_videos(inputs))
        if not videos:
            raise MediaError(
                f"{inputs[0]} holds no videos.", f"Give videos: {', '.join(SUFFIXES)}."
            )
        if options.dry_run:
            return _planned(videos, output, job)
        face_finder = FaceFinder.load(options.find.choosing(), options.run)
        records = Records(output, options)
        errors: list[tuple[Path, ThcliError]] = []
        skipped = 0
        for video in videos:
            if records.has(video):
                skipped += 1
                continue
            try:
                rows, dropped = _from_video(video, output, options, face_finder, job)
            except (MediaError, NoFaceError) as exc:
                errors.append((video, exc))
                job.warn(f"{video} is left out. {exc.message}")
                continue
            records.add(video, rows, dropped)
        rows = records.finish()
        if not rows:
            records.discard()
            raise errors[0][1] if errors else _nothing(options)
        return {
            "command": "prepare",
            "output": str(output),
            "videos": len(videos),
            "skipped": skipped,
            "failed": len(errors),
            "clips": len(rows),
            "frames": sum(int(row["frames"]) for row in rows),
            "dropped": records.dropped,
            "seconds": round(job.seconds, 3),
            "errors": [
                {"video": str(video), "code": exc.exit_code, "message": exc.message}
                for video, exc in errors
            ],
        }


def _videos(inputs: Sequence[Path]) -> Iterator[Path]:
    """Files as given, folders taken apart, each once."""
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


def _from_video(
    video: Path, output: Path, options: PrepareOptions, face_finder: FaceFinder, job: Job
) -> tuple[list[Row], int]:
    """The rows of one video's clips, and how many pieces were too short or too small."""
    info = media.probe(video)
    if info.kind != "video":
        raise MediaError(f"{video} is no video.", "Clips are cut out of videos.")
    rows: list[Row] = []
    with Segmenter(options) as pieces:
        for frame, faces, new in follow(info, ReadOptions(), face_finder, job):
            for segment in pieces.feed(frame, faces, cut=new):
                rows.append(_clip(segment, info, output, options, job))
        for segment in pieces.finish():
            rows.append(_clip(segment, info, output, options, job))
    return sorted(rows, key=lambda row: (row["start"], row["track"])), pieces.dropped


def _clip(
    segment: Segment, info: MediaInfo, output: Path, options: PrepareOptions, job: Job
) -> Row:
    """Writes one clip and its motion. Raises MediaError, OutputError."""
    where = segment.crop(options)
    path = output / CLIPS / f"{_stem(info.path)}-{segment.track:02d}-{segment.start:06d}.mp4"
    start, end = (float(time - info.start) for time in (segment.first, segment.last))
    span = ReadOptions(start=max(start - HAIR, 0.0), end=end + HAIR)
    form = OutputOptions(
        overwrite=True, crf=options.crf, audio="drive" if options.audio else "none", key_every=KEYS
    )
    sound = info if options.audio and info.audio else None
    count = 0
    with (
        media.write(
            path,
            where.size,
            None,
            form,
            time_base=info.time_base,
            rate=info.rate,
            drive=sound,
            span=span,
            frames=segment.frames,
        ) as out,
        job.clock("cut"),
        media.read(info.path, span, on=job.on) as reader,
    ):
        begin: int | None = None
        for frame in reader:
            begin = frame.pts if begin is None else begin
            out.write(
                cut(to_uint8(frame.pixels), where),
                frame.pts if sound else frame.pts - begin,
                frame.duration,
            )
            count += 1
    beside = path.with_name(path.stem + MOTION)
    beside.unlink(missing_ok=True)
    if count == segment.frames:  # a damaged video may give other frames the second time
        _write_motion(beside, segment, where, info, options)
    x, y = np.linalg.solve(
        where.crop_from_frame[:2, :2], (options.size - 1) / 2 - where.crop_from_frame[:2, 2]
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
        f"{options.size / where.crop_from_frame[0, 0]:.1f}",
        f"{segment.face:.1f}",
        int(sound is not None),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _write_motion(
    path: Path, segment: Segment, where: Crop, info: MediaInfo, options: PrepareOptions
) -> None:
    """The mesh motion of a clip, in the clip's own pixels and frames."""
    blank = np.broadcast_to(np.uint8(0), (options.size, options.size, 3))
    words = {"source": info.path.name, "made_by": f"thcli {__version__}"}
    begin: int | None = None
    with MotionWriter(path, words, overwrite=True) as writer:
        for frames, faces in segment.log.windows(segment.track, WINDOW):
            begin = frames[0].pts if begin is None else begin
            moved = [
                Frame(blank, frame.pts - begin, frame.time_base, frame.index) for frame in frames
            ]
            writer.append(
                observe(moved, [None if face is None else in_crop(face, where) for face in faces])
            )


def _stem(path: Path) -> str:
    """A name for a video's clips: its own, and digits that tell namesakes apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem)[:60]
    return f"{plain}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:6]}"


class Records:
    """What each finished video gave, in a file of its own: a run that was interrupted goes on from there.

    Raises OutputError when the folder is in use and neither resume nor overwrite is given, UsageError when it was begun with others.
    """

    def __init__(self, output: Path, options: PrepareOptions) -> None:
        self.output, self.folder = output, output / RECORDS
        self.dropped = 0
        self._fresh = not output.exists()
        chosen = asdict(replace(options, overwrite=False, resume=False))
        chosen.pop("run")
        used = output.is_file() or (output.is_dir() and any(output.iterdir()))
        if used and not (options.resume or options.overwrite):
            raise OutputError(
                f"{output} is in use.",
                "Give --resume to go on, --overwrite to begin anew, or another -o.",
            )
        try:
            if output.is_file():
                raise OutputError(f"{output} is a file, not a folder.", "Give another -o.")
            if used and not options.resume:
                for name in (CLIPS, RECORDS):
                    shutil.rmtree(output / name, ignore_errors=True)
                (output / INDEX).unlink(missing_ok=True)
            (output / CLIPS).mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
            settings = self.folder / "options.json"
            if settings.is_file() and json.loads(settings.read_text("utf-8")) != json.loads(
                json.dumps(chosen)
            ):
                raise UsageError(
                    f"{output} was begun with other options.",
                    "Resume with the same, or begin anew with --overwrite.",
                )
            settings.write_text(json.dumps(chosen), "utf-8")
        except OSError as exc:
            raise unwritable(output, exc) from exc
        except json.JSONDecodeError as exc:
            raise UsageError(
                f"{output} cannot be resumed: its records are broken.",
                "Begin anew with --overwrite.",
            ) from exc

    def has(self, video: Path) -> bool:
        """Whether an earlier run finished this very file."""
        path = self._path(video)
        return path.is_file() and json.loads(path.read_text("utf-8"))["video"] == _facts(video)

    def add(self, video: Path, rows: list[Row], dropped: int) -> None:
        """A video is done."""
        with SideFile(self._path(video), overwrite=True) as file:
            file.partial.write_text(
                json.dumps({"video": _facts(video), "rows": rows, "dropped": dropped}), "utf-8"
            )

    def finish(self) -> list[Row]:
        """Writes index.csv of all that there is; returns its rows."""
        rows: list[Row] = []
        for path in self.folder.glob("video-*.json"):
            record = json.loads(path.read_text("utf-8"))
            rows += record["rows"]
            self.dropped += record["dropped"]
        rows.sort(key=lambda row: (row["origin"], row["start"], row["track"]))
        if rows:
            with (
                SideFile(self.output / INDEX, overwrite=True) as file,
                file.partial.open("w", encoding="utf-8", newline="") as text,
            ):
                table = csv.DictWriter(text, COLUMNS)
                table.writeheader()
                table.writerows(rows)
        return rows

    def discard(self) -> None:
        """Nothing came of it: a folder that was made for it goes again."""
        if self._fresh:
            shutil.rmtree(self.output, ignore_errors=True)

    def _path(self, video: Path) -> Path:
        return (
            self.folder
            / f"video-{hashlib.sha256(str(video.resolve()).encode()).hexdigest()[:20]}.json"
        )


def _facts(video: Path) -> list[Any]:
    """What tells a video from another under the same name."""
    try:
        facts = video.stat()
    except OSError:
        return [str(video), 0, 0]
    return [str(video), facts.st_size, facts.st_mtime_ns]


def _planned(videos: Sequence[Path], output: Path, job: Job) -> dict[str, Any]:
    """What --dry-run says."""
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


def _nothing(options: PrepareOptions) -> NoFaceError:
    return NoFaceError(
        f"No face stays for {options.min_frames} frames at {options.min_face:g} pixels or more.",
        "Lower --min-frames or --min-face.",
    )
