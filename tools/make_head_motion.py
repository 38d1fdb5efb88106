"""Makes thcli/motion/data/heads.safetensors: how heads and brows of people move while they talk, in pieces of three seconds.

    python tools/make_head_motion.py GRID MOTIONS thcli/motion/data

GRID: a folder of `grid_*.mp4` (GRID audio-visual sentence corpus, CC BY 4.0).  MOTIONS: a folder for their motion files, made where they
are missing. The tracker's weights must be pulled.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter1d

from thcli.core.types import Array, Motion
from thcli.motion import sliders
from thcli.motion.file import SUFFIX, MotionBuffer, MotionFile
from thcli.motion.smooth import Filled, ZeroPhase
from thcli.motion.timeline import scan
from thcli.pipeline.stages.encode_warp import encode

FRAMES = 75  # of a GRID sentence, at 25 a second
CALM = 1.5  # of the tracker's smoothing, which lets quick events through
SLOW = 3.5  # frames, deviation of the smoothing after it: a jaw that opens looks a little like a head that nods
BROWS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
LEAST = 0.004  # radians by which a head must move in a piece
ATTRIBUTION = (
    "Derived from: GRID audio-visual sentence corpus, M. Cooke, J. Barker, S. Cunningham & X. Shao (2006), doi:10.5281/zenodo.3625687, "
    "CC BY 4.0; changed: heads were tracked, smoothed and their trends removed."
)


def piece(motion: Motion) -> Array:
    """(75, 8): rotation vector in radians, log scale, shift in IOD, brows raised (the slider's unit), less their straight lines in time."""
    store = MotionBuffer(motion)
    line = scan(store)
    filled = Filled(line, ZeroPhase(store, line, CALM))
    pose = filled.pose.copy()
    pose[:, 4:7] /= np.exp(pose[:, 3:4])
    unit = sliders.shapes().brow[BROWS, 1].mean()
    brow = filled.expression(0, len(motion))[:, BROWS, 1].mean(1) / unit
    rows = np.concatenate([pose, brow[:, None]], 1)
    rows = gaussian_filter1d(rows, SLOW, axis=0, mode="nearest")
    time = np.linspace(-1, 1, len(rows))
    for column in rows.T:
        column -= np.polyval(np.polyfit(time, column, 1), time)
    return np.asarray(rows)


def main(grid: Path, motions: Path, out: Path) -> None:
    motions.mkdir(parents=True, exist_ok=True)
    pieces = []
    for path in sorted(grid.glob("grid_*.mp4")):
        file = motions / (path.stem + SUFFIX)
        if not file.is_file():
            encode(path, file)
        store = MotionFile(file)
        motion = store.window(0, len(store))
        if len(motion) == FRAMES and motion.valid.all():
            rows = piece(motion)
            if np.abs(rows[:, :3]).max() > LEAST:
                pieces.append(rows)
    table = {"pieces": np.stack(pieces).astype(np.float16)}
    metadata = {
        "licence": "CC-BY-4.0",
        "attribution": ATTRIBUTION,
        "source": "tools/make_head_motion.py",
    }
    target = out / "heads.safetensors"
    save_file(table, target, metadata)
    target.chmod(0o644)
    rows = np.stack(pieces)
    sys.stdout.write(
        f"{target.name}: {len(pieces)} pieces, {target.stat().st_size} bytes, deviations {np.round(rows.std((0, 1)), 4)}\n"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
