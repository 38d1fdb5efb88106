"""A folder of clips, as `thcli prepare` writes it (index.csv, clips/, motion files beside them), or any folder of videos."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import MediaError
from thcli.core.events import Listener, Warned, silent

INDEX = "index.csv"
# start: number of the first frame in the origin; seconds: its time there.  x, y, side: the square in the origin's pixels.  face: mean
# side of the face there.  sound: whether the clip has the origin's.
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
HOW = "Make clips with: thcli prepare VIDEOS -o DATASET"


@dataclass(frozen=True, slots=True)
class Piece:
    """One clip. motion: its motion file, None without one.  person: the number of the origin it was cut from."""

    path: Path
    motion: Path | None
    person: int


def pieces(folder: Path, on: Listener = silent) -> list[Piece]:
    """The clips of a dataset in a fixed order. Raises MediaError when there is none, or the index names files that are not there."""
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder of clips.", HOW)
    index = folder / INDEX
    if index.is_file():
        rows = [(folder / row["clip"], row["origin"]) for row in read_index(index)]
        lost = [path for path, _ in rows if not path.is_file()]
        if lost:
            raise MediaError(
                f"{index} names {lost[0].name}, which is not there ({len(lost)} of {len(rows)} are missing).",
                HOW,
            )
    else:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        rows = [(path, str(path)) for path in found]
        if rows:
            on(
                Warned(
                    f"{folder} was not made by `thcli prepare`: the middle square of each of its videos is taken as it is."
                )
            )
    if not rows:
        raise MediaError(f"{folder} holds no clips.", HOW)
    people = {
        origin: number for number, origin in enumerate(dict.fromkeys(origin for _, origin in rows))
    }
    return [Piece(path, motion_of(path), people[origin]) for path, origin in rows]


def motion_of(clip: Path) -> Path | None:
    """The motion file beside a clip."""
    beside = clip.with_name(clip.stem + MOTION)
    return beside if beside.is_file() else None


def read_index(path: Path) -> list[dict[str, str]]:
    """The rows of an index.csv. Raises MediaError when it is not one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise MediaError(f"{path} cannot be read: {exc}.", HOW) from exc
    missing = {"clip", "origin"} - set(reader.fieldnames or ())
    if missing or any(row["clip"] is None or row["origin"] is None for row in rows):
        raise MediaError(
            f"{path} is not an index of clips: it needs the columns clip and origin.", HOW
        )
    return rows


def fingerprint(found: Sequence[Piece]) -> str:
    """Changes when clips are added, removed or replaced: a resumed run must go on with the same data."""
    digest = hashlib.sha256()
    for piece in found:
        digest.update(
            f"{piece.path.name} {piece.path.stat().st_size} {piece.motion is not None}\n".encode()
        )
    return digest.hexdigest()[:16]
