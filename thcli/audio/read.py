"""The sound of whatever a user names, mono, at one rate, in memory that does not depend on its length."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from thcli.core.errors import MediaError
from thcli.core.types import Array32
from thcli.media.failures import check_file, unreadable
from thcli.media.reading.container import opened

RATE = 16000  # samples a second, of everything here that listens
_TOLERANCE = Fraction(
    1, 10
)  # seconds that time stamps may stray from the samples' count before they are believed
_LONGEST_GAP, _LONGEST_OVERLAP = (
    3600,
    1,
)  # seconds; a larger jump of the clock says nothing: the sound goes on
_PART = 1 << 16  # samples of silence made at once
# how much of each channel is heard: speech stands in the centre, and a subwoofer says nothing
_SHARES = {
    "FC": 1.0,
    "LFE": 0.0,
    "LFE2": 0.0,
    "BL": 0.5,
    "BR": 0.5,
    "SL": 0.5,
    "SR": 0.5,
    "BC": 0.5,
}
_FRONT = 0.7071


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound in memory. samples: (N,) float32 mono within -1..1.  rate: samples a second.

    start: seconds on the file's own clock (that of its picture's time stamps) at which the first sample stands.
    """

    samples: Array32
    rate: int
    start: Fraction = Fraction(0)

    @property
    def seconds(self) -> Fraction:
        """How long it lasts."""
        return Fraction(len(self.samples), self.rate)

    @property
    def length(self) -> int:
        """Samples; with `blocks` it makes a sound a `Speech` of core.protocols."""
        return len(self.samples)

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        """The samples in parts of `seconds`."""
        size = max(1, round(seconds * self.rate))
        return (self.samples[begin : begin + size] for begin in range(0, len(self.samples), size))


def read(
    path: str | Path, rate: int = RATE, start: float | None = None, end: float | None = None
) -> Sound:
    """A whole sound, or what of it lies in start..end (seconds from the beginning of the sound itself).

    Any audio or video file that FFmpeg opens: the default audio track, channels mixed to one (5.1: mostly its centre), pauses in
    the time stamps filled with silence, damaged packets too.  Raises MediaError when the file is missing, broken, has no sound,
    a sound of 0 seconds, or nothing in start..end.
    """
    parts = list(blocks(path, rate, start=start, end=end))
    begin = starts(path) + (round(Fraction(start) * rate) / Fraction(rate) if start else 0)
    return Sound(np.concatenate(parts), rate, begin)


def starts(path: str | Path) -> Fraction:
    """The time of the first sample on the file's own clock, in seconds. Raises MediaError as `read` does."""
    path = _file(path)
    with opened(path) as container:
        for frame in _frames(container, path):
            return (
                Fraction(frame.pts * frame.time_base)
                if frame.pts is not None and frame.time_base
                else Fraction(0)
            )
    raise _nothing(path)


def blocks(
    path: str | Path,
    rate: int = RATE,
    seconds: float = 10.0,
    start: float | None = None,
    end: float | None = None,
) -> Iterator[Array32]:
    """The same sound in blocks of `seconds` (the last one is shorter), each (N,) float32: an hour takes no more memory than a minute.

    Raises MediaError as `read` does, when the first block is asked for; a file that breaks off later just ends there.
    """
    path = _file(path)
    size = max(1, round(seconds * rate))
    first = round(Fraction(start or 0) * rate)
    last = None if end is None else round(Fraction(end) * rate)
    held: list[Array32] = []
    waiting = position = 0
    given = False
    for part in _continuous(path, rate):
        left, right = first - position, None if last is None else last - position
        position += len(part)
        part = part[max(0, left) : None if right is None else max(0, right)]
        held.append(part)
        waiting += len(part)
        while waiting >= size:
            whole = np.concatenate(held)
            yield whole[:size]
            held, waiting, given = [whole[size:]], waiting - size, True
        if last is not None and position >= last:
            break
    if waiting:
        yield np.concatenate(held)
    elif not given:
        raise (
            MediaError(
                f"{path} has no sound from {float(start or 0):g} s on: it lasts {position / rate:.2f} s.",
                "Give an earlier --start.",
            )
            if position
            else _nothing(path)
        )


def _file(path: str | Path) -> Path:
    path = Path(path)
    check_file(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder, not a sound.", "Give an audio or video file.")
    return path


def _nothing(path: Path) -> MediaError:
    return MediaError(f"{path} holds a sound of 0 seconds.", "Give a file that can be heard.")


def _track(container: InputContainer, path: Path) -> Any:
    """The audio track that is meant: the default one, else the first. Raises MediaError without any."""
    if not container.streams.audio:
        what = "a picture without sound" if container.streams.video else "no sound"
        raise MediaError(
            f"{path} holds {what}.", "Give an audio file, or a video with an audio track."
        )
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    if not tracks:
        raise MediaError(
            f"{path} holds a sound of a kind that this build of FFmpeg cannot decode.",
            "Convert it to WAV or FLAC.",
        )
    return next((track for track in tracks if track.disposition & Disposition.default), tracks[0])


def _frames(container: InputContainer, path: Path) -> Iterator[av.AudioFrame]:
    """Decoded frames; a damaged packet is left out. Raises MediaError when there are packets and none can be decoded."""
    cause: Exception | None = None
    some = False
    try:
        for packet in container.demux(_track(container, path)):
            try:
                for frame in packet.decode():
                    some = True
                    yield frame
            except av.FFmpegError as exc:
                cause = exc
    except (av.FFmpegError, OSError) as exc:  # cut off or damaged between packets
        cause = exc
    if cause is not None and not some:
        raise unreadable(path, cause) from cause


def _continuous(path: Path, rate: int) -> Generator[Array32, None, None]:
    """Mono parts at `rate`, one after the other without gaps or overlaps."""
    with opened(path) as container:
        mixer: _Mixer | None = None
        origin: Fraction | None = None
        expected = Fraction(0)  # seconds since the origin at which the next frame should begin
        made = skip = 0  # samples given so far; samples to leave out, since they were there before
        for frame in _frames(container, path):
            time = (
                frame.pts * frame.time_base if frame.pts is not None and frame.time_base else None
            )
            jump = (
                time - origin - expected if time is not None and origin is not None else Fraction(0)
            )
            if time is not None and (origin is None or not -_LONGEST_OVERLAP < jump < _LONGEST_GAP):
                origin = time - expected
                jump = Fraction(0)
            jump = jump if abs(jump) > _TOLERANCE else Fraction(0)
            if mixer is None or jump or not mixer.fits(frame):
                if mixer is not None:
                    rest = mixer.finish()[skip:]
                    made += len(rest)
                    yield rest
                mixer = _Mixer(frame, rate)
                expected += jump
                due = round(expected * rate) - made
                skip = max(0, -due)
                for begin in range(0, due, _PART):
                    made += min(_PART, due - begin)
                    yield np.zeros(min(_PART, due - begin), np.float32)
            part = mixer.mix(frame)
            expected += Fraction(frame.samples, frame.sample_rate)
            kept, skip = part[skip:], max(0, skip - len(part))
            made += len(kept)
            yield kept
        if mixer is not None:
            yield mixer.finish()[skip:]


class _Mixer:
    """Frames of one format to mono at another rate."""

    def __init__(self, frame: av.AudioFrame, rate: int) -> None:
        self._like = _format(frame)
        names = [channel.name for channel in frame.layout.channels]
        shares = np.array([_SHARES.get(name, _FRONT) for name in names], np.float32)
        self._shares = (
            shares / shares.sum()
            if shares.sum() > 0
            else np.full(len(names), 1 / len(names), np.float32)
        )
        # packed: PyAV 18 crashes on the planes of 8 channels and more
        self._resampler = av.AudioResampler("flt", frame.layout.name, rate)

    def fits(self, frame: av.AudioFrame) -> bool:
        return _format(frame) == self._like

    def mix(self, frame: av.AudioFrame | None) -> Array32:
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        if not parts:
            return np.zeros(0, np.float32)
        packed = np.concatenate(parts, axis=1).reshape(-1, len(self._shares))
        mono = np.nan_to_num(packed, posinf=1.0, neginf=-1.0) @ self._shares
        clipped: Array32 = np.clip(mono, -1.0, 1.0).astype(np.float32, copy=False)
        return clipped

    def finish(self) -> Array32:
        """What the resampler still holds."""
        return self.mix(None)


def _format(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name
