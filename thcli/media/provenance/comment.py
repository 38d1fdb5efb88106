"""Reading of the comment that the writer stores in every kind of file."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import unescape

from thcli.media.info import MediaInfo
from thcli.media.reading.image import list_images
from thcli.media.reading.open_image import open_image
from thcli.media.reading.pixel_limit import PixelLimit

_DESCRIPTION = 0x010E  # EXIF ImageDescription
_XMP = re.compile(r"<dc:description>(.*?)</dc:description>", re.DOTALL)
_PILLOW = ("png", "jpeg", "gif", "webp", "bmp", "tiff", "avif")


def read_comment(info: MediaInfo, limit: PixelLimit) -> str:
    """Return the comment of a file, of a folder that of its first image; '' where there is none.

    Args:
        info: result of `probe`.
        limit: most pixels of an image.

    Raises:
        MediaError: the image cannot be read.
    """
    if info.kind == "directory":
        return _image_comment(list_images(info.path)[0], limit)
    if info.container in _PILLOW:
        return _image_comment(info.path, limit)
    lower = {key.lower(): value for key, value in info.metadata.items()}
    return lower.get("comment", "")


def _image_comment(path: Path, limit: PixelLimit) -> str:
    """Return PNG text, EXIF description, GIF comment or XMP description."""
    with open_image(path, limit) as image:
        texts = [image.info.get(key) for key in ("Comment", "comment")]
        texts.append(image.getexif().get(_DESCRIPTION))
        xmp = image.info.get("xmp")
    for text in texts:
        if text:
            return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    found = _XMP.search(xmp.decode("utf-8", "replace")) if isinstance(xmp, bytes) else None
    return unescape(found[1]) if found else ""
