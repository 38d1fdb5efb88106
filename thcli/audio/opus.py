"""Opus packets of 20 ms: from samples, and into a file."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.packet import Packet

from thcli.core.types import Array32
from thcli.media.failures import to_media_error

RATE = 48000  # samples per second of Opus' clock
FRAME = 960  # samples of a packet


class OpusEncoder:
    """Encoder of one channel at a low bitrate.

    kbits: kbit/s.
    """

    def __init__(self, kbits: float) -> None:
        self._context: Any = av.CodecContext.create("libopus", "w")
        _configure(self._context)
        self._context.bit_rate = round(1000 * kbits)
        self._context.options = {"application": "voip", "frame_duration": "20"}
        self._rest = np.zeros(0, np.float32)
        self._sent = 0

    def encode(self, samples: Array32, *, last: bool = False) -> list[bytes]:
        """Return the packets that are complete with these samples.

        Args:
            samples: (N,) at RATE, -1..1.
            last: the sound ends with them; silence fills the last packet.
        """
        samples = np.concatenate([self._rest, samples])
        if last:
            samples = np.pad(samples, (0, -len(samples) % FRAME))
        whole = len(samples) // FRAME * FRAME
        self._rest = samples[whole:]
        packets: list[Any] = []
        for begin in range(0, whole, FRAME):
            frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + FRAME], "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, Fraction(1, RATE)
            self._sent += FRAME
            packets += self._context.encode(frame)
        if last:
            packets += self._context.encode(None)
        return [bytes(packet) for packet in packets]


def write_opus_file(path: Path, packets: Iterable[bytes]) -> int:
    """Write packets of `OpusEncoder` to an Ogg file and return their number.

    Raises:
        MediaError: a packet is none of Opus.
    """
    count = 0
    with av.open(f"file:{path.absolute()}", "w", format="ogg") as container:
        stream = cast(Any, container.add_stream("libopus", rate=RATE))
        _configure(stream.codec_context)
        container.start_encoding()
        for content in packets:
            packet = Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = FRAME * count
            packet.duration = FRAME
            try:
                container.mux(packet)
            except (av.InvalidDataError, av.ArgumentError) as exc:
                raise to_media_error(path, exc) from exc
            count += 1
    return count


def _configure(context: Any) -> None:
    context.sample_rate, context.layout, context.format = RATE, "mono", "flt"
    context.time_base = Fraction(1, RATE)
