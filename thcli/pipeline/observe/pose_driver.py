"""Tables of head poses as drivers: a CSV file becomes a motion file of kind "pose"."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thcli import __version__
from thcli.core.errors import UsageError
from thcli.core.options import ReenactOptions
from thcli.core.types import Motion
from thcli.engines.backends import ENGINES
from thcli.media.info import MediaInfo
from thcli.media.writing.timing import exact_frame_rate
from thcli.motion.control.poses import PoseCurve
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.span import LAST_DURATION
from thcli.motion.file.windows import WINDOW
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.inputs import probe

KIND = "pose"
DEFAULT_FRAME_RATE = 25.0


def is_pose_table(path: str | Path) -> bool:
    """Return whether a driver is a table of head poses, by its ending."""
    return Path(path).suffix.lower() == ".csv"


def check_pose_driver(options: ReenactOptions) -> None:
    """Refuse a table of head poses as the driver of an engine that cannot follow one.

    Raises:
        UsageError: the engine follows no poses, or --pose-code replaces them all.
    """
    readers = [name for name, row in ENGINES.all().items() if row.reads_option("x2face.pose_code")]
    if options.engine not in readers:
        turns = ENGINES.backend(options.engine).reads_option("view.pose_file")
        raise UsageError(
            f"The engine {options.engine} cannot be driven by a table of head poses.",
            "Give it as --pose-file." if turns else f"It works with: {', '.join(readers)}.",
        )
    if options.x2face.pose_code:
        raise UsageError(
            "--pose-code has no effect with a table of head poses.", "Leave one of the two out."
        )


def probe_driver(driving: str | Path, options: ReenactOptions, job: Job) -> MediaInfo:
    """Read the properties of a driver; a table of head poses becomes a motion file first.

    Raises:
        MediaError: the driver cannot be read, or is not a table of poses.
    """
    path = job.seekable(driving)
    if is_pose_table(driving):
        path = _write_motion(path, options, job)
    return probe(path, options.read)


def _write_motion(path: Path, options: ReenactOptions, job: Job) -> Path:
    """Write the poses of a table to a temporary motion file and return its path.

    Poses are linear between rows, from the first row to the last, --fps a second (default 25).

    Args:
        path: CSV file with seconds, pitch, yaw and roll in degrees.
        options: frame rate of the output.
        job: owns the temporary folder.

    Raises:
        MediaError: the file is not a table of poses.
    """
    curve = PoseCurve.read(path)
    rate = exact_frame_rate(options.output.fps or DEFAULT_FRAME_RATE)
    length = float(curve.seconds[-1] - curve.seconds[0])
    count = 1 + int(np.floor(length * float(rate) + 1e-6))
    target = job.temp_dir() / f"{path.stem}{SUFFIX}"
    metadata = {"source": path.name, "made_by": f"thcli {__version__}", LAST_DURATION: "1"}
    with MotionWriter(target, metadata) as writer:
        for start in range(0, count, WINDOW):
            pts = np.arange(start, min(start + WINDOW, count), dtype=np.int64)
            angles = curve.sample(pts / float(rate)).astype(np.float32)
            valid = np.ones(len(pts), np.bool_)
            writer.append(Motion(KIND, pts, 1 / rate, valid, {"angles": angles}))
    return target
