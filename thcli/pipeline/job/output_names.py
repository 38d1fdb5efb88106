"""Default output paths, the video format of rendered images, and job fingerprints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.media.info import Colour, MediaInfo

# An output beside an input of one of these types is of the same type.
KEPT_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif")
# Video colour of sRGB images: BT.709, limited range.
SRGB_VIDEO = Colour(matrix=1, range=1, primaries=1, transfer=13)


def output_path(
    output: str | Path | None, stem: str, beside: str | Path, info: MediaInfo, command: str
) -> str | Path:
    """Return the output path: the given one, else one beside an input.

    Args:
        output: as given by the user, None for the default.
        stem: name of the default output without its suffix.
        beside: input whose folder and suffix the default has.
        info: the probed input.
        command: name of the command, for messages.

    Raises:
        UsageError: no output is given and the input is standard input.
    """
    if output is not None:
        return output
    if str(beside) == "-":
        raise UsageError(
            f"{command} from standard input has no default output.",
            "Add -o FILE (or -o - for a pipe).",
        )
    path = Path(beside)
    suffix = path.suffix.lower()
    if suffix not in KEPT_SUFFIXES:
        suffix = ".png" if info.kind == "image" else ".mp4"
    return path.parent / f"{stem}{suffix}"


def srgb_video_info(driver: MediaInfo) -> MediaInfo:
    """Return the format of a video with the time stamps of `driver` and pixels from an image."""
    return replace(
        driver, colour=SRGB_VIDEO, bit_depth=8, pix_fmt="yuv420p", sar=Fraction(1), orientation=1
    )


def fingerprint(paths: Iterable[str | Path], *settings: object) -> str:
    """Return a text that changes when an input file or a setting changes.

    A job is resumed only when its fingerprint is the same.
    """
    parts = [repr(setting) for setting in settings]
    for path in map(Path, paths):
        stat = path.stat() if path.exists() else None
        size, modified = (stat.st_size, stat.st_mtime_ns) if stat else (0, 0)
        parts.append(f"{path.resolve()} {size} {modified}")
    return "\n".join(parts)
