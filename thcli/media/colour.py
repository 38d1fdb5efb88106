"""From a decoder's pixels to RGB and back, by the tags of the stream.

Untagged YUV is taken as BT.601 below 720 lines, else BT.709, limited range: what players do. Chroma is spread without blur
(nearest) and averaged on the way back, so that a frame that nothing was drawn on survives the round trip.
"""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from thcli.media.info import Colour

_UNSPECIFIED = 2
_BT709, _BT601 = 1, 6
# swscale's own numbers of the matrices that it knows (SWS_CS_*), by code point; the rest is read as a guess by size
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
# swscale's quick path from 4:2:0 to packed RGB is 1 to 1.5 levels too dark on average; to planes, with this, it rounds right
_EXACT = int(Interpolation.POINT | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND)
_AVERAGED = int(Interpolation.AREA | Interpolation.FULL_CHR_H_INP)
_LARGE = 1_000_000  # pixels from which on a conversion is worth several threads


def is_rgb(pix_fmt: str) -> bool:
    """Whether the pixels are red, green and blue already, so that no matrix applies."""
    return pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8"))


def completed(colour: Colour, pix_fmt: str, height: int) -> Colour:
    """The tags with matrix and range filled in where the stream leaves them open."""
    if is_rgb(pix_fmt):
        return Colour(0, 2, colour.primaries, colour.transfer)
    matrix = colour.matrix if colour.matrix in _SWS_MATRIX else _BT601 if height < 720 else _BT709
    span = colour.range or (2 if pix_fmt.startswith("yuvj") else 1)
    return Colour(matrix, span, colour.primaries, colour.transfer)


def for_encoding(colour: Colour, pix_fmt: str, height: int) -> Colour:
    """The tags for an output of this pixel format, made from an input's: RGB input becomes BT.709 where a matrix is needed."""
    if is_rgb(pix_fmt):
        return Colour(0, 2, colour.primaries, colour.transfer)
    if colour.matrix == 0 or (colour.matrix == _UNSPECIFIED and colour.transfer in (1, 13)):
        full = 2 if pix_fmt.startswith("yuvj") else 1
        transfer = _BT709 if colour.transfer in (_UNSPECIFIED, 13) else colour.transfer
        primaries = _BT709 if colour.primaries == _UNSPECIFIED else colour.primaries
        return Colour(9 if primaries == 9 else _BT709, full, primaries, transfer)
    return completed(colour, pix_fmt, height)


class ToRGB:
    """Turns decoded frames of one stream into (H, W, 3) RGB, uint8, or uint16 (full range) from more than 8 bits a sample."""

    def __init__(self, colour: Colour, background: tuple[int, int, int] = (0, 0, 0)) -> None:
        self._colour = colour
        self._background = background
        self._swscale = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray[Any, Any]:
        """size: (width, height) to scale to when a frame's differs from the stream's."""
        depth = frame.format.components[0].bits
        alpha = len(frame.format.components) in (2, 4) and not frame.format.name.startswith("pal")
        target = ("gbrap" if alpha else "gbrp") + ("16le" if depth > 8 else "")
        colour = completed(self._tags(frame), frame.format.name, frame.height)
        matrix = {} if colour.matrix == 0 else {"src_colorspace": _SWS_MATRIX[colour.matrix], "dst_colorspace": _SWS_MATRIX[colour.matrix]}  # fmt: skip
        resized = size is not None and size != (frame.width, frame.height)
        planar = self._swscale.reformat(
            frame,
            width=size[0] if size else None,
            height=size[1] if size else None,
            format=target,
            src_color_range=colour.range,
            dst_color_range=2,
            interpolation=int(Interpolation.BICUBIC) | _EXACT & ~int(Interpolation.POINT) if resized else _EXACT,
            threads=0 if frame.width * frame.height >= _LARGE else 1,
            **matrix,
        )
        green, blue, red, *rest = (_plane(planar, i, depth > 8) for i in range(len(planar.planes)))
        pixels: np.ndarray[Any, Any] = cv2.merge([red, green, blue])
        return self._over_background(pixels, rest[0]) if rest else pixels

    def _tags(self, frame: av.VideoFrame) -> Colour:
        """The frame's own tags, where it has them, are more exact than the stream's."""
        return Colour(
            frame.colorspace if int(frame.colorspace) != _UNSPECIFIED else self._colour.matrix,
            int(frame.color_range) or self._colour.range,
        )

    def _over_background(self, pixels: np.ndarray[Any, Any], alpha: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        top = np.float32(np.iinfo(pixels.dtype).max)
        behind = np.asarray(self._background, np.float32) / 255 * top
        share = alpha[..., None].astype(np.float32) / top
        mixed: np.ndarray[Any, Any] = np.rint(pixels * share + behind * (1 - share)).astype(pixels.dtype)
        return mixed


class FromRGB:
    """Turns (H, W, 3) RGB pixels, uint8 or uint16, into frames of an encoder's pixel format."""

    def __init__(self, pix_fmt: str, colour: Colour) -> None:
        self._pix_fmt = pix_fmt
        self._colour = colour
        self._swscale = VideoReformatter()

    def __call__(self, pixels: np.ndarray[Any, Any]) -> av.VideoFrame:
        pixels = np.ascontiguousarray(pixels)
        frame = av.VideoFrame.from_numpy_buffer(pixels, "rgb24" if pixels.dtype == np.uint8 else "rgb48le")
        matrix = {} if self._colour.matrix == 0 else {"dst_colorspace": _SWS_MATRIX[self._colour.matrix]}
        out = self._swscale.reformat(
            frame,
            format=self._pix_fmt,
            src_color_range=2,
            dst_color_range=self._colour.range,
            interpolation=_AVERAGED,
            threads=0 if frame.width * frame.height >= _LARGE else 1,
            **matrix,
        )
        out.color_range = self._colour.range
        if self._colour.matrix:
            out.colorspace = self._colour.matrix
        return out


def _plane(frame: av.VideoFrame, index: int, deep: bool) -> np.ndarray[Any, Any]:
    plane = frame.planes[index]
    samples = np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8)
    return samples.reshape(plane.height, -1)[:, : plane.width]
