"""Still and animated images, and folders of them, through Pillow: upright, in sRGB, alpha composited."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageColor, ImageOps

from thcli.core.errors import MediaError, UsageError
from thcli.core.imaging import to_uint8
from thcli.core.types import Frame, Image
from thcli.media.failures import check_file, unreadable
from thcli.media.info import Colour, MediaInfo

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
MOST_PIXELS = 7680 * 4320  # an image with more is read at half its size, or a quarter …
SRGB = Colour(0, 2, 1, 13)
FOLDER_RATE = Fraction(25)  # frames per second of a folder of images, which has no time stamps
_MILLISECOND = Fraction(1, 1000)
_FAILURES = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    Pillow.DecompressionBombError,
)  # what Pillow raises on bad files


_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def is_image(path: Path) -> bool:
    """Whether a file is for Pillow: by its ending, or by its first bytes whatever it is called."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def parse_background(background: str) -> tuple[int, int, int]:
    """A colour such as 'white' or '#00ff00' as (red, green, blue). Raises UsageError for anything else."""
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError as exc:
        raise UsageError(
            f"{background!r} is not a colour.", "Write a name such as 'white', or '#00ff00'."
        ) from exc


def load_image(path: Path, background: str) -> Image:
    """The picture of an image file as (H, W, 3) RGB uint8: upright by its EXIF, in sRGB, alpha composited over `background`.

    Above MOST_PIXELS it is halved until it fits. Raises MediaError when there is no such picture.
    """
    colour = parse_background(background)
    with _open(path) as picture:
        return _rgb(picture, colour, path)


def image_info(path: Path) -> MediaInfo:
    """What an image file holds; several pictures in it (GIF, WebP, APNG) make it a video."""
    with _open(path) as picture:
        several = bool(getattr(picture, "is_animated", False))
        try:
            turned = 1 if several else int(picture.getexif().get(0x0112, 1))
            if picture.width * picture.height <= MOST_PIXELS:
                picture.load()  # a file that is cut off is found now, not in the middle of the work
        except _FAILURES as exc:
            raise unreadable(path, exc) from exc
        turned = turned if turned in range(1, 9) else 1
        frames = int(getattr(picture, "n_frames", 1)) if several else 1
        width, height = _reduced(picture)
        size = (height, width) if turned >= 5 else (width, height)
        words = {k: v for k, v in picture.info.items() if isinstance(k, str) and isinstance(v, str)}
        deep = bool(
            picture.mode.startswith("I;16") or (picture.format == "PNG" and _png_depth(path) == 16)
        )
        common = dict(
            container=str(picture.format).lower(),
            size=size,
            codec=str(picture.format).lower(),
            pix_fmt=picture.mode,
            bit_depth=16 if deep else 8,
            colour=SRGB,
            metadata=words,
        )
    if frames == 1:
        return MediaInfo(
            path,
            "image",
            orientation=turned,
            time_base=Fraction(1, 25),
            frames=1,
            frames_exact=True,
            **common,  # type: ignore[arg-type]
        )
    length = sum(_durations(path))
    rate = Fraction(frames * 1000, length)
    return MediaInfo(
        path,
        "video",
        time_base=_MILLISECOND,
        rate=rate,
        frames=frames,
        frames_exact=True,
        duration=Fraction(length, 1000),
        **common,  # type: ignore[arg-type]
    )


def folder_images(folder: Path) -> list[Path]:
    """The images in a folder in natural order (2 before 10). Raises MediaError when there are none."""
    try:
        found = [
            item
            for item in folder.iterdir()
            if item.suffix.lower() in SUFFIXES and not item.name.startswith(".")
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


def folder_info(folder: Path) -> MediaInfo:
    """A folder of images as a video of FOLDER_RATE frames a second, of the first image's size."""
    images = folder_images(folder)
    check_file(images[0])
    first = image_info(images[0])
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


def folder_frames(
    folder: Path, info: MediaInfo, background: tuple[int, int, int]
) -> Iterator[Frame]:
    """One frame an image; an image of another size is scaled to the first's."""
    for index, path in enumerate(folder_images(folder)):
        check_file(path)
        pixels = _pixels(path, info, background)
        if (pixels.shape[1], pixels.shape[0]) != info.size:
            pixels = cv2.resize(pixels, info.size, interpolation=cv2.INTER_AREA)
        yield Frame(pixels, index, info.time_base, index, 1)


def image_frames(path: Path, info: MediaInfo, background: tuple[int, int, int]) -> Iterator[Frame]:
    """The frames of an image file, one or several."""
    if info.kind == "image":
        yield Frame(_pixels(path, info, background), 0, info.time_base, 0, 1)
        return
    pts = 0
    with _open(path) as picture:
        for index, duration in enumerate(_durations(path)):
            try:
                picture.seek(index)
                pixels = _rgb(picture.copy(), background, path)
            except _FAILURES as exc:
                raise unreadable(path, exc) from exc
            yield Frame(pixels, pts, _MILLISECOND, index, duration)
            pts += duration


def _pixels(path: Path, info: MediaInfo, background: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """One still in the depth that `info` tells."""
    deep = _deep_png(path) if info.bit_depth == 16 else None
    if deep is not None:
        return deep
    with _open(path) as picture:
        pixels = _rgb(picture, background, path)
    return pixels.astype(np.uint16) * np.uint16(257) if info.bit_depth == 16 else pixels


def _open(path: Path) -> Pillow.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Pillow.DecompressionBombWarning
            )  # _reduced takes care of large images
            return Pillow.open(path)
    except Pillow.DecompressionBombError as exc:
        raise MediaError(
            f"{path} has more pixels than can be read safely.", "Scale it down first."
        ) from exc
    except _FAILURES as exc:
        raise unreadable(path, exc) from exc


def _reduced(picture: Pillow.Image) -> tuple[int, int]:
    """Its size, halved until it has no more than MOST_PIXELS."""
    width, height = picture.size
    while width * height > MOST_PIXELS:
        width, height = (width + 1) // 2, (height + 1) // 2
    return width, height


def _rgb(picture: Pillow.Image, background: tuple[int, int, int], path: Path) -> Image:
    try:
        size = _reduced(picture)
        if size != picture.size:
            picture.draft("RGB", size)  # JPEG: most of the reduction for free
            picture.load()
            if picture.size != size:
                picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
                picture = picture.resize(size, Pillow.Resampling.BOX)
        profile = picture.info.get("icc_profile")
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I;16"):
            picture = Pillow.fromarray(to_uint8(np.asarray(picture, np.uint16)))
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            picture = Pillow.alpha_composite(
                Pillow.new("RGBA", layer.size, (*background, 255)), layer
            ).convert("RGB")
        elif picture.mode != "RGB" and not (picture.mode == "CMYK" and profile):
            picture = picture.convert("RGB")
        return np.asarray(_to_srgb(picture, profile), np.uint8)
    except _FAILURES as exc:
        raise unreadable(path, exc) from exc


def _to_srgb(picture: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    """Phones tag their pictures as Display P3; without this faces come out pale."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                changed = ImageCms.profileToProfile(
                    picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                picture = changed or picture
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken or unfit profile (grey, Lab): the pixels are taken as they are
    return picture.convert("RGB")


def _durations(path: Path) -> list[int]:
    """Milliseconds of every picture of an animation; 0 is shown for 100 ms, as browsers do."""
    found = []
    with _open(path) as picture:
        for index in range(getattr(picture, "n_frames", 1)):
            try:
                picture.seek(index)
                picture.load()  # WebP tells a picture's duration only then
            except _FAILURES as exc:
                raise unreadable(path, exc) from exc
            found.append(int(picture.info.get("duration", 0)) or 100)
    return found


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[-1]


def _deep_png(path: Path) -> np.ndarray[Any, Any] | None:
    """A 16-bit PNG without alpha as uint16 RGB, which Pillow cannot give; None for anything else."""
    if path.suffix.lower() != ".png" or _png_depth(path) != 16:
        return None
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return None
    return np.ascontiguousarray(pixels[..., ::-1])
