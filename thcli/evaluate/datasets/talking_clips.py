"""Folders of talking clips: files, speakers and the motion of their faces."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from thcli.core.errors import MediaError, UsageError
from thcli.core.text_files import read_csv
from thcli.media.failures import to_output_error
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.stages.encode_warp import encode

ENDINGS = (".mp4", ".mpg", ".mov", ".mkv", ".webm", ".avi", ".wav")
HINT = "Give a folder of talking clips with sound; index.csv (file, speaker) names the speakers."


def find_clips(folder: Path) -> list[tuple[Path, str]]:
    """List the clips of a folder with their speakers.

    index.csv (file or clip; speaker or origin) names the speakers; without it each clip has its
    own.
    """
    index = folder / "index.csv"
    if index.is_file():
        try:
            table = list(read_csv(index))
        except (OSError, ValueError, csv.Error) as exc:
            raise MediaError(f"{index} cannot be read: {exc}.", HINT) from exc
        found = [
            (
                folder / (row.get("file") or row.get("clip") or ""),
                row.get("speaker") or row.get("origin") or "",
            )
            for row in table
        ]
        lost = [path for path, _ in found if not path.is_file()]
        if lost:
            missing = f"{len(lost)} of {len(found)} are missing"
            raise MediaError(
                f"{index} names {lost[0].name or 'no file'}, which does not exist ({missing}).",
                HINT,
            )
    else:
        found = [
            (path, path.stem)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in ENDINGS
        ]
    if not found:
        raise MediaError(f"{folder} holds no clips.", HINT)
    return found


def clips_of_speakers(folder: Path, speakers: Sequence[str]) -> list[tuple[Path, str]]:
    """List the clips of some speakers, or of all where none is named.

    Raises:
        MediaError: the folder holds no clips.
        UsageError: none of the speakers is in it.
    """
    found = [pair for pair in find_clips(folder) if not speakers or pair[1] in speakers]
    if not found:
        raise UsageError(f"None of the speakers is in {folder}.", "Check --speakers.")
    return found


def select_clips(
    found: Iterable[tuple[Path, str]], only: str, without: Iterable[str]
) -> list[tuple[Path, str]]:
    """Return the clips of the chosen speakers. Raises MediaError when none is left.

    Args:
        found: clips with their speakers.
        only: prefix of the speaker's name.
        without: speakers to leave out.
    """
    left = [(path, who) for path, who in found if who.startswith(only) and who not in set(without)]
    if not left:
        raise MediaError("No clip is left.", "Check the chosen speakers.")
    return left


def subsample_clips(clips: Sequence[tuple[Path, str]], limit: int) -> list[tuple[Path, str]]:
    """Return at most `limit` clips of each speaker, evenly spaced, in the given order."""
    by_speaker: dict[str, list[Path]] = {}
    for path, speaker in clips:
        by_speaker.setdefault(speaker, []).append(path)
    selected: set[Path] = set()
    for paths in by_speaker.values():
        indices = np.linspace(0, len(paths) - 1, min(limit, len(paths))).astype(int)
        selected |= {paths[i] for i in indices}
    return [(path, speaker) for path, speaker in clips if path in selected]


class SpeakerClip(Protocol):
    """Measurement of a clip."""

    @property
    def speaker(self) -> str:
        """Name of the speaker."""


Measured = TypeVar("Measured", bound=SpeakerClip)


def by_speaker(clips: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Return the measurements of "all" clips, then those of each speaker."""
    speakers = sorted({clip.speaker for clip in clips})
    return {"all": list(clips)} | {
        speaker: [clip for clip in clips if clip.speaker == speaker] for speaker in speakers
    }


def load_motion(clip: Path, motions: Path | None) -> MotionFile:
    """Return the motion of a clip's face from its motion file, which is created when it is missing.

    Args:
        clip: video.
        motions: folder of the motion files, None for the clip's own.

    Raises:
        OutputError: when the folder cannot be written; also raises as `encode`.
    """
    path = (motions or clip.parent) / f"{clip.stem}{SUFFIX}"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise to_output_error(path.parent, exc) from exc
        encode(clip, path)
    return MotionFile(path)


def clips_fingerprint(found: Sequence[tuple[Path, str]]) -> str:
    """Return a hash that changes with the clips and their speakers."""
    digest = hashlib.sha256()
    for path, who in found:
        digest.update(f"{path.name} {path.stat().st_size} {who}\n".encode())
    return digest.hexdigest()[:16]
