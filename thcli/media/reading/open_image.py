"""Opening of image files with Pillow: known formats alone, sizes checked before decoding."""

from __future__ import annotations

import re
import struct
import threading
import warnings
import zlib
from contextlib import ExitStack
from pathlib import Path

from PIL import Image as Pillow

from thcli.media.failures import to_media_error
from thcli.media.reading.pixel_limit import PixelLimit, too_large_error

# no PostScript or PDF, which other programs would render, and no scientific containers
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "PPM", "JPEG2000")
ANIMATED = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")  # the second image of a JPEG is no frame
# raised by Pillow for damaged files
FAILURES = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
    Pillow.DecompressionBombError,
)
_opening = threading.Lock()


def open_image(path: Path, limit: PixelLimit) -> Pillow.Image:
    """Open an image file; its pixels are not decoded yet.

    Raises:
        MediaError: the file cannot be read, has another format than FORMATS, or is too large.
    """
    with ExitStack() as stack:
        try:
            image = stack.enter_context(_open(path, limit))
            width, height = image.size
            if is_animation(image):
                limit.check_frame(path, width, height)
                limit.check_animation(path, width, height, count_frames(image))
            else:
                limit.check_still(path, width, height)
        except FAILURES as exc:
            raise to_media_error(path, exc) from exc
        stack.pop_all()
    return image


def _open(path: Path, limit: PixelLimit) -> Pillow.Image:
    """Open an image with our limit in the place of Pillow's, which is a global of its module."""
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes and damaged tags; what matters raises
        usual = Pillow.MAX_IMAGE_PIXELS
        Pillow.MAX_IMAGE_PIXELS = -(-limit.still // 2)  # Pillow refuses twice as many
        try:
            return Pillow.open(path, formats=FORMATS)
        except Pillow.DecompressionBombError as exc:
            found = re.search(r"\((\d+) pixels\)", str(exc))
            pixels = int(found[1]) if found else None
            raise too_large_error(path, f"{pixels or 'too many'}", limit.still, pixels) from exc
        finally:
            Pillow.MAX_IMAGE_PIXELS = usual


def is_animation(image: Pillow.Image) -> bool:
    """Return whether an open image has several frames."""
    return image.format in ANIMATED and bool(getattr(image, "is_animated", False))


def count_frames(image: Pillow.Image) -> int:
    """Return the number of frames of an open image."""
    return int(getattr(image, "n_frames", 1)) if is_animation(image) else 1


def seek_frame(image: Pillow.Image, index: int, path: Path, limit: PixelLimit) -> int:
    """Decode a frame of an open animation; return its duration in ms, 100 for 0 as in browsers.

    Raises:
        MediaError: the frame is damaged or too large.
    """
    try:
        image.seek(index)
        limit.check_frame(path, *image.size)  # a frame may enlarge the canvas
        image.load()  # Pillow sets the duration of a WebP frame only then
        return int(image.info.get("duration", 0)) or 100
    except FAILURES as exc:
        raise to_media_error(path, exc) from exc
