"""Last changes of an output: size and depth for sharing, marks, signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from thcli.core.errors import UsageError
from thcli.core.events import Listener, Warned
from thcli.core.imaging import to_uint8
from thcli.core.options import OutputOptions
from thcli.media.info import MediaInfo
from thcli.media.provenance.marks import Marks, check_signable
from thcli.media.writing.provenance import Provenance, read_note
from thcli.media.writing.sinks import Pixels
from thcli.media.writing.target import OutputTarget

SHARE_LONG, SHARE_SHORT = 1920, 1080  # pixels, most of the sides
_SHARE_CRF = 21.0
_SHARE_MUXERS = ("mp4", "mov")


@dataclass(frozen=True, slots=True)
class Finishing:
    """Changes of every frame before it is encoded, and of the complete file.

    size: (width, height) of the output in pixels.
    shallow: reduce frames to 8 bits.
    marks: label, watermark and signature; None for outputs that nobody generated.
    """

    size: tuple[int, int]
    shallow: bool = False
    marks: Marks | None = None

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return a frame as it is encoded. pixels: (H, W, 3) RGB, uint8 or uint16."""
        if self.shallow:
            pixels = to_uint8(pixels)
        if pixels.shape[1::-1] != self.size:
            pixels = np.asarray(cv2.resize(pixels, self.size, interpolation=cv2.INTER_AREA))
        return pixels if self.marks is None else self.marks(pixels)

    def sign(self, file: Path, suffix: str) -> None:
        """Sign the complete file where that was asked for. Raises as `Marks.sign`."""
        if self.marks is not None:
            self.marks.sign(file, suffix)


def plan_finishing(
    output: OutputTarget,
    options: OutputOptions,
    metadata: Mapping[str, str],
    provenance: Provenance | None,
    size: tuple[int, int],
) -> Finishing:
    """Prepare the last changes of an output.

    Args:
        output: the target.
        options: of the output.
        metadata: of the output, with the note of `provenance`.
        provenance: origin, None for an output without marks.
        size: (width, height) of the output in pixels.

    Raises:
        UsageError: the output cannot be signed.
    """
    marks = None
    if provenance is not None:
        check_signable(output.name, output.suffix, provenance.options)
        marks = Marks(provenance.options, size, read_note(metadata["comment"]))
    return Finishing(size, options.share, marks)


def output_size(size: tuple[int, int], options: OutputOptions) -> tuple[int, int]:
    """Return the size of the output: that of the frames, or less for --share and `longest`.

    Args:
        size: (width, height) of the frames in pixels.
        options: of the output.

    Returns:
        (width, height), even where it is scaled or shared.
    """
    limits = []
    if options.share:
        limits += [SHARE_LONG / max(size), SHARE_SHORT / min(size)]
    if options.longest is not None:
        limits.append(options.longest / max(size))
    scale = min([1.0, *limits])
    if not limits or (scale == 1 and size[0] % 2 == size[1] % 2 == 0):
        return size
    width, height = (max(2, 2 * round(side * scale / 2)) for side in size)
    return width, height


def plan_sharing(
    output: OutputTarget, options: OutputOptions, like: MediaInfo | None, on: Listener
) -> tuple[OutputOptions, MediaInfo | None]:
    """Return the options and the format of an output with --share; without it those given.

    Args:
        output: the target.
        options: of the output.
        like: format of the frames.
        on: receives a warning of HDR, which 8 bits do not hold.

    Raises:
        UsageError: the target is neither mp4 nor mov.
    """
    if not options.share:
        return options, like
    if output.muxer not in _SHARE_MUXERS:
        raise UsageError(f"--share writes mp4, not {output.name}.", "Give -o NAME.mp4.")
    crf = _SHARE_CRF if options.crf is None else options.crf
    if like is not None:
        if like.colour.is_hdr:
            on(Warned("HDR needs 10 bits, and --share writes 8: add --hdr tonemap."))
        # browsers show limited range alone; pixels are full range here, whatever the input was
        limited = replace(like.colour, range=0 if like.colour.matrix == 0 else 1)
        like = replace(like, bit_depth=8, colour=limited)
    return replace(options, codec="h264", crf=crf), like


def warn_of_squeezed_pixels(muxer: str, encoder: str, like: MediaInfo, on: Listener) -> None:
    """Warn of anamorphic frames in a file that does not say how wide its pixels are.

    The muxers of Matroska, WebM and animations are not told; H.264, H.265 and MPEG-4 say it
    themselves.

    Args:
        muxer, encoder: FFmpeg's names.
        like: format of the frames.
        on: receives the warning.
    """
    told = any(codec in encoder for codec in ("264", "265", "hevc", "mpeg"))
    if like.sar == 1 or told or muxer in ("mp4", "mov"):
        return
    shape = f"{like.sar.numerator}:{like.sar.denominator}"
    kept = f"The input's pixels are {shape}, which this file cannot say"
    on(Warned(f"{kept}: players show it squeezed. Write mp4 to keep the shape."))
