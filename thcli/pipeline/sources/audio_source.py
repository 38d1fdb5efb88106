"""Speech input: a recording and the time stamps of the video to generate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.audio.read import start_time
from thcli.audio.speech import Recording
from thcli.core.options import ReadOptions, SpeakOptions
from thcli.core.types import Timestamps
from thcli.media.info import MediaInfo
from thcli.media.writing.timing import exact_frame_rate
from thcli.pipeline.job.job import Job

DEFAULT_FRAME_RATE = 25.0  # frames per second
SILENCE_LOUDNESS = -60.0  # LUFS; quieter recordings are taken for silence


@dataclass(frozen=True, slots=True)
class SpeechTrack:
    """A recording and the frames that go with it.

    recording: the audio that is spoken.
    info: of the file as audio; the video stream is left out.
    span: range of the file that is spoken.
    pts: (T,) of every frame, in units of 1 / rate seconds since the beginning of the recording.
        The last frame is shown when the recording ends.
    rate: frames per second.
    """

    recording: Recording
    info: MediaInfo
    span: ReadOptions
    pts: Timestamps
    rate: Fraction

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of pts."""
        return 1 / self.rate


def read_speech(audio: Path, options: SpeakOptions, job: Job) -> SpeechTrack:
    """Read a recording and compute the time stamps of its frames.

    Raises MediaError when the file has no audio.
    """
    with job.clock("listen"):
        recording = Recording(audio, options.sound)
    if recording.loudness < SILENCE_LOUDNESS:
        job.warn(f"{audio} is silent: the mouth stays closed.")
    rate = exact_frame_rate(options.output.fps or DEFAULT_FRAME_RATE)
    frames = -(-recording.length * rate // recording.rate)
    info = media.probe(audio, options.read)
    info = replace(
        info,
        kind="audio",
        start=start_time(audio),
        streams=tuple(s for s in info.streams if s.kind != "video"),
    )
    span = replace(options.read, start=options.sound.start, end=options.sound.end)
    return SpeechTrack(recording, info, span, np.arange(int(frames), dtype=np.int64), rate)
