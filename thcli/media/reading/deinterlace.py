"""Interlaced frames made progressive, one for each."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
from av.filter import Graph

FILTER = "bwdif"
SETTINGS = "mode=send_frame:parity=auto:deint=interlaced"


def deinterlaced(frames: Iterator[av.VideoFrame], time_base: Fraction) -> Iterator[av.VideoFrame]:
    """Yield the frames of a stream, those with two fields as one picture of the first field's time.

    Frames before the first interlaced one pass as they are. Time stamps stay.

    Args:
        frames: decoded frames.
        time_base: of their time stamps.
    """
    chain: _Filter | None = None
    for frame in frames:
        if chain is not None and not chain.takes(frame):
            yield from chain.rest()
            chain = None
        if chain is None and frame.interlaced_frame:
            chain = _Filter(frame, time_base)
        if chain is None:
            yield frame
        else:
            yield from chain.push(frame)
    if chain is not None:
        yield from chain.rest()


class _Filter:
    """FFmpeg's deinterlacer for frames of one size and format."""

    def __init__(self, frame: av.VideoFrame, time_base: Fraction) -> None:
        self._layout = frame.width, frame.height, frame.format.name
        self._time_base = time_base
        self._stamps: list[int | None] = []
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=time_base
        )
        self._graph.link_nodes(
            source, self._graph.add(FILTER, SETTINGS), self._graph.add("buffersink")
        ).configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        """Return True for a frame of the same size and format."""
        return (frame.width, frame.height, frame.format.name) == self._layout

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Take a frame; yield those that are ready, one behind."""
        self._stamps.append(frame.pts)
        self._graph.vpush(frame)
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
            frame.pts, frame.time_base = self._stamps.pop(0), self._time_base
            yield frame
