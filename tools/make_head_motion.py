"""Build thcli/motion/data/heads.safetensors: head and brow motion of speakers, in segments of 3 s.

    python tools/make_head_motion.py GRID MOTIONS thcli/motion/data

GRID: a folder of `grid_*.mp4` (GRID audio-visual sentence corpus, CC BY 4.0).
MOTIONS: a folder for their motion files, which are written where they are missing.
The tracker's weights must be installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter1d

from thcli.core.types import Array, Motion
from thcli.faces.landmarks import topology
from thcli.motion import sliders
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.reader import MotionFile
from thcli.motion.smooth import GapFilledMotion, ZeroPhaseFilter
from thcli.motion.timeline import read_timeline
from thcli.pipeline.stages.encode_warp import encode

FRAMES = 75  # of a GRID sentence, at 25 per second
SMOOTHING = 1.5  # of the motion filter, which keeps fast events
GAUSSIAN = 3.5  # frames, standard deviation of the second filter: an opening jaw resembles a nod
LEFT_BROW = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46]
BROWS = [*LEFT_BROW, *topology.PAIRS[LEFT_BROW]]
MIN_ROTATION = 0.004  # radians, least head rotation of a segment
ATTRIBUTION = (
    "Derived from: GRID audio-visual sentence corpus, M. Cooke, J. Barker, S. Cunningham & X. Shao "
    "(2006), doi:10.5281/zenodo.3625687, CC BY 4.0; changed: heads were tracked, smoothed and "
    "their trends removed."
)


def head_segment(motion: Motion) -> Array:
    """Return head motion without its linear trend, (75, 8).

    Columns: rotation vector in radians, log scale, translation in IOD, brow slider.
    """
    store = MotionBuffer(motion)
    timeline = read_timeline(store)
    filled = GapFilledMotion(timeline, ZeroPhaseFilter(store, timeline, SMOOTHING))
    pose = filled.pose.copy()
    pose[:, 4:7] /= np.exp(pose[:, 3:4])
    unit = sliders.load_slider_shapes().brow[BROWS, 1].mean()
    brow = filled.expression(0, len(motion))[:, BROWS, 1].mean(1) / unit
    rows = np.concatenate([pose, brow[:, None]], 1)
    rows = gaussian_filter1d(rows, GAUSSIAN, axis=0, mode="nearest")
    time = np.linspace(-1, 1, len(rows))
    for column in rows.T:
        column -= np.polyval(np.polyfit(time, column, 1), time)
    return np.asarray(rows)


def main(grid: Path, motions: Path, out: Path) -> None:
    """Track the clips, cut the segments and save them."""
    motions.mkdir(parents=True, exist_ok=True)
    segments = []
    for path in sorted(grid.glob("grid_*.mp4")):
        motion_path = motions / (path.stem + SUFFIX)
        if not motion_path.is_file():
            encode(path, motion_path)
        store = MotionFile(motion_path)
        motion = store.window(0, len(store))
        if len(motion) == FRAMES and motion.valid.all():
            rows = head_segment(motion)
            if np.abs(rows[:, :3]).max() > MIN_ROTATION:
                segments.append(rows)
    table = {"pieces": np.stack(segments).astype(np.float16)}
    metadata = {
        "licence": "CC-BY-4.0",
        "attribution": ATTRIBUTION,
        "source": "tools/make_head_motion.py",
    }
    target = out / "heads.safetensors"
    save_file(table, target, metadata)
    target.chmod(0o644)
    deviations = np.round(np.stack(segments).std((0, 1)), 4)
    sys.stdout.write(
        f"{target.name}: {len(segments)} segments, {target.stat().st_size} bytes, "
        f"standard deviations {deviations}\n"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
