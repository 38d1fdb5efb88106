"""What is read of an input, and how an output is written."""

from __future__ import annotations

from dataclasses import dataclass

from thcli.core.options.base import option, require


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What part of an input is read."""

    start: float = option(0.0, "Begin this many seconds into the input.")
    end: float | None = option(None, "End this many seconds into the input (default: its end).")
    threads: int = option(0, "Of the decoder; 0: as many as it likes.", hidden=True)

    def __post_init__(self) -> None:
        require(self.start >= 0, "--start", "0 or more seconds", self.start)
        require(self.end is None or self.end > self.start, "--end", "after --start", self.end)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How an output is written."""

    overwrite: bool = option(False, "Replace an output that exists.")
    resume: bool = option(
        False, "When interrupted keep what is done; the same command goes on from there."
    )
    codec: str = option(
        "auto", "Video codec; auto: what the container and the input's bit depth call for."
    )
    crf: float | None = option(
        None, "Quality, lower is better (default: the codec's good value, 18 for h264)."
    )
    preset: str = option(
        "veryfast", "Encoder speed in x264's words; other codecs take their nearest."
    )
    fps: float | None = option(
        None, "Resample to this rate (default: the input's own time stamps, VFR kept)."
    )
    audio: str = option("drive", "Sound of the output: drive, source, none or a file.")
    threads: int = option(0, "Of the encoder; 0: as many as it likes.", hidden=True)
    key_every: int = option(0, "Frames between key frames; 0: the codec's own.", hidden=True)

    def __post_init__(self) -> None:
        require(self.crf is None or 0 <= self.crf <= 63, "--crf", "within 0..63", self.crf)
        require(self.fps is None or 0 < self.fps <= 1000, "--fps", "within 0..1000", self.fps)
