"""Key pictures of a stream."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow

from thcli import media
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions
from thcli.core.types import Face, Image
from thcli.pipeline.observe.face_finder import FaceFinder


@dataclass(frozen=True, slots=True)
class PictureReader:
    """Reader of sent pictures; sender and receiver see the same.

    finder: finds their faces.
    folder: for a temporary file.
    read_options: limits of a picture.
    """

    finder: FaceFinder
    folder: Path
    read_options: ReadOptions

    def read(self, content: bytes) -> tuple[Image, Face | None]:
        """Return the picture in an image file, and its largest face or None.

        Raises:
            MediaError: it is damaged or too large.
        """
        path = self.folder / "sent-picture.webp"
        path.write_bytes(content)
        image = to_uint8(media.read_image(path, options=self.read_options))
        faces = self.finder.find(image)
        return image, max(faces, key=lambda face: face.area, default=None)


def encode_picture(image: Image, quality: int) -> bytes:
    """Return an image (H, W, 3) uint8 as a WebP file of a quality, 1..100."""
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "WEBP", quality=quality)
    return file.getvalue()
