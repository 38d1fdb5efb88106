"""Limits of the size of inputs, checked before their pixels are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import MediaError
from thcli.core.options.media import FRAME_MEGAPIXELS, STILL_MEGAPIXELS, ReadOptions

ANIMATION_FRAMES = 100  # of the largest size, which Pillow decodes in half a minute
# Pictures that Pillow does not read, or not by their first bytes: FFmpeg decodes them as a video.
STILL_SUFFIXES = frozenset(
    [
        *(".heic", ".heif", ".hif", ".jxl", ".j2k", ".j2c", ".jpc"),
        *(".tga", ".hdr", ".exr", ".dpx", ".psd", ".qoi", ".pcx", ".ico", ".pbm", ".pam", ".pfm"),
    ]
)
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class PixelLimit:
    """Most pixels of a frame of a video or an animation, and of a still image."""

    frame: int
    still: int

    @classmethod
    def of(cls, options: ReadOptions) -> PixelLimit:
        """Return the limit that --max-pixels chooses."""
        given = options.max_pixels
        return cls(
            round((FRAME_MEGAPIXELS if given is None else given) * _MILLION),
            round((STILL_MEGAPIXELS if given is None else given) * _MILLION),
        )

    def most(self, path: Path) -> int:
        """Return the most pixels of a frame of a video or an animation."""
        return self.still if path.suffix.lower() in STILL_SUFFIXES else self.frame

    def check_frame(self, path: Path, width: int, height: int) -> None:
        """Raise MediaError when a frame of a video or an animation has too many pixels."""
        most = self.most(path)
        if width * height > most:
            raise too_large_error(path, f"frames of {width} x {height}", most, width * height)

    def check_still(self, path: Path, width: int, height: int) -> None:
        """Raise MediaError when a still image has too many pixels."""
        if width * height > self.still:
            raise too_large_error(path, f"{width} x {height}", self.still, width * height)

    def check_animation(self, path: Path, width: int, height: int, frames: int) -> None:
        """Raise MediaError when all frames of an animation together have too many pixels."""
        total, most = frames * width * height, ANIMATION_FRAMES * self.frame
        if total > most:
            needed = -(-total // (ANIMATION_FRAMES * _MILLION))
            raise MediaError(
                f"{path} has {frames} frames of {width} x {height} pixels, "
                f"more than an animation may have ({most // _MILLION} megapixels in all).",
                f"Convert it to a video, or raise the limit with --max-pixels {needed}.",
            )


def too_large_error(path: Path, size: str, most: int, found: int | None = None) -> MediaError:
    """Build the error of an input that is too large.

    Args:
        path: the file.
        size: its dimensions.
        most: pixels allowed.
        found: pixels of the file, where known.
    """
    needed = "N" if found is None else -(-found // _MILLION)
    return MediaError(
        f"{path} has {size} pixels; the limit is {most / _MILLION:g} megapixels.",
        f"Scale it down, or raise the limit with --max-pixels {needed}.",
    )
