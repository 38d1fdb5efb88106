"""Inputs of a comparison: true clips, folders of them, and manifests with results."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thcli.core.errors import MediaError, UsageError
from thcli.core.text_files import read_csv
from thcli.evaluate.datasets.talking_clips import ENDINGS

VIDEOS = tuple(ending for ending in ENDINGS if ending != ".wav")
RESERVED = ("copy", "align", "truth")  # labels of the baselines
MANIFEST = "Give a CSV with the columns clip, result, method; result may be empty."


@dataclass(frozen=True)
class TrueClip:
    """A true clip with the finished videos of methods.

    results: label -> video.
    """

    path: Path
    results: Mapping[str, Path] = field(default_factory=dict)


def read_inputs(inputs: Sequence[Path], results: Sequence[Path] = ()) -> list[TrueClip]:
    """List the clips of files, folders and manifests (.csv).

    Args:
        inputs: clips; folders of videos, or of the images of one clip; manifests.
        results: finished videos of one clip, or for each method a folder with equal names.

    Raises:
        MediaError: a file is missing or a manifest cannot be read.
        UsageError: results without their clip, or labels that are reserved or used twice.
    """
    clips: dict[Path, dict[str, Path]] = {}
    for given in inputs:
        for path, label, result in _expand(given):
            own = clips.setdefault(path, {})
            if result is not None:
                _add(own, label, result)
    for result in results:
        label = _label(result, results)
        if result.is_dir() and _videos(result):
            for path, own in clips.items():
                _add(own, label, video_of_clip(result, path))
        elif len(clips) == 1:
            _add(next(iter(clips.values())), label, result)
        elif not result.exists():
            raise MediaError(f"{result} does not exist.", "Check the path.")
        else:
            raise UsageError(
                f"{result} is one video, but there are {len(clips)} clips.",
                "Give --result a folder with a video of the name of each clip.",
            )
    found = [TrueClip(path, own) for path, own in clips.items()]
    methods = {tuple(sorted(clip.results)) for clip in found}
    if len(methods) > 1:
        raise UsageError("The clips have results of different methods.", "Give each method's.")
    return found


def name_clips(clips: Sequence[TrueClip]) -> dict[str, TrueClip]:
    """Return the clips by the name of their file, or by their path where names are equal."""
    names = [clip.path.name for clip in clips]
    return {
        clip.path.name if names.count(clip.path.name) == 1 else str(clip.path): clip
        for clip in clips
    }


def _expand(given: Path) -> Iterator[tuple[Path, str, Path | None]]:
    """Yield clip, label and result of each row of an input."""
    if given.suffix.lower() == ".csv":
        yield from _read_manifest(given)
    elif given.is_dir() and _videos(given):
        yield from ((path, "", None) for path in _videos(given))
    else:
        yield given, "", None


def _read_manifest(path: Path) -> Iterator[tuple[Path, str, Path | None]]:
    try:
        rows = list(read_csv(path))
    except (OSError, ValueError, csv.Error) as exc:
        raise MediaError(f"The manifest {path} cannot be read: {exc}.", MANIFEST) from exc
    if not rows or not all(row.get("clip") for row in rows):
        raise MediaError(f"The manifest {path} names no clips.", MANIFEST)
    for row in rows:
        result = row.get("result") or ""
        if row.get("method") and not result:
            raise MediaError(f"The manifest {path} names a method without a result.", MANIFEST)
        label = row.get("method") or Path(result).name
        yield path.parent / row["clip"], label, path.parent / result if result else None


def _videos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEOS)


def video_of_clip(folder: Path, clip: Path) -> Path:
    """Return the video in a folder that has a clip's name. Raises MediaError."""
    found = [path for path in _videos(folder) if path.stem == clip.stem]
    if not found:
        raise MediaError(f"{folder} holds no video named {clip.stem}.", "Name them as the clips.")
    return found[0]


def _label(result: Path, results: Sequence[Path]) -> str:
    """Return the name of a result, or its path where names are equal."""
    return result.name if [one.name for one in results].count(result.name) == 1 else str(result)


def _add(own: dict[str, Path], label: str, result: Path) -> None:
    if label in own or label in RESERVED:
        what = f"named {label!r}" if label in RESERVED else "given twice"
        raise UsageError(f"A result is {what}, so its row has no unique label.", "Rename it.")
    own[label] = result
