"""Numbers of frames in a range of an input, before it is read."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from thcli.core.options import FootageOptions, ReadOptions
from thcli.media.info import MediaInfo
from thcli.media.reading.open_image import ANIMATED
from thcli.media.reading.video import exact_seconds, shows_several


def frames_in_span(info: MediaInfo, read: ReadOptions) -> int | None:
    """Return the number of frames between --start and --end, None when the container is silent."""
    if info.frames is None or info.duration is None or not (read.start or read.end):
        return info.frames
    length = float(info.duration)
    span = min(read.end or length, length) - read.start
    return round(info.frames * span / length) if length else info.frames


def least_frames(info: MediaInfo, read: ReadOptions) -> int:
    """Return how many frames a range has at least, 0 when that is unknown.

    The time stamps of a range that is cut tell one frame from several (2): frames need not be
    evenly spaced, but the images of a folder are. Animations hold frames for any time.

    Raises MediaError when the file cannot be opened.
    """
    if not info.frames_exact:
        return 0
    if not (read.start > 0 or read.end is not None):
        return info.frames or 0
    if info.kind == "directory" and info.frames:
        return _images_in_range(info.frames, info.time_base, read)
    if info.kind != "video" or info.container.upper() in ANIMATED:
        return 0
    return 2 if shows_several(info, read) else 0


def _images_in_range(images: int, time_base: Fraction, read: ReadOptions) -> int:
    first = ceil(exact_seconds(read.start) / time_base)
    last = images if read.end is None else ceil(exact_seconds(read.end) / time_base)
    return max(min(last, images) - first, 0)


def least_of_lip_sync(info: MediaInfo, read: ReadOptions, speech: Fraction) -> int:
    """Return how many frames of a video whose lips are spoken anew there are at least.

    Args:
        info: the video.
        read: range of it.
        speech: seconds of the sound.
    """
    return least_frames(info, replace(read.whole, end=float(speech)))


def frames_of_lip_sync(clip: MediaInfo, speech: Fraction, options: FootageOptions) -> int | None:
    """Return the frames of a video whose lips are spoken anew, None when it does not say."""
    if clip.frames is None or not clip.duration or options.keeps_rest:
        return clip.frames
    if options.loop == "none" and clip.duration < speech:
        return clip.frames
    return ceil(clip.frames * speech / clip.duration)


def frames_until_the_shorter_end(
    clip: MediaInfo, driver: MediaInfo, read: ReadOptions
) -> int | None:
    """Return the frames of a source video: until the shorter end; an image drives all of them."""
    if driver.kind == "image" or not driver.duration:
        return frames_in_span(clip, read)
    length = float(driver.duration)
    return frames_in_span(
        clip, replace(read.whole, end=min(read.end or length, length) - read.start)
    )
