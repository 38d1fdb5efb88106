"""The sound of a clip with a recording in the place of a part of it, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from thcli.audio.read import decoded_frames
from thcli.core.types import Array32
from thcli.media.reading.container import open_input

RATE, LAYOUT, CHANNELS = 48000, "stereo", 2
BLOCK = RATE  # samples that are mixed at a time
FADE = 480  # samples over which the clip's own sound ends and begins again
GAP = 480  # samples between time stamps and samples so far that are filled or cut


@dataclass(frozen=True, slots=True)
class SoundPart:
    """A part of the sound of a file.

    path: the file.
    start: of the part in seconds on the file's clock.
    samples: its length at RATE.
    """

    path: Path
    start: Fraction
    samples: int


def write_placed(
    target: Path, clip: SoundPart | None, speech: SoundPart, place: Fraction, total: int
) -> None:
    """Write the sound of a clip whose part under the speech is replaced, as 16-bit WAV.

    Args:
        target: file to write.
        clip: its own sound; None for silence.
        speech: the recording.
        place: seconds from the beginning of the clip at which it begins.
        total: samples to write at RATE.

    Raises:
        MediaError: a sound cannot be decoded.
    """
    begin = round(place * RATE)
    end = begin + speech.samples
    own = _Samples(iter(()) if clip is None else _continuous(clip))
    spoken = _Samples(_continuous(speech))
    with av.open(str(target), "w", format="wav") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout=LAYOUT)
        for first in range(0, total, BLOCK):
            count = min(BLOCK, total - first)
            at = np.arange(first, first + count)
            inside = (at >= begin) & (at < end)
            outside = np.clip(np.maximum(begin - at, at - end + 1) / FADE, 0, 1).astype(np.float32)
            mixed = own.take(count) * outside
            mixed[:, inside] += spoken.take(int(inside.sum()))
            samples = np.rint(np.clip(mixed, -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples.T.reshape(1, -1)), "s16", LAYOUT
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


class _Samples:
    """Samples of an iterator, taken in any number; silence after its end."""

    def __init__(self, parts: Iterator[Array32]) -> None:
        self._parts = parts
        self._rest = np.zeros((CHANNELS, 0), np.float32)

    def take(self, count: int) -> Array32:
        """Return the next (CHANNELS, count) samples."""
        parts, have = [self._rest], self._rest.shape[1]
        while have < count and (part := next(self._parts, None)) is not None:
            parts.append(part)
            have += part.shape[1]
        parts.append(np.zeros((CHANNELS, max(count - have, 0)), np.float32))
        whole = np.concatenate(parts, 1)
        self._rest = whole[:, count:]
        return np.ascontiguousarray(whole[:, :count])


def _continuous(part: SoundPart) -> Iterator[Array32]:
    """Yield the samples of a part in order, with silence in its gaps."""
    resampler = av.AudioResampler("fltp", LAYOUT, RATE)
    written = 0
    with open_input(part.path) as container:
        for frame in decoded_frames(container, part.path):
            timed = frame.pts is not None and frame.time_base is not None
            time = frame.pts * frame.time_base - part.start if timed else None  # type: ignore[operator]
            frame.pts = None
            for converted in resampler.resample(frame):
                samples = np.asarray(converted.to_ndarray(), np.float32)
                at = written if time is None else round(time * RATE)
                if abs(at - written) > GAP or at < 0:
                    missing = at - written
                    for begin in range(0, missing, BLOCK):
                        yield np.zeros((CHANNELS, min(BLOCK, missing - begin)), np.float32)
                    samples = samples[:, max(-missing, 0) :]
                    written += max(missing, 0)
                time = None
                samples = samples[:, : max(part.samples - written, 0)]
                written += samples.shape[1]
                yield samples
            if written >= part.samples:
                return
