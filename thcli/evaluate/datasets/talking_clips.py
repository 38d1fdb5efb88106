"""Folders of talking clips: which files, who speaks in them, and how their faces move."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from thcli.core.errors import MediaError
from thcli.motion.file import SUFFIX, MotionFile
from thcli.pipeline.stages.encode_warp import encode

ENDINGS = (".mp4", ".mpg", ".mov", ".mkv", ".webm", ".avi", ".wav")
HOW = "Give a folder of talking clips with sound; an index.csv (file, speaker) says who is who."


def find(folder: Path) -> list[tuple[Path, str]]:
    """The clips of a folder and who speaks in them: as index.csv says (file or clip; speaker or origin), else each is somebody else."""
    index = folder / "index.csv"
    if index.is_file():
        try:
            with index.open(encoding="utf-8", newline="") as file:
                table = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as exc:
            raise MediaError(f"{index} cannot be read: {exc}.", HOW) from exc
        found = [
            (
                folder / (row.get("file") or row.get("clip") or ""),
                row.get("speaker") or row.get("origin") or "",
            )
            for row in table
        ]
        lost = [path for path, _ in found if not path.is_file()]
        if lost:
            raise MediaError(
                f"{index} names {lost[0].name or 'no file'}, which is not there ({len(lost)} of {len(found)} are missing).",
                HOW,
            )
    else:
        found = [
            (path, path.stem)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in ENDINGS
        ]
    if not found:
        raise MediaError(f"{folder} holds no clips.", HOW)
    return found


def chosen(
    found: Iterable[tuple[Path, str]], only: str, without: Iterable[str]
) -> list[tuple[Path, str]]:
    """Those whose speaker's name begins with `only` and is not among `without`. Raises MediaError when nothing is left."""
    left = [(path, who) for path, who in found if who.startswith(only) and who not in set(without)]
    if not left:
        raise MediaError("None of the clips is left.", "Check the speakers that were chosen.")
    return left


def motion_of(clip: Path, motions: Path | None) -> MotionFile:
    """How the face of a clip moves, from its motion file; made first where it is missing. motions: the folder of these files (None: beside the clip).

    Raises what `encode` raises, and OutputError when the folder cannot be written.
    """
    path = (motions or clip.parent) / f"{clip.stem}{SUFFIX}"
    if not path.is_file():
        encode(clip, path)
    return MotionFile(path)


def fingerprint(found: Sequence[tuple[Path, str]]) -> str:
    """Changes with the clips and their speakers."""
    digest = hashlib.sha256()
    for path, who in found:
        digest.update(f"{path.name} {path.stat().st_size} {who}\n".encode())
    return digest.hexdigest()[:16]
