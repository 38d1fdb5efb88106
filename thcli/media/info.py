"""Properties of a media file that are known before its frames are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

Kind = Literal["video", "image", "audio", "directory", "motion"]

_MATRICES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
}
_TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    8: "linear",
    13: "srgb",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "pq",
    18: "hlg",
}


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour tags as code points of ISO/IEC 23091-2, the same as FFmpeg's.

    matrix, primaries, transfer: 2 is unspecified.
    range: 0 unspecified, 1 limited (16..235), 2 full.
    """

    matrix: int = 2
    range: int = 0
    primaries: int = 2
    transfer: int = 2

    @property
    def is_hdr(self) -> bool:
        """True for the transfer functions PQ and HLG."""
        return self.transfer in (16, 18)

    def __str__(self) -> str:
        span = ("", "limited", "full")[self.range] if self.range < 3 else ""
        words = [_MATRICES.get(self.matrix, ""), _TRANSFERS.get(self.transfer, ""), span]
        return " ".join(word for word in words if word) or "untagged"


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream beside the main video stream: audio, subtitles, an attachment, data.

    index: number of the stream in its file.
    kind: audio, subtitle, attachment, data, or video (a second video stream, a cover image).
    channels, sample_rate: of audio, 0 for others; Hz.
    """

    index: int
    kind: str
    codec: str
    language: str = ""
    title: str = ""
    channels: int = 0
    sample_rate: int = 0

    def __str__(self) -> str:
        return " ".join(word for word in (self.kind, self.codec, self.language, self.title) if word)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Contents of a media file.

    size: upright (width, height) in coded pixels.
    orientation: 1..8 as in EXIF, 1 is upright; it is already applied to size.
    bit_depth: bits per colour sample.
    time_base: unit of the frames' time stamps in seconds.
    rate: average frames per second, for display and for encoders that require it.
    frames: number of frames, exact when frames_exact, else an estimate; None when unknown.
    start, duration: seconds.
    sar: sample aspect ratio, the displayed width of a coded pixel over its height.
    streams: all streams except for the main video stream.
    mapped_from: colour in the file where frames are read tone-mapped (--hdr tonemap), else None.
        `colour` and `bit_depth` are those of the frames that are read.
    squared: frames of anamorphic pixels are read at the size at which they are shown. `size` is
        that one, and `sar` 1.
    """

    path: Path
    kind: Kind
    container: str = ""
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    codec: str = ""
    pix_fmt: str = ""
    bit_depth: int = 8
    colour: Colour = field(default_factory=Colour)
    time_base: Fraction = Fraction(1, 25)
    rate: Fraction | None = None
    frames: int | None = None
    frames_exact: bool = False
    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    sar: Fraction = Fraction(1)
    streams: tuple[StreamInfo, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    mapped_from: Colour | None = None
    squared: bool = False

    @property
    def audio(self) -> tuple[StreamInfo, ...]:
        """The audio tracks."""
        return tuple(stream for stream in self.streams if stream.kind == "audio")
