"""Audio decoding: any file as mono at one rate, in memory that does not depend on its length."""

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
from thcli.media.failures import check_file, to_media_error
from thcli.media.reading.container import open_input

RATE = 16000  # samples per second of every audio feature
_TOLERANCE = Fraction(1, 10)  # seconds between time stamps and sample count that are ignored
_LONGEST_GAP, _LONGEST_OVERLAP = 3600, 1  # seconds; a larger jump of the clock is ignored
_RATES, _MOST_CHANNELS = (1000, 768_000), 64  # Hz and number that are read
_LONGEST = 24 * 3600  # seconds of a sound, silence in its gaps included
_PART = 1 << 16  # samples of silence per part
# weight of each channel: speech is in the centre, a subwoofer carries none
_CHANNEL_WEIGHTS = {
    "FC": 1.0,
    "LFE": 0.0,
    "LFE2": 0.0,
    "BL": 0.5,
    "BR": 0.5,
    "SL": 0.5,
    "SR": 0.5,
    "BC": 0.5,
}
_FRONT_WEIGHT = 0.7071


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound in memory.

    Attributes:
        samples: (N,) float32 mono in -1..1.
        rate: samples per second.
        start: time of the first sample in seconds on the file's clock (that of its video stamps).
    """

    samples: Array32
    rate: int
    start: Fraction = Fraction(0)

    @property
    def seconds(self) -> Fraction:
        """Return the duration in seconds."""
        return Fraction(len(self.samples), self.rate)

    @property
    def length(self) -> int:
        """Return the number of samples; part of the `Speech` protocol."""
        return len(self.samples)

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        """Return the samples in parts of `seconds`."""
        size = max(1, round(seconds * self.rate))
        return (self.samples[begin : begin + size] for begin in range(0, len(self.samples), size))


def read_sound(
    path: str | Path, rate: int = RATE, start: float | None = None, end: float | None = None
) -> Sound:
    """Read a whole sound, or its part in start..end (seconds from the beginning of the sound).

    Opens any audio or video file that FFmpeg opens and takes the default audio track. Channels
    are mixed to one (5.1: mostly the centre). Gaps in the time stamps and damaged packets become
    silence.

    Args:
        path: audio or video file.
        rate: samples per second of the result.
        start, end: seconds, None for the whole.

    Raises:
        MediaError: the file is missing, broken or without sound, its sound lasts 0 seconds, or
            start..end is empty.
    """
    parts = list(read_blocks(path, rate, start=start, end=end))
    begin = start_time(path) + (round(Fraction(start) * rate) / Fraction(rate) if start else 0)
    return Sound(np.concatenate(parts), rate, begin)


def start_time(path: str | Path) -> Fraction:
    """Return the time of the first sample in seconds on the file's clock.

    Raises:
        MediaError: see `read_sound`.
    """
    path = _check_path(path)
    with open_input(path) as container:
        for frame in decoded_frames(container, path):
            return (
                Fraction(frame.pts * frame.time_base)
                if frame.pts is not None and frame.time_base
                else Fraction(0)
            )
    raise _empty_sound_error(path)


def read_blocks(
    path: str | Path,
    rate: int = RATE,
    seconds: float = 10.0,
    start: float | None = None,
    end: float | None = None,
) -> Iterator[Array32]:
    """Yield the sound of `read_sound` in blocks of `seconds`, (N,) float32 each.

    The last block is shorter. Memory does not depend on the length of the sound.
    A file that breaks off after the first block ends there.

    Raises:
        MediaError: see `read_sound`; raised when the first block is requested.
    """
    path = _check_path(path)
    size = max(1, round(seconds * rate))
    first = round(Fraction(start or 0) * rate)
    last = None if end is None else round(Fraction(end) * rate)
    pending: list[Array32] = []
    pending_samples = position = 0
    any_block = False
    for part in _read_continuous(path, rate):
        left, right = first - position, None if last is None else last - position
        position += len(part)
        part = part[max(0, left) : None if right is None else max(0, right)]
        pending.append(part)
        pending_samples += len(part)
        while pending_samples >= size:
            samples = np.concatenate(pending)
            yield samples[:size]
            pending, pending_samples, any_block = [samples[size:]], pending_samples - size, True
        if last is not None and position >= last:
            break
    if pending_samples:
        yield np.concatenate(pending)
    elif not any_block:
        raise (
            MediaError(
                f"{path} has no sound from {float(start or 0):g} s on: "
                f"it lasts {position / rate:.2f} s.",
                "Choose an earlier --start.",
            )
            if position
            else _empty_sound_error(path)
        )


def _check_path(path: str | Path) -> Path:
    path = Path(path)
    check_file(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder, not a sound.", "Choose an audio or video file.")
    return path


def _empty_sound_error(path: Path) -> MediaError:
    return MediaError(f"{path} holds a sound of 0 seconds.", "Choose a file with sound.")


def _select_track(container: InputContainer, path: Path) -> Any:
    """Return the default audio track, else the first. Raises MediaError without any."""
    if not container.streams.audio:
        content = "an image or video without sound" if container.streams.video else "no sound"
        raise MediaError(
            f"{path} holds {content}.", "Choose an audio file, or a video with an audio track."
        )
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    if not tracks:
        raise MediaError(
            f"{path} holds a sound in a codec that this build of FFmpeg cannot decode.",
            "Convert it to WAV or FLAC.",
        )
    return next((track for track in tracks if track.disposition & Disposition.default), tracks[0])


def decoded_frames(container: InputContainer, path: Path) -> Iterator[av.AudioFrame]:
    """Yield decoded frames and skip damaged packets.

    Raises:
        MediaError: there are packets and none can be decoded.
    """
    cause: Exception | None = None
    decoded_any = False
    try:
        for packet in container.demux(_select_track(container, path)):
            try:
                for frame in packet.decode():
                    decoded_any = True
                    yield frame
            except av.FFmpegError as exc:
                cause = exc
    except (av.FFmpegError, OSError) as exc:  # cut off or damaged between packets
        cause = exc
    if cause is not None and not decoded_any:
        raise to_media_error(path, cause) from cause


def _read_continuous(path: Path, rate: int) -> Generator[Array32, None, None]:
    """Yield mono parts at `rate`, without gaps or overlaps."""
    with open_input(path) as container:
        mixer: _Mixer | None = None
        origin: Fraction | None = None
        expected = Fraction(0)  # seconds since the origin at which the next frame should begin
        written = skip = 0  # samples yielded; samples to drop because they overlap earlier ones
        for frame in decoded_frames(container, path):
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
                    tail = mixer.finish()[skip:]
                    written += len(tail)
                    yield tail
                _check_format(path, frame)
                mixer = _Mixer(frame, rate)
                expected += jump
                _check_length(path, expected)
                missing = round(expected * rate) - written
                skip = max(0, -missing)
                for begin in range(0, missing, _PART):
                    written += min(_PART, missing - begin)
                    yield np.zeros(min(_PART, missing - begin), np.float32)
            part = mixer.mix(frame)
            expected += Fraction(frame.samples, frame.sample_rate)
            _check_length(path, expected)
            part_kept, skip = part[skip:], max(0, skip - len(part))
            written += len(part_kept)
            yield part_kept
        if mixer is not None:
            yield mixer.finish()[skip:]


def _check_format(path: Path, frame: av.AudioFrame) -> None:
    """Raise MediaError for a sample rate or a number of channels that no recording has."""
    low, high = _RATES
    if not low <= frame.sample_rate <= high:
        raise MediaError(
            f"{path} has {frame.sample_rate} samples per second; {low} to {high} are read.",
            "Convert it to 48000.",
        )
    if frame.layout.nb_channels > _MOST_CHANNELS:
        raise MediaError(
            f"{path} has {frame.layout.nb_channels} channels; up to {_MOST_CHANNELS} are read.",
            "Mix it to one or two.",
        )


def _check_length(path: Path, seconds: Fraction) -> None:
    if seconds > _LONGEST:
        raise MediaError(
            f"{path} has more than {_LONGEST / 3600:g} hours of sound.",
            "Cut it into parts, or end it earlier with --end.",
        )


class _Mixer:
    """Converter of frames of one format to mono at another rate."""

    def __init__(self, frame: av.AudioFrame, rate: int) -> None:
        self._input_format = _format(frame)
        names = [channel.name for channel in frame.layout.channels]
        weights = np.array(
            [_CHANNEL_WEIGHTS.get(name, _FRONT_WEIGHT) for name in names], np.float32
        )
        self._weights = (
            weights / weights.sum()
            if weights.sum() > 0
            else np.full(len(names), 1 / len(names), np.float32)
        )
        # packed: PyAV 18 crashes on the planes of 8 channels and more
        self._resampler = av.AudioResampler("flt", frame.layout.name, rate)

    def fits(self, frame: av.AudioFrame) -> bool:
        return _format(frame) == self._input_format

    def mix(self, frame: av.AudioFrame | None) -> Array32:
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        if not parts:
            return np.zeros(0, np.float32)
        packed = np.concatenate(parts, axis=1).reshape(-1, len(self._weights))
        mono = np.nan_to_num(packed, posinf=1.0, neginf=-1.0) @ self._weights
        clipped: Array32 = np.clip(mono, -1.0, 1.0).astype(np.float32, copy=False)
        return clipped

    def finish(self) -> Array32:
        """Return the samples that the resampler still holds."""
        return self.mix(None)


def _format(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name
