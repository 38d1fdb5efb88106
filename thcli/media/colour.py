"""Colour conversion between decoded frames and RGB, by the colour tags of the stream.

Untagged YUV is interpreted as players do: BT.601 below 720 lines, else BT.709, limited range.
Planar YUV, by far the most common, is converted here with the exact matrix; other formats by
swscale. swscale's fast path from 4:2:0 is 1 to 1.5 levels too dark on average, and its accurate
path places chroma half a pixel beside the position that the reverse conversion reads. Chroma is
replicated over the pixels that it was averaged from, so an unchanged frame survives the round trip.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from thcli.core.types import Array
from thcli.media.info import Colour

Samples = np.ndarray[Any, Any]

_UNSPECIFIED = 2
_BT709, _BT601, _BT2020 = 1, 6, 9
# weights of red and blue in luma (Kr, Kb) by matrix code point: ISO/IEC 23091-2 table 4
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # swscale's constants for them
_EXACT = 0x4 | 0x2000 | 0x40000  # SWS_BICUBIC, SWS_FULL_CHR_H_INT, SWS_ACCURATE_RND
_PLANAR = re.compile(r"yuvj?(420|422|444)p(?:(9|10|12|14|16)le)?")


def is_rgb(pix_fmt: str) -> bool:
    """Return True for an RGB pixel format, to which no YUV matrix applies."""
    return pix_fmt.startswith(
        ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8")
    )


def complete_tags(colour: Colour, pix_fmt: str, height: int) -> Colour:
    """Fill in matrix and range where the stream leaves them unspecified.

    Args:
        colour: tags of the stream.
        pix_fmt: FFmpeg's name of the pixel format.
        height: of the frames; untagged video below 720 lines is BT.601.
    """
    if is_rgb(pix_fmt):
        return Colour(0, 2, colour.primaries, colour.transfer)
    matrix = colour.matrix if colour.matrix in _LUMA_WEIGHTS else _BT601 if height < 720 else _BT709
    span = colour.range or (2 if pix_fmt.startswith("yuvj") else 1)
    return Colour(matrix, span, colour.primaries, colour.transfer)


def encoding_tags(colour: Colour, pix_fmt: str, height: int) -> Colour:
    """Derive the tags of an output from those of its input.

    An RGB input becomes BT.709 (BT.2020 with its primaries) where the output needs a matrix.

    Args:
        colour: tags of the input.
        pix_fmt: FFmpeg's name of the output's pixel format.
        height: of the frames.
    """
    if is_rgb(pix_fmt):
        return Colour(0, 2, colour.primaries, colour.transfer)
    if pix_fmt.startswith("yuvj"):
        colour = Colour(colour.matrix, 2, colour.primaries, colour.transfer)
    if colour.matrix == 0:
        span = 2 if pix_fmt.startswith("yuvj") else 1
        transfer = _BT709 if colour.transfer in (_UNSPECIFIED, 13) else colour.transfer
        primaries = _BT709 if colour.primaries == _UNSPECIFIED else colour.primaries
        return Colour(_BT2020 if primaries == _BT2020 else _BT709, span, primaries, transfer)
    return complete_tags(colour, pix_fmt, height)


@lru_cache(maxsize=64)
def yuv_from_rgb(matrix: int, span: int, rgb_top: int, depth: int) -> Array:
    """Compute the affine matrix from RGB to Y, Cb, Cr codes.

    ITU-T H.273 section 8.3: in limited range black is 16 and white 235, chroma 16..240 around 128,
    times 2^(depth - 8).

    Args:
        matrix: code point of the YUV matrix.
        span: 1 limited range, 2 full range.
        rgb_top: largest RGB value, 255 or 65535.
        depth: bits per YUV sample.

    Returns:
        (3, 4) float64, applied to (R, G, B, 1).
    """
    red, blue = _LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    rows = np.stack(
        [
            luma,
            (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)),
            (np.array([1, 0, 0]) - luma) / (2 * (1 - red)),
        ]
    )
    unit, top, middle = 2.0 ** (depth - 8), 2.0**depth - 1, 2.0 ** (depth - 1)
    scale = (
        np.array([219 * unit, 224 * unit, 224 * unit]) if span == 1 else np.array([top, top, top])
    )
    offset = np.array([16 * unit if span == 1 else 0, middle, middle])
    return np.column_stack([rows * scale[:, None] / rgb_top, offset])


@lru_cache(maxsize=64)
def rgb_from_yuv(matrix: int, span: int, rgb_top: int, depth: int) -> Array:
    """Compute the inverse of `yuv_from_rgb`, (3, 4) float64, applied to (Y, Cb, Cr, 1)."""
    forward = yuv_from_rgb(matrix, span, rgb_top, depth)
    back = np.linalg.inv(forward[:, :3])
    return np.column_stack([back, -back @ forward[:, 3]])


class ToRGB:
    """Converter of one stream's decoded frames to RGB.

    The result is (H, W, 3) uint8, or uint16 (full range) for more than 8 bits per sample.

    colour: tags of the stream, used where a frame has none.
    background: RGB 0..255 under transparent pixels.
    """

    def __init__(self, colour: Colour, background: tuple[int, int, int] = (0, 0, 0)) -> None:
        self._colour = colour
        self._background = background
        self._swscale = VideoReformatter()
        # reused between frames: allocating this much memory costs more than the arithmetic
        self._yuv: Samples | None = None
        self._chroma_buffers: dict[int, Samples] = {}

    def __call__(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> Samples:
        """Convert one frame. size: (width, height) to scale to, None for the frame's own."""
        form = _PLANAR.fullmatch(frame.format.name)
        colour = complete_tags(self._tags(frame), frame.format.name, frame.height)
        if form is None or size is not None:
            return self._by_swscale(frame, colour, size)
        depth = int(form[2] or 8)
        planes = [_plane(frame, i, depth) for i in range(3)]
        if form[1] != "444":
            for i in (1, 2):
                lines = 2 if form[1] == "420" else 1
                full = self._replicate_chroma(planes[i], lines, i)
                planes[i] = full[: frame.height, : frame.width]
        reusable = self._yuv is not None and self._yuv.dtype == planes[0].dtype
        self._yuv = cv2.merge(planes, self._yuv if reusable else None)
        top = 255 if depth == 8 else 65535
        matrix = rgb_from_yuv(colour.matrix, colour.range, top, depth)
        return np.asarray(cv2.transform(self._yuv, matrix))

    def _replicate_chroma(self, plane: Samples, lines: int, index: int) -> Samples:
        """Repeat every sample twice along x and `lines` times along y.

        Two neighbours are written at once, as one number of double width.
        """
        height, width = plane.shape
        double = np.uint16 if plane.dtype == np.uint8 else np.uint32
        buffer = self._chroma_buffers.get(index)
        if buffer is None or buffer.shape != (height, lines, width) or buffer.dtype != double:
            buffer = self._chroma_buffers[index] = np.empty((height, lines, width), double)
        twice = double((1 << (8 * plane.itemsize)) + 1)
        np.multiply(plane[:, None, :], twice, out=buffer, dtype=double)
        return buffer.view(plane.dtype).reshape(height * lines, width * 2)

    def _by_swscale(
        self, frame: av.VideoFrame, colour: Colour, size: tuple[int, int] | None
    ) -> Samples:
        depth = max(part.bits for part in frame.format.components)
        alpha = len(frame.format.components) in (2, 4) and not frame.format.name.startswith("pal")
        target = ("gbrap" if alpha else "gbrp") + ("16le" if depth > 8 else "")
        matrix = (
            {}
            if colour.matrix == 0
            else {
                "src_colorspace": _SWS_MATRIX[colour.matrix],
                "dst_colorspace": _SWS_MATRIX[colour.matrix],
            }
        )
        planar = self._swscale.reformat(
            frame,
            width=size[0] if size else None,
            height=size[1] if size else None,
            format=target,
            src_color_range=colour.range,
            dst_color_range=2,
            interpolation=_EXACT,
            **matrix,
        )
        green, blue, red, *rest = (_plane(planar, i, depth) for i in range(len(planar.planes)))
        pixels = np.asarray(cv2.merge([red, green, blue]))
        return self._over_background(pixels, rest[0]) if rest else pixels

    def _tags(self, frame: av.VideoFrame) -> Colour:
        """Return the frame's tags where it has them, else the stream's."""
        return Colour(
            frame.colorspace if int(frame.colorspace) != _UNSPECIFIED else self._colour.matrix,
            int(frame.color_range) or self._colour.range,
        )

    def _over_background(self, pixels: Samples, alpha: Samples) -> Samples:
        top = np.float32(np.iinfo(pixels.dtype).max)
        background = np.asarray(self._background, np.float32) / 255 * top
        opacity = alpha[..., None].astype(np.float32) / top
        return np.asarray(np.rint(pixels * opacity + background * (1 - opacity)), pixels.dtype)


class FromRGB:
    """Converter of (H, W, 3) RGB, uint8 or uint16, to frames of an encoder's pixel format.

    pix_fmt: FFmpeg's name of the pixel format.
    colour: tags of the output.
    """

    def __init__(self, pix_fmt: str, colour: Colour) -> None:
        self._pix_fmt = pix_fmt
        self._colour = colour
        self._form = _PLANAR.fullmatch(pix_fmt)
        self._swscale = VideoReformatter()
        self._yuv: Samples | None = None  # reused between frames
        self._chroma: Samples | None = None

    def __call__(self, pixels: Samples) -> av.VideoFrame:
        out = self._planar(pixels) if self._form else self._by_swscale(pixels)
        out.color_range = self._colour.range
        if self._colour.matrix:
            out.colorspace = self._colour.matrix
        return out

    def _planar(self, pixels: Samples) -> av.VideoFrame:
        assert self._form is not None
        height, width = pixels.shape[:2]
        depth = int(self._form[2] or 8)
        top = 255 if pixels.dtype == np.uint8 else 65535
        if depth > 8 and top == 255:
            pixels = pixels.astype(np.uint16)
        matrix = yuv_from_rgb(self._colour.matrix, self._colour.range, top, depth)
        self._yuv = yuv = cv2.transform(pixels, matrix, self._yuv)
        if depth == 8 and yuv.dtype != np.uint8:
            yuv = yuv.astype(np.uint8)
        frame = av.VideoFrame(width, height, self._pix_fmt)
        cv2.extractChannel(yuv, 0, _plane(frame, 0, depth))
        if self._form[1] != "444":
            lines = 2 if self._form[1] == "420" else 1
            odd = (height % 2 if lines == 2 else 0, width % 2)
            if any(odd):
                yuv = cv2.copyMakeBorder(yuv, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE)
            half = (yuv.shape[1] // 2, yuv.shape[0] // lines)
            yuv = cv2.resize(yuv, half, self._chroma, interpolation=cv2.INTER_AREA)
            self._chroma = yuv
        for i in (1, 2):
            cv2.extractChannel(yuv, i, _plane(frame, i, depth))
        return frame

    def _by_swscale(self, pixels: Samples) -> av.VideoFrame:
        frame = av.VideoFrame.from_numpy_buffer(
            np.ascontiguousarray(pixels), "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        )
        matrix = (
            {} if self._colour.matrix == 0 else {"dst_colorspace": _SWS_MATRIX[self._colour.matrix]}
        )
        return self._swscale.reformat(
            frame,
            format=self._pix_fmt,
            src_color_range=2,
            dst_color_range=self._colour.range,
            interpolation=_EXACT,
            **matrix,
        )


def _plane(frame: av.VideoFrame, index: int, depth: int) -> Samples:
    """Return a view of one plane, (lines, samples per line); writing to it changes the frame."""
    plane = frame.planes[index]
    samples = np.frombuffer(memoryview(plane), np.uint16 if depth > 8 else np.uint8)
    return samples.reshape(plane.height, -1)[:, : plane.width]
