"""Where an output goes when nobody says, what it is like, and what makes a job the same job again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.media.info import Colour, MediaInfo

SAME = (
    ".mp4",
    ".mov",
    ".m4v",
    ".mkv",
    ".webm",
    ".gif",
)  # endings that an output takes over from its driver
PICTURES = Colour(
    matrix=1, range=1, primaries=1, transfer=13
)  # sRGB pictures as video: BT.709, limited range


def output_path(
    output: str | Path | None, stem: str, beside: str | Path, info: MediaInfo, command: str
) -> str | Path:
    """The output's place: as given, else `stem` beside the input. Raises UsageError when there is no such place (standard input)."""
    if output is not None:
        return output
    if str(beside) == "-":
        raise UsageError(
            f"{command} from standard input needs a place for its output.",
            "Add -o FILE (or -o - for a pipe).",
        )
    path = Path(beside)
    ending = (
        path.suffix.lower()
        if path.suffix.lower() in SAME
        else ".png"
        if info.kind == "image"
        else ".mp4"
    )
    return path.parent / f"{stem}{ending}"


def still_like(drive: MediaInfo) -> MediaInfo:
    """What a video looks like whose pixels come from a picture and whose time from `drive`."""
    return replace(
        drive, colour=PICTURES, bit_depth=8, pix_fmt="yuv420p", sar=Fraction(1), orientation=1
    )


def fingerprint(paths: Iterable[str | Path], *settings: object) -> str:
    """Changes when an input file or a setting does: a resumed job must be the same job."""
    parts = [repr(setting) for setting in settings]
    for path in map(Path, paths):
        facts = path.stat() if path.exists() else None
        parts.append(
            f"{path.resolve()} {facts.st_size if facts else 0} {facts.st_mtime_ns if facts else 0}"
        )
    return "\n".join(parts)
