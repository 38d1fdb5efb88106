"""Inspection of an input before any work. Invalid inputs fail here, with one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Stream
from av.video.stream import VideoStream

from thcli.core.errors import MediaError
from thcli.core.options import ReadOptions
from thcli.media.failures import check_file, to_media_error
from thcli.media.info import Colour, MediaInfo, StreamInfo
from thcli.media.orientation import orientation_from_display_matrix, swaps_sides
from thcli.media.reading.container import find_video_stream, open_input, require_video_stream
from thcli.media.reading.image import is_image, probe_folder, probe_image
from thcli.media.reading.pixel_limit import STILL_SUFFIXES, PixelLimit
from thcli.media.stream_tags import stream_title
from thcli.media.tone_mapping import SDR, is_mapped

_MICROSECOND = Fraction(1, av.time_base)
_WHOLE = ReadOptions()
# Demuxers whose duration may count from time 0 instead of from the first frame.
_COUNT_FROM_ZERO = ("matroska,webm", "nut")
_MIN_FRAME_BYTES = 8  # of a coded frame with its share of the index


def probe(path: str | Path, options: ReadOptions = _WHOLE) -> MediaInfo:
    """Read the headers and the first frame of a file, or the list of images in a folder.

    A file with audio and no video stream is of kind "audio"; `read` refuses it. Of a motion file
    only the kind is known here, see `pipeline.observe.inputs`.

    Args:
        path: the file.
        options: largest size, tone mapping; the range is not used.

    Raises:
        MediaError: the file is missing, empty, damaged, truncated before its first frame, too
            large, or of an unknown format.
    """
    path, limit = Path(path), PixelLimit.of(options)
    check_file(path)
    if path.is_dir():
        return probe_folder(path, limit)
    if path.name.endswith(".safetensors"):
        return MediaInfo(path, "motion", container="safetensors")
    if is_image(path):
        return probe_image(path, limit)
    with open_input(path, limit) as container:
        stream = find_video_stream(container)
        if stream is None and container.streams.audio:
            return _audio_info(path, container)
        stream = require_video_stream(container, path)
        info = _video_info(path, container, stream, _first_frame(path, container, stream, limit))
    if options.hdr == "tonemap" and is_mapped(info.colour):
        info = replace(info, colour=SDR, bit_depth=8, mapped_from=info.colour)
    if options.square_pixels and info.sar != 1:
        info = replace(info, size=shown_size(info), sar=Fraction(1), squared=True)
        limit.check_frame(path, *info.size)
    return info


def shown_size(info: MediaInfo) -> tuple[int, int]:
    """Return the (width, height) with square pixels: the shorter axis of a pixel is enlarged."""
    width, height = info.size
    wider, taller = max(info.sar, Fraction(1)), max(1 / info.sar, Fraction(1))
    return round(width * wider), round(height * taller)


def _first_frame(
    path: Path, container: InputContainer, stream: VideoStream, limit: PixelLimit
) -> av.VideoFrame:
    """Decode the first intact frame, which carries the orientation and the true pixel format."""
    limit.check_frame(path, stream.codec_context.width, stream.codec_context.height)
    stream.thread_type = "NONE"
    cause: BaseException = MediaError("no frame can be decoded")
    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    limit.check_frame(path, frame.width, frame.height)
                    return frame
            except av.FFmpegError as exc:
                limit.check_frame(path, stream.codec_context.width, stream.codec_context.height)
                cause = exc
    except (av.FFmpegError, OSError) as exc:
        cause = exc
    raise to_media_error(path, cause) from cause


def _video_info(
    path: Path, container: InputContainer, stream: VideoStream, frame: av.VideoFrame
) -> MediaInfo:
    time_base = stream.time_base or Fraction(1, 25)
    rate = stream.average_rate or stream.guessed_rate or None
    begin = frame.pts if frame.pts is not None else stream.start_time
    start = (begin or 0) * time_base
    duration: Fraction | None = None
    if stream.duration:
        duration = stream.duration * time_base
    elif container.duration:
        duration = container.duration * _MICROSECOND
        if container.format.name in _COUNT_FROM_ZERO and duration > start:
            duration -= start
    frames = stream.frames or (round(duration * rate) if duration and rate else None)
    if frames and frames * _MIN_FRAME_BYTES > path.stat().st_size:
        frames = None  # a false claim of the header
    matrix = next(
        (
            memoryview(data).tobytes()
            for data in _side_data(frame)
            if data.type.name == "DISPLAYMATRIX"
        ),
        None,
    )
    orientation = orientation_from_display_matrix(matrix) if matrix else 1
    sar = Fraction(stream.sample_aspect_ratio or 1)
    width, height = frame.width, frame.height
    context = stream.codec_context
    return MediaInfo(
        path,
        "image" if path.suffix.lower() in STILL_SUFFIXES else "video",
        container=container.format.name,
        size=(height, width) if swaps_sides(orientation) else (width, height),
        orientation=orientation,
        codec=context.name,
        pix_fmt=frame.format.name,
        bit_depth=max(part.bits for part in frame.format.components),
        colour=Colour(
            *(
                int(getattr(frame, name))
                for name in ("colorspace", "color_range", "color_primaries", "color_trc")
            )
        ),
        time_base=time_base,
        rate=Fraction(rate) if rate else None,
        frames=frames,
        frames_exact=bool(stream.frames and frames),
        start=start,
        duration=duration,
        sar=1 / sar if swaps_sides(orientation) else sar,
        streams=tuple(
            _stream_info(other) for other in container.streams if other.index != stream.index
        ),
        metadata=dict(container.metadata),
    )


def _side_data(frame: av.VideoFrame) -> list[SideData]:
    """Return the side data as a list. PyAV's stubs declare a dictionary; it is a sequence."""
    return list(cast(Iterable[SideData], frame.side_data))


def _audio_info(path: Path, container: InputContainer) -> MediaInfo:
    return MediaInfo(
        path,
        "audio",
        container=container.format.name,
        codec=container.streams.audio[0].codec_context.name,
        duration=container.duration * _MICROSECOND if container.duration else None,
        streams=tuple(_stream_info(stream) for stream in container.streams),
        metadata=dict(container.metadata),
    )


def _stream_info(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    sound = stream.type == "audio" and context is not None
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=context.name if context is not None else stream.metadata.get("mimetype", "unknown"),
        language=stream.metadata.get("language", ""),
        title=stream_title(stream) or stream.metadata.get("filename", ""),
        channels=int(getattr(context, "channels", 0)) if sound else 0,
        sample_rate=int(getattr(context, "sample_rate", 0)) if sound else 0,
    )
