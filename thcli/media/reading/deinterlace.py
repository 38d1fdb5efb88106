"""Interlaced frames made progressive, one for each."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph

from thcli.media.failures import to_media_error

FILTER = "bwdif"
SETTINGS = "mode=send_frame:parity=auto:deint=interlaced"
LEAST_SIDES = 3, 4  # columns and rows that the filter needs
# Formats that the filter lacks, of captures and hardware. FFmpeg would convert them without their
# colour range.
PLANAR = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "uyvy422": "yuv422p",
    "yuyv422": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
}


def deinterlaced(
    frames: Iterator[av.VideoFrame], path: Path, time_base: Fraction, threads: int
) -> Iterator[av.VideoFrame]:
    """Yield the frames of a stream, those with two fields as one picture of the first field's time.

    Frames before the first interlaced one and tiny ones pass as they are. Time stamps and durations
    stay.

    Args:
        frames: decoded frames.
        path: of the file, for messages.
        time_base: of their time stamps.
        threads: of the filter.

    Raises:
        MediaError: the filter refuses a frame.
    """
    chain: _Filter | None = None
    try:
        for frame in frames:
            if chain is not None and not chain.takes(frame):
                yield from chain.rest()
                chain = None
            if chain is None and frame.interlaced_frame and _is_large_enough(frame):
                chain = _Filter(frame, time_base, threads)
            if chain is None:
                yield frame
            else:
                yield from chain.push(frame)
        if chain is not None:
            yield from chain.rest()
    except av.FFmpegError as exc:
        raise to_media_error(path, exc) from exc


def _is_large_enough(frame: av.VideoFrame) -> bool:
    return frame.width >= LEAST_SIDES[0] and frame.height >= LEAST_SIDES[1]


class _Filter:
    """FFmpeg's deinterlacer for frames of one size and format."""

    def __init__(self, frame: av.VideoFrame, time_base: Fraction, threads: int) -> None:
        self._layout = frame.width, frame.height, frame.format.name
        self._format = PLANAR.get(frame.format.name, frame.format.name)
        self._time_base = time_base
        self._times: list[tuple[int | None, int]] = []
        self._graph = Graph()
        self._graph.threads = threads
        source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=av.VideoFormat(self._format),
            time_base=time_base,
        )
        self._graph.link_nodes(
            source, self._graph.add(FILTER, SETTINGS), self._graph.add("buffersink")
        ).configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        """Return True for a frame of the same size and format."""
        return (frame.width, frame.height, frame.format.name) == self._layout

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Take a frame; yield those that are ready, one behind."""
        self._times.append((frame.pts, frame.duration))
        self._graph.vpush(frame.reformat(format=self._format))
        yield from self._pull()

    def rest(self) -> Iterator[av.VideoFrame]:
        """Yield the last frames."""
        self._graph.vpush(None)
        yield from self._pull()

    def _pull(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            # The filter halves the time base and doubles the duration.
            frame.time_base = self._time_base
            frame.pts, frame.duration = self._times.pop(0)
            yield frame
