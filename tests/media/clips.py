"""Small synthetic clips with known colours and time stamps, and checks of outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.events import Event, Warned
from thcli.core.options import OutputOptions, ReadOptions
from thcli.media.writing.subtitles import ASS_HEADER

Image = npt.NDArray[np.uint8]
SIZE = (64, 80)
WHOLE = ReadOptions()
COLOURS = ((200, 40, 40), (40, 190, 60), (50, 60, 200))


def draw_patches(index: int = 0, size: tuple[int, int] = SIZE) -> Image:
    """Draw four patches: red and green above blue and a grey that changes with the index."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    x, y = width // 4 * 2, height // 4 * 2
    pixels[:y, :x], pixels[:y, x:], pixels[y:, :x] = COLOURS
    pixels[y:, x:] = 40 + 10 * index % 200
    return pixels


def frame_ticks(count: int, vfr: bool, step: int) -> list[int]:
    """Return time stamps in ticks, evenly spaced or with gaps of one to three steps."""
    pts, found = 0, []
    for index in range(count):
        found.append(pts)
        pts += step * (1 + index % 3) if vfr else step
    return found


@dataclass(frozen=True)
class ClipSpec:
    """Contents of a synthetic clip.

    codec, pix_fmt, options: of the video encoder.
    count: number of frames.
    vfr: variable frame rate.
    rotation: degrees counter-clockwise, mirrored, flipped, as PyAV's stream sets them.
    audio: channel layout of each audio track.
    subtitles: codec of each subtitle track.
    size: (width, height).
    tags: colour matrix, range, primaries, transfer.
    frames: pixels of each frame, by default `draw_patches`.
    chapters: add two chapters.
    """

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    count: int = 8
    vfr: bool = False
    rotation: tuple[float, bool, bool] | None = None
    audio: Sequence[str] = ()
    audio_codec: str = "aac"
    subtitles: Sequence[str] = ()
    size: tuple[int, int] = SIZE
    time_base: Fraction = Fraction(1, 12800)
    tags: tuple[int, int, int, int] | None = None
    sar: Fraction | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    frames: Sequence[Image] | None = None
    options: dict[str, str] = field(default_factory=dict)
    chapters: bool = False


def write_clip(path: Path, spec: ClipSpec = ClipSpec()) -> list[Fraction]:
    """Write a clip and return the time of each frame in seconds."""
    is_mpeg4 = spec.codec == "mpeg4"  # its clock is the frame rate
    time_base = Fraction(1, 100) if is_mpeg4 else spec.time_base
    step = int(Fraction(1, 25) / time_base)
    ticks = frame_ticks(spec.count, spec.vfr, step)
    with av.open(str(path), "w") as out:
        stream = _add_video(out, spec, 100 if is_mpeg4 else 25, time_base)
        out.metadata.update(spec.metadata)
        if spec.chapters:
            out.set_chapters([_chapter(1, "one", 0, 120), _chapter(2, "two", 120, 320)])
        tracks = [
            _add_audio(out, spec.audio_codec, layout, index)
            for index, layout in enumerate(spec.audio)
        ]
        subtitles = [_add_subtitles(out, name) for name in spec.subtitles]
        out.start_encoding()
        for index, pts in enumerate(ticks):
            pixels = spec.frames[index] if spec.frames else draw_patches(index, spec.size)
            frame = reference_yuv(pixels, spec.pix_fmt, spec.tags)
            frame.pts, frame.time_base, frame.duration = pts, time_base, step
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        for track in tracks:
            _encode_tone(out, track, float(ticks[-1] * time_base) + 0.04)
        for track, name in zip(subtitles, spec.subtitles, strict=True):
            _write_subtitles(out, track, name)
    return [pts * time_base for pts in ticks]


def _add_video(out: Any, spec: ClipSpec, rate: int, time_base: Fraction) -> Any:
    quiet = {"x265-params": "log-level=none"}
    options = quiet if spec.codec == "libx265" else dict(spec.options)
    stream: Any = cast(Any, out.add_stream(spec.codec, rate=rate, options=options))
    stream.width, stream.height, stream.pix_fmt = *spec.size, spec.pix_fmt
    context = stream.codec_context
    context.time_base = time_base
    if spec.tags:
        context.colorspace, context.color_range = spec.tags[:2]
        context.color_primaries, context.color_trc = spec.tags[2:]
    if spec.rotation:
        stream.set_display_rotation(*spec.rotation)
    if spec.sar:
        context.sample_aspect_ratio = spec.sar
    return stream


def _chapter(number: int, title: str, start: int, end: int) -> Any:
    """Return a chapter for PyAV; start and end in milliseconds."""
    time_base = Fraction(1, 1000)
    return {
        "id": number,
        "start": start,
        "end": end,
        "time_base": time_base,
        "metadata": {"title": title},
    }


def reference_yuv(
    pixels: Image, pix_fmt: str, tags: tuple[int, int, int, int] | None
) -> av.VideoFrame:
    """Convert to YUV by the definition, in floating point, chroma averaged over its pixels."""
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


def packet_times(path: Path, kind: str = "video", index: int = 0) -> list[Fraction]:
    """Return the display times of a stream's packets in seconds, sorted."""
    with av.open(str(path)) as container:
        stream = [s for s in container.streams if s.type == kind][index]
        return sorted(
            p.pts * p.time_base for p in container.demux(stream) if p.pts is not None and p.size
        )


def write_audio(path: Path, seconds: float, layout: str = "mono", codec: str = "aac") -> None:
    """Write a file with audio only, a tone of 440 Hz."""
    with av.open(str(path), "w") as out:
        _encode_tone(out, _add_audio(out, codec, layout, 0), seconds)


def _add_audio(out: Any, codec: str, layout: str, index: int) -> Any:
    stream = out.add_stream(codec, rate=48000, layout=layout)
    stream.metadata["language"] = ("eng", "deu", "fra")[index]
    return stream


def _encode_tone(out: Any, stream: Any, seconds: float) -> None:
    channels = stream.codec_context.layout.nb_channels
    total, size = int(seconds * 48000), 1024
    for start in range(0, total, size):
        time = (start + np.arange(min(size, total - start))) / 48000
        wave = np.tile(0.3 * np.sin(2 * np.pi * 440 * time), (channels, 1)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave, "fltp", stream.codec_context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def _add_subtitles(out: Any, codec: str) -> Any:
    stream = out.add_stream(codec)
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "eng"
    return stream


def _write_subtitles(out: Any, stream: Any, codec: str) -> None:
    for start, words in ((40, b"Hello"), (200, b"world")):
        data = len(words).to_bytes(2, "big") + words if codec == "mov_text" else words
        if codec == "ass":
            data = b"%d,0,Default,,0,0,0,," % start + words
        packet: av.Packet[Any] = av.Packet(data)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = 100
        out.mux(packet)


def transcode(path: Path, out: Path | str, span: ReadOptions = WHOLE, **options: Any) -> list[str]:
    """Read a clip, write what was read with its companion streams, and return the warnings."""
    events: list[Event] = []
    with media.read(path, span, on=events.append) as frames:
        chosen = OutputOptions(**options)
        writer = media.write(
            out,
            frames.info.size,
            frames.info,
            chosen,
            media.WritePlan(drive=frames.info, span=span),
            on=events.append,
        )
        with writer:
            for frame in frames:
                writer.write(frame.pixels, frame.pts, frame.duration)
    return [event.message for event in events if isinstance(event, Warned)]


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder, hidden ones included."""
    return {item.name for item in folder.iterdir()}


def subtitle_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Return time and bytes of the first subtitle stream's packets."""
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        return [
            (p.pts * p.time_base, bytes(p))
            for p in container.demux(stream)
            if p.pts is not None and len(bytes(p)) > 2
        ]
