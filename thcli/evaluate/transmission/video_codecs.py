"""Video codecs at a few kbit/s, with settings of a call: no frame waits for a later one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions
from thcli.core.types import Image

_TRIES = 5  # of the bisection of the quality
_SCALES = (1, 2, 4)  # divisors of the sides; the next one where the worst quality is too large
_ONE_KEY = "100000"  # frames between key frames: only the first one is a key frame


@dataclass(frozen=True, slots=True)
class VideoCodec:
    """A video codec of this build of FFmpeg.

    encoder: FFmpeg's name.
    options: of the encoder, without its quality.
    worst: largest value of crf.
    """

    encoder: str
    options: Mapping[str, str]
    worst: int


CODECS = {
    "h264": VideoCodec(
        "libx264", {"preset": "medium", "tune": "zerolatency", "g": _ONE_KEY, "threads": "1"}, 51
    ),
    "hevc": VideoCodec(
        "libx265",
        {
            "preset": "medium",
            "tune": "zerolatency",
            "x265-params": f"log-level=none:keyint={_ONE_KEY}:pools=none:frame-threads=1",
        },
        51,
    ),
    "av1": VideoCodec(
        "libsvtav1",
        {"preset": "8", "g": _ONE_KEY, "svtav1-params": "pred-struct=1:lp=1"},
        63,
    ),
}


@dataclass(frozen=True, slots=True)
class CodedVideo:
    """A coded clip.

    path: Matroska file.
    kbits: kbit/s of the packets alone.
    crf: quality parameter.
    scale: divisor of the sides.
    """

    path: Path
    kbits: float
    crf: int
    scale: int


def encode_near(clip: Path, read: ReadOptions, name: str, kbits: float, path: Path) -> CodedVideo:
    """Code a clip with at most a number of kbit/s, as finely as that allows.

    The frames are made smaller where the coarsest quality is too large; at a quarter of the sides
    the coarsest quality is taken whatever it costs.

    Args:
        clip: the clip.
        read: its part.
        name: one of CODECS.
        kbits: most kbit/s.
        path: Matroska file to write.
    """
    codec = CODECS[name]
    for scale in _SCALES:
        low, high = 1, codec.worst
        found = _encode(clip, read, codec, high, scale, path)
        if found.kbits > kbits and scale != _SCALES[-1]:
            continue
        for _ in range(_TRIES):
            if high - low <= 1 or found.kbits > kbits:
                break
            middle = (low + high) // 2
            tried = _encode(clip, read, codec, middle, scale, path)
            low, high = (low, middle) if tried.kbits <= kbits else (middle, high)
        return _encode(clip, read, codec, high, scale, path)
    raise AssertionError("the last scale returns")


def check_codecs(names: tuple[str, ...]) -> None:
    """Raise UsageError for an unknown codec, or one that this build of FFmpeg lacks."""
    for name in names:
        if name not in CODECS:
            raise UsageError(f"--codecs knows {', '.join(CODECS)}, not {name!r}.")
        try:
            av.Codec(CODECS[name].encoder, "w")
        except av.FFmpegError as exc:
            raise UsageError(
                f"This build of FFmpeg has no {CODECS[name].encoder}.", f"Leave {name} out."
            ) from exc


def _encode(
    clip: Path, read: ReadOptions, codec: VideoCodec, crf: int, scale: int, path: Path
) -> CodedVideo:
    bits, first, last = 0, None, Fraction(0)
    with media.read(clip, read) as reader, av.open(f"file:{path.absolute()}", "w") as out:
        info = reader.info
        rate = info.rate or Fraction(25)
        width, height = (max(2, side // scale // 2 * 2) for side in info.size)
        stream = cast(Any, out.add_stream(codec.encoder, rate=rate))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = info.time_base
        stream.options = {**codec.options, "crf": str(crf)}

        def write(packets: Any) -> int:
            total = 0
            for packet in packets:
                total += 8 * packet.size
                out.mux(packet)
            return total

        for frame in reader:
            image = _resize(to_uint8(frame.pixels), width, height)
            coded = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            first = frame.pts if first is None else first
            coded.pts, coded.time_base = frame.pts - first, frame.time_base
            last = (frame.pts - first + frame.duration) * frame.time_base
            bits += write(stream.encode(coded.reformat(format="yuv420p")))
        bits += write(stream.encode(None))
    return CodedVideo(path, bits / max(float(last), 1e-3) / 1000, crf, scale)


def _resize(image: Image, width: int, height: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
