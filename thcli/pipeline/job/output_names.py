"""Output paths and their checks, and the video format of rendered images."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions
from thcli.media.atomic_file import AtomicFile
from thcli.media.info import Colour, MediaInfo
from thcli.media.writing.target import OutputTarget

# An output beside an input of one of these types is of the same type.
KEPT_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif")
# Video colour of sRGB images: BT.709, limited range.
SRGB_VIDEO = Colour(matrix=1, range=1, primaries=1, transfer=13)


def output_path(
    output: str | Path | None,
    stem: str,
    beside: str | Path,
    info: MediaInfo,
    command: str,
    frames: int = 0,
) -> str | Path:
    """Return the output path: the given one, else one beside an input.

    Args:
        output: as given by the user, None for the default.
        stem: name of the default output without its suffix.
        beside: input whose folder and suffix the default has.
        info: the probed input.
        command: name of the command, for messages.
        frames: least number of frames that the output gets, 0 when it is unknown.

    Raises:
        UsageError: no output is given and the input is standard input, or the output is one image
            for several frames.
    """
    if output is not None:
        if frames > 1:
            OutputTarget(output, overwrite=True).require_frames()
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


def check_outputs(
    target: str | Path,
    output: OutputOptions,
    *,
    compare: Path | None = None,
    file: Path | None = None,
) -> None:
    """Check all outputs of a job before any work.

    Args:
        target: the result.
        output: whether existing files are replaced.
        compare: video of --compare.
        file: other file that the job writes, such as --save-motion.

    Raises:
        OutputError: an output exists or cannot be written.
        UsageError: an output of an unknown format, two outputs with one name, or a comparison with
            a result that is piped.
    """
    if compare is not None and str(target) == "-":
        raise UsageError("--compare reads the result, so it needs a file.", "Give -o FILE.")
    paths = [Path(path).resolve() for path in (target, compare, file) if path is not None]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"{path} is the name of two outputs.", "Give each its own.")
    OutputTarget(target, output.overwrite).check(0)
    if compare is not None:
        OutputTarget(compare, output.overwrite).check(0)
    if file is not None:
        AtomicFile(file, output.overwrite)


def srgb_video_info(driver: MediaInfo) -> MediaInfo:
    """Return the format of a video with the time stamps of `driver` and pixels from an image."""
    return replace(
        driver, colour=SRGB_VIDEO, bit_depth=8, pix_fmt="yuv420p", sar=Fraction(1), orientation=1
    )
