"""Options of reading inputs and encoding outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from thcli.core.options.base import option, require

Hdr = Literal["keep", "tonemap"]
FRAME_MEGAPIXELS, STILL_MEGAPIXELS = 36.0, 200.0  # 8192 x 4320; the largest photographs of phones


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Input range and limits."""

    start: float = option(0.0, "Start of the range in seconds.")
    end: float | None = option(None, "End of the range in seconds (default: the end of the input).")
    max_pixels: float | None = option(
        None,
        f"Most megapixels of an input, 0.001..4000 (default: {FRAME_MEGAPIXELS:g} for a frame of a "
        f"video or an animation, {STILL_MEGAPIXELS:g} for a photograph).",
        affects_result=False,
    )
    hdr: Hdr = option(
        "keep",
        "HDR (PQ, HLG) and wide-gamut videos. keep: values and tags stay as they are; tonemap: "
        "convert to standard BT.709, 8 bits.",
    )
    threads: int = option(0, "Decoder threads; 0: chosen by the decoder.", hidden=True)
    square_pixels: bool = option(
        False, "Read anamorphic videos at the size at which they are shown.", hidden=True
    )

    def __post_init__(self) -> None:
        require(
            self.max_pixels is None or 0.001 <= self.max_pixels <= 4000,
            "--max-pixels",
            "within 0.001..4000 megapixels",
            self.max_pixels,
        )
        require(self.hdr in ("keep", "tonemap"), "--hdr", "keep or tonemap", self.hdr)
        require(self.start >= 0, "--start", "0 or more seconds", self.start)
        require(self.end is None or self.end > self.start, "--end", "after --start", self.end)

    @property
    def whole(self) -> ReadOptions:
        """The same options without a range."""
        return replace(self, start=0.0, end=None)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Output encoding."""

    overwrite: bool = option(False, "Replace an existing output.", affects_result=False)
    resume: bool = option(
        False,
        "Keep finished segments when interrupted; the same command continues from them.",
        affects_result=False,
    )
    codec: str = option(
        "auto",
        "Video codec, or an encoder such as h264_nvenc or hevc_qsv; auto: by container and bit "
        "depth of the input.",
    )
    crf: float | None = option(
        None, "Quality, 0..63, lower is better (default: by codec, 18 for h264)."
    )
    preset: str = option(
        "auto",
        "Encoder speed by its x264 name, of which other codecs use the nearest; auto: veryfast, "
        "and faster above 2560x1440 with libx264 (not libx265, libx264rgb).",
    )
    fps: float | None = option(
        None, "Frames per second, up to 1000 (default: the time stamps of the input, VFR kept)."
    )
    share: bool = option(
        False,
        "Encode for every player: H.264 of 8 bits in 4:2:0, at most 1920x1080, AAC, faststart.",
    )
    audio: str = option(
        "drive",
        "Audio of the output: drive, source, none or a file.",
        path="input",
        words="drive|source|none",
    )
    longest: int | None = option(None, "Most pixels of the longer side.", hidden=True)
    threads: int = option(0, "Encoder threads; 0: chosen by the encoder.", hidden=True)
    key_every: int = option(0, "Frames between key frames; 0: chosen by the codec.", hidden=True)

    def __post_init__(self) -> None:
        require(self.crf is None or 0 <= self.crf <= 63, "--crf", "within 0..63", self.crf)
        require(
            not self.share or self.codec in ("auto", "h264"),
            "--codec",
            "auto or h264 with --share",
            self.codec,
        )
        require(
            self.fps is None or 0 < self.fps <= 1000, "--fps", "more than 0, up to 1000", self.fps
        )
