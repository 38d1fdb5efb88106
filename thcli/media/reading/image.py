"""Images, animations and folders of images, read with Pillow: upright, sRGB, alpha composited."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageColor, ImageOps

from thcli.core.errors import MediaError, UsageError
from thcli.core.imaging import to_uint8
from thcli.core.types import Frame, Image
from thcli.media.failures import check_file, to_media_error
from thcli.media.info import Colour, MediaInfo
from thcli.media.reading.open_image import (
    FAILURES,
    count_frames,
    open_image,
    seek_frame,
)
from thcli.media.reading.pixel_limit import PixelLimit

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".webp",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".avif",
        ".gif",
        ".ppm",
        ".pgm",
        ".pnm",
        ".apng",
        ".jp2",
    ]
)
MAX_PIXELS = 7680 * 4320  # a larger image is read at 1/2, 1/4 … of its size
SRGB = Colour(0, 2, 1, 13)
PROBED = 16  # image files whose properties are remembered
FOLDER_RATE = Fraction(25)  # frames per second of a folder of images, which has no time stamps
_MILLISECOND = Fraction(1, 1000)
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def is_image(path: Path) -> bool:
    """Return True for an image file, by its ending or else by its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def parse_background(background: str) -> tuple[int, int, int]:
    """Parse a colour such as 'white' or '#00ff00'.

    Returns:
        (red, green, blue), 0..255.

    Raises:
        UsageError: not a colour.
    """
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError as exc:
        raise UsageError(
            f"{background!r} is not a colour.", "Give a name such as 'white', or '#00ff00'."
        ) from exc


def load_image(path: Path, background: str, limit: PixelLimit) -> Image:
    """Read an image file as (H, W, 3) uint8 sRGB, upright by its EXIF orientation.

    An image with more than MAX_PIXELS is halved until it has no more.

    Args:
        path: the image file.
        background: colour under transparent pixels.
        limit: most pixels.

    Raises:
        MediaError: the image cannot be read or is too large.
    """
    colour = parse_background(background)
    with open_image(path, limit) as image:
        return _rgb(image, colour, path)


def probe_image(path: Path, limit: PixelLimit) -> MediaInfo:
    """Read the properties of an image file. An animation (GIF, WebP, APNG) counts as a video.

    A file that has not changed since is not decoded again: a job asks several times.
    """
    try:
        state = path.stat()
    except OSError as exc:
        raise to_media_error(path, exc) from exc
    stamp = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return _probe_once(path, limit, stamp)


@lru_cache(maxsize=PROBED)
def _probe_once(path: Path, limit: PixelLimit, stamp: tuple[int, ...]) -> MediaInfo:
    """Read the properties of a file whose device, inode, size and time of change are `stamp`."""
    with open_image(path, limit) as image:
        try:
            frames = count_frames(image)
            orientation = image.getexif().get(0x0112, 1) if frames == 1 else 1
            if image.width * image.height <= MAX_PIXELS:
                image.load()  # a truncated file fails here, not in the middle of the job
        except FAILURES as exc:
            raise to_media_error(path, exc) from exc
        orientation = orientation if orientation in range(1, 9) else 1
        width, height = _reduced_size(image)
        is_deep = image.mode.startswith("I;16") or (
            image.format == "PNG" and _png_depth(path) == 16
        )
        still = MediaInfo(
            path,
            "image",
            container=str(image.format).lower(),
            size=(height, width) if orientation >= 5 else (width, height),
            orientation=orientation,
            codec=str(image.format).lower(),
            pix_fmt=image.mode,
            bit_depth=16 if is_deep else 8,
            colour=SRGB,
            time_base=Fraction(1, 25),
            frames=1,
            frames_exact=True,
            metadata={
                k: v for k, v in image.info.items() if isinstance(k, str) and isinstance(v, str)
            },
        )
    if frames == 1:
        return still
    with open_image(path, limit) as image:
        milliseconds = sum(seek_frame(image, index, path, limit) for index in range(frames))
    return replace(
        still,
        kind="video",
        orientation=1,
        time_base=_MILLISECOND,
        rate=Fraction(frames * 1000, milliseconds),
        frames=frames,
        duration=Fraction(milliseconds, 1000),
    )


def list_images(folder: Path) -> list[Path]:
    """List the images in a folder in natural order (2 before 10).

    Raises:
        MediaError: the folder has no images or cannot be read.
    """
    try:
        found = [
            item
            for item in folder.iterdir()
            if item.suffix.lower() in SUFFIXES
            and not item.name.startswith(".")
            and not item.is_dir()
        ]
    except OSError as exc:
        raise MediaError(
            f"{folder} cannot be read ({exc.strerror or exc}).", "Check its permissions."
        ) from exc
    if not found:
        raise MediaError(
            f"{folder} is a folder without images.",
            "Give a folder of png or jpg files, or a video.",
        )
    return sorted(
        found,
        key=lambda item: [
            (int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", item.name.lower())
        ],
    )


def probe_folder(folder: Path, limit: PixelLimit) -> MediaInfo:
    """Read the properties of a folder of images.

    It counts as a video of FOLDER_RATE frames per second and the first image's size.
    """
    images = list_images(folder)
    check_file(images[0])
    first = probe_image(images[0], limit)
    return MediaInfo(
        folder,
        "directory",
        container="folder",
        size=first.size,
        codec=first.codec,
        pix_fmt=first.pix_fmt,
        bit_depth=first.bit_depth,
        colour=SRGB,
        time_base=1 / FOLDER_RATE,
        rate=FOLDER_RATE,
        frames=len(images),
        frames_exact=True,
        duration=len(images) / FOLDER_RATE,
    )


def read_folder(
    folder: Path, info: MediaInfo, background: tuple[int, int, int], limit: PixelLimit
) -> Iterator[Frame]:
    """Yield one frame per image, scaled to the size of the first image."""
    for index, path in enumerate(list_images(folder)):
        check_file(path)
        pixels = _fit(_pixels(path, info, background, limit), info.size)
        yield Frame(pixels, index, info.time_base, index, 1)


def read_image_frames(
    path: Path, info: MediaInfo, background: tuple[int, int, int], limit: PixelLimit
) -> Iterator[Frame]:
    """Yield the frames of an image file: one, or those of an animation."""
    if info.kind == "image":
        yield Frame(_pixels(path, info, background, limit), 0, info.time_base, 0, 1)
        return
    pts = 0
    with open_image(path, limit) as image:
        for index in range(count_frames(image)):
            duration = seek_frame(image, index, path, limit)
            pixels = _fit(_rgb(image.copy(), background, path), info.size)
            yield Frame(pixels, pts, _MILLISECOND, index, duration)
            pts += duration


def _fit(pixels: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Scale pixels to (width, height) where they have another size."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _pixels(
    path: Path, info: MediaInfo, background: tuple[int, int, int], limit: PixelLimit
) -> np.ndarray[Any, Any]:
    """Read a still image as (H, W, 3) RGB, uint8 or uint16 by `info.bit_depth`."""
    with open_image(path, limit) as image:
        if info.bit_depth != 16:
            return _rgb(image, background, path)
        deep = _deep_png(path) if image.format == "PNG" else None
        if deep is not None:
            return deep
        return _rgb(image, background, path).astype(np.uint16) * np.uint16(257)


def _reduced_size(image: Pillow.Image) -> tuple[int, int]:
    """Return (width, height), halved until it has no more than MAX_PIXELS."""
    width, height = image.size
    while width * height > MAX_PIXELS:
        width, height = (width + 1) // 2, (height + 1) // 2
    return width, height


def _rgb(image: Pillow.Image, background: tuple[int, int, int], path: Path) -> Image:
    try:
        size = _reduced_size(image)
        if size != image.size:
            image.draft("RGB", size)  # JPEG: most of the reduction for free
            image.load()
            if image.size != size:
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
                image = image.resize(size, Pillow.Resampling.BOX)
        profile = image.info.get("icc_profile")
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            image = Pillow.fromarray(to_uint8(np.asarray(image, np.uint16)))
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Pillow.alpha_composite(
                Pillow.new("RGBA", layer.size, (*background, 255)), layer
            ).convert("RGB")
        elif image.mode != "RGB" and not (image.mode == "CMYK" and profile):
            image = image.convert("RGB")
        return np.asarray(_to_srgb(image, profile), np.uint8)
    except FAILURES as exc:
        raise to_media_error(path, exc) from exc


def _to_srgb(image: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    """Convert from an embedded ICC profile to sRGB.

    Phones store images as Display P3; without the conversion faces appear pale.
    """
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                changed = ImageCms.profileToProfile(
                    image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                image = changed or image
        except (ImageCms.PyCMSError, OSError):
            pass  # an invalid or unsuitable profile (grey, Lab): the pixels are used unconverted
    return image.convert("RGB")


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[-1]


def _deep_png(path: Path) -> np.ndarray[Any, Any] | None:
    """Read a 16-bit PNG without alpha as uint16 RGB, which Pillow cannot; None for other files."""
    if _png_depth(path) != 16:
        return None
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return None
    return np.ascontiguousarray(pixels[..., ::-1])
