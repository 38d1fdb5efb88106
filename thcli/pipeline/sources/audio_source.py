"""What is to be said: a recording, and the time stamps of the frames that shall say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.audio.read import starts
from thcli.audio.speech import Recording
from thcli.core.options import ReadOptions, SpeakOptions
from thcli.core.types import Stamps
from thcli.media.info import MediaInfo
from thcli.media.writing.timing import exact_rate
from thcli.pipeline.job.job import Job

RATE = 25.0  # frames a second when nobody asks for another
FAINT = -60.0  # LUFS below which nothing is said


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording and its frames. info: of the file, as a sound (a video's picture left aside).  span: the part of it that is said.

    pts: of every frame, in units of 1 / rate seconds from the sound's beginning; the last one is shown when the sound ends.
    """

    recording: Recording
    info: MediaInfo
    span: ReadOptions
    pts: Stamps
    rate: Fraction

    @property
    def time_base(self) -> Fraction:
        return 1 / self.rate


def hear(audio: Path, options: SpeakOptions, job: Job) -> Heard:
    """Listens to the whole of a file once. Raises MediaError when it has no sound."""
    with job.clock("listen"):
        recording = Recording(audio, options.sound)
    if recording.loudness < FAINT:
        job.warn(f"There is nothing to be heard in {audio}: the mouth stays shut.")
    rate = exact_rate(options.output.fps or RATE)
    frames = -(-recording.length * rate // recording.rate)
    info = media.probe(audio)
    info = replace(
        info,
        kind="audio",
        start=starts(audio),
        streams=tuple(s for s in info.streams if s.kind != "video"),
    )
    span = ReadOptions(start=options.sound.start, end=options.sound.end)
    return Heard(recording, info, span, np.arange(int(frames), dtype=np.int64), rate)
