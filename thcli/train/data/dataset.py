"""A dataset folder of clips: index.csv, clips/ and their motion files, or any folder of videos.

`thcli prepare` writes the first kind.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import MediaError
from thcli.core.events import Listener, Warned, silent
from thcli.core.text_files import read_csv

INDEX = "index.csv"
# start: index of the first frame in the origin. seconds: its time there. x, y, side: centre and
# side of the square in the origin's pixels. face: mean side of the face there. sound: 1 when the
# clip has the origin's sound.
COLUMNS = (
    "clip",
    "origin",
    "start",
    "seconds",
    "frames",
    "fps",
    "track",
    "x",
    "y",
    "side",
    "face",
    "sound",
)
SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".flv")
MOTION = ".motion.safetensors"
HINT = "Make clips with: thcli prepare VIDEOS -o DATASET"


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """One clip of a dataset.

    path: video file. motion: its motion file, None without one. person: number of the origin video.
    """

    path: Path
    motion: Path | None
    person: int


def list_clips(folder: Path, on: Listener = silent) -> list[ClipEntry]:
    """Return the clips of a dataset in a fixed order.

    Raises:
        MediaError: There is no clip, or the index names files that do not exist.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder of clips.", HINT)
    index = folder / INDEX
    if index.is_file():
        rows = [(folder / row["clip"], row["origin"]) for row in read_index(index)]
        lost = [path for path, _ in rows if not path.is_file()]
        if lost:
            raise MediaError(
                f"{index} names {lost[0].name}, which does not exist "
                f"({len(lost)} of {len(rows)} clips are missing).",
                HINT,
            )
    else:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        rows = [(path, str(path)) for path in found]
        if rows:
            on(
                Warned(
                    f"{folder} was not made by `thcli prepare`: the centre square of each video "
                    "is used without face tracking."
                )
            )
    if not rows:
        raise MediaError(f"{folder} holds no clips.", HINT)
    origins = dict.fromkeys(origin for _, origin in rows)
    numbers = {origin: number for number, origin in enumerate(origins)}
    return [ClipEntry(path, find_motion_file(path), numbers[origin]) for path, origin in rows]


def find_motion_file(clip: Path) -> Path | None:
    """Return the motion file beside a clip, None without one."""
    beside = clip.with_name(clip.stem + MOTION)
    return beside if beside.is_file() else None


def read_index(path: Path) -> list[dict[str, str]]:
    """Return the rows of an index.csv.

    Raises:
        MediaError: The file cannot be read or lacks the columns.
    """
    try:
        reader = read_csv(path)
        rows = list(reader)
    except (OSError, ValueError, csv.Error) as exc:
        raise MediaError(f"{path} cannot be read: {exc}.", HINT) from exc
    missing = {"clip", "origin"} - set(reader.fieldnames or ())
    if missing or any(row["clip"] is None or row["origin"] is None for row in rows):
        raise MediaError(
            f"{path} is not an index of clips: it needs the columns clip and origin.", HINT
        )
    return rows


def compute_fingerprint(clips: Sequence[ClipEntry]) -> str:
    """Hash the clips' names, sizes and motion files; a resumed run must have the same data."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(
            f"{clip.path.name} {clip.path.stat().st_size} {clip.motion is not None}\n".encode()
        )
    return digest.hexdigest()[:16]
