"""Small clips made on the spot, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

from thcli.media.writing.subtitles import HEADER

Image = npt.NDArray[np.uint8]
SIZE = (64, 80)
COLOURS = ((200, 40, 40), (40, 190, 60), (50, 60, 200))


def picture(index: int = 0, size: tuple[int, int] = SIZE) -> Image:
    """Four patches, each of another colour: red, green / blue, a grey that changes with the index."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    x, y = width // 4 * 2, height // 4 * 2
    pixels[:y, :x], pixels[:y, x:], pixels[y:, :x] = COLOURS
    pixels[y:, x:] = 40 + 10 * index % 200
    return pixels


def stamps(count: int, vfr: bool, step: int) -> list[int]:
    """Time stamps in ticks: even, or with gaps of one to three steps."""
    pts, found = 0, []
    for index in range(count):
        found.append(pts)
        pts += step * (1 + index % 3) if vfr else step
    return found


def make(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    count: int = 8,
    vfr: bool = False,
    rotation: tuple[float, bool, bool] | None = None,
    audio: Sequence[str] = (),
    audio_codec: str = "aac",
    subtitles: Sequence[str] = (),
    size: tuple[int, int] = SIZE,
    time_base: Fraction = Fraction(1, 12800),
    tags: tuple[int, int, int, int] | None = None,
    sar: Fraction | None = None,
    metadata: dict[str, str] | None = None,
    pictures: Sequence[Image] | None = None,
    options: dict[str, str] | None = None,
    chapters: bool = False,
) -> list[Fraction]:
    """Writes a clip and returns the time of each frame in seconds. audio: one layout for each track.  tags: matrix, range, primaries, transfer."""
    settings = {"x265-params": "log-level=none"} if codec == "libx265" else dict(options or {})
    rate = 100 if codec == "mpeg4" else 25
    base = Fraction(1, 100) if codec == "mpeg4" else time_base
    with av.open(str(path), "w") as out:
        stream: Any = cast(Any, out.add_stream(codec, rate=rate, options=settings))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = base
        if tags:
            stream.codec_context.colorspace, stream.codec_context.color_range = tags[:2]
            stream.codec_context.color_primaries, stream.codec_context.color_trc = tags[2:]
        if rotation:
            stream.set_display_rotation(*rotation)
        if sar:
            stream.codec_context.sample_aspect_ratio = sar
        out.metadata.update(metadata or {})
        if chapters:
            half = Fraction(1, 1000)
            out.set_chapters(
                [
                    {
                        "id": 1,
                        "start": 0,
                        "end": 120,
                        "time_base": half,
                        "metadata": {"title": "one"},
                    },
                    {
                        "id": 2,
                        "start": 120,
                        "end": 320,
                        "time_base": half,
                        "metadata": {"title": "two"},
                    },
                ]
            )
        tracks = [_sound(out, audio_codec, layout, index) for index, layout in enumerate(audio)]
        texts = [_text(out, name) for name in subtitles]
        ticks = stamps(count, vfr, int(Fraction(1, 25) / base))
        out.start_encoding()
        for index, pts in enumerate(ticks):
            pixels = pictures[index] if pictures is not None else picture(index, size)
            frame = to_yuv(pixels, pix_fmt, tags)
            frame.pts, frame.time_base, frame.duration = pts, base, int(Fraction(1, 25) / base)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        for track in tracks:
            _encode_sound(out, track, float(ticks[-1] * base) + 0.04)
        for text, name in zip(texts, subtitles, strict=True):
            _write_text(out, text, name)
    return [pts * base for pts in ticks]


def to_yuv(pixels: Image, pix_fmt: str, tags: tuple[int, int, int, int] | None) -> av.VideoFrame:
    """The reference conversion: floating point, by the book, chroma averaged over its pixels."""
    if pix_fmt.startswith(("rgb", "bgr", "gbr", "pal")):
        return av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt)
    matrix, span = (tags[0], tags[1]) if tags else (5, 2 if "j" in pix_fmt else 1)
    red, blue = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}.get(matrix, (0.299, 0.114))
    depth = 10 if "10" in pix_fmt else 8
    unit, top = 2 ** (depth - 8), 2**depth - 1
    r, g, b = (pixels[..., i] / 255 for i in range(3))
    y = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))]
    planes = [y * 219 * unit + 16 * unit if span == 1 else y * top]
    for c in chroma:
        if "444" not in pix_fmt:
            c = (c[:, ::2] + c[:, 1::2]) / 2
        if "420" in pix_fmt:
            c = (c[::2] + c[1::2]) / 2
        planes.append(c * (224 * unit if span == 1 else top) + 128 * unit)
    frame = av.VideoFrame(pixels.shape[1], pixels.shape[0], pix_fmt)
    kind = np.uint16 if depth > 8 else np.uint8
    for index, values in enumerate(planes):
        plane = frame.planes[index]
        samples = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
        samples[:, : plane.width] = np.clip(np.rint(values), 0, top)
    return frame


def decoded_times(path: Path, kind: str = "video", index: int = 0) -> list[Fraction]:
    """Times of the packets of a stream, sorted."""
    with av.open(str(path)) as container:
        stream = [s for s in container.streams if s.type == kind][index]
        return sorted(
            p.pts * p.time_base for p in container.demux(stream) if p.pts is not None and p.size
        )


def tone(path: Path, seconds: float, layout: str = "mono", codec: str = "aac") -> None:
    """A file with sound only."""
    with av.open(str(path), "w") as out:
        _encode_sound(out, _sound(out, codec, layout, 0), seconds)


def _sound(out: Any, codec: str, layout: str, index: int) -> Any:
    stream = out.add_stream(codec, rate=48000, layout=layout)
    stream.metadata["language"] = ("eng", "deu", "fra")[index]
    return stream


def _encode_sound(out: Any, stream: Any, seconds: float) -> None:
    channels = stream.codec_context.layout.nb_channels
    total, size = int(seconds * 48000), 1024
    for start in range(0, total, size):
        time = (start + np.arange(min(size, total - start))) / 48000
        wave = np.tile(0.3 * np.sin(2 * np.pi * 440 * time), (channels, 1)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave, "fltp", stream.codec_context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def _text(out: Any, codec: str) -> Any:
    stream = out.add_stream(codec)
    stream.codec_context.subtitle_header = HEADER
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "eng"
    return stream


def _write_text(out: Any, stream: Any, codec: str) -> None:
    for start, words in ((40, b"Hello"), (200, b"world")):
        data = len(words).to_bytes(2, "big") + words if codec == "mov_text" else words
        if codec == "ass":
            data = b"%d,0,Default,,0,0,0,," % start + words
        packet: av.Packet[Any] = av.Packet(data)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = 100
        out.mux(packet)
