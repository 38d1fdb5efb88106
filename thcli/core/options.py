"""Every option of every command, with its default: the only place where a default is written.

Each class checks itself (`UsageError` names the field and what is allowed). The command line, the configuration file and the
`--json` report are these fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from thcli.core.errors import UsageError

MotionMode = Literal["relative", "absolute"]
Region = Literal["all", "expression", "pose", "lips", "eyes"]
Framing = Literal["full", "crop"]
Matte = Literal["auto", "on", "off"]
Mouth = Literal["driver", "synthetic"]


def require(ok: bool, name: str, allowed: str, value: object) -> None:
    """Raises the UsageError of a field that is out of its range."""
    if not ok:
        raise UsageError(f"{name} must be {allowed}, not {value!r}.")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What part of an input is read. start, end: seconds from the beginning (end None: to the end)."""

    start: float = 0.0
    end: float | None = None
    threads: int = 0  # of the decoder; 0: as many as it likes

    def __post_init__(self) -> None:
        require(self.start >= 0, "--start", "0 or more seconds", self.start)
        require(self.end is None or self.end > self.start, "--end", "after --start", self.end)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How an output is written."""

    overwrite: bool = False
    resume: bool = False  # keep what is done when interrupted, and go on from there
    codec: str = "auto"  # auto: what the container and the input's depth call for (h264 in mp4/mkv/mov, vp9 in webm)
    crf: float | None = None  # None: the codec's own good value (18 for h264)
    preset: str = "veryfast"  # of x264/x265; other codecs take the nearest speed of theirs
    fps: float | None = None  # None: the input's own time stamps, VFR kept; a number resamples
    audio: str = "drive"  # drive | source | none | a file
    threads: int = 0

    def __post_init__(self) -> None:
        require(self.crf is None or 0 <= self.crf <= 63, "--crf", "within 0..63", self.crf)
        require(self.fps is None or 0 < self.fps <= 1000, "--fps", "within 0..1000", self.fps)


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """Which face is meant, and who finds it."""

    select: str = (
        "largest"  # largest | first | all | a number from 0 (left to right in the first frame) | a reference image
    )
    detector: str = "blazeface"
    landmarker: str = "facemesh"


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """What of the driving motion is taken over, and how."""

    mode: MotionMode = "relative"
    region: Region = "all"
    strength: float = 1.0  # of the whole motion: 0 a still picture, 1 as driven
    pose: float = 1.0  # of the head's motion alone
    expression: float = 1.0  # of the face's motion alone
    smooth: float = 1.0  # 0: raw; 1: default; more: calmer
    causal: bool = False  # One-Euro (no look-ahead) instead of the zero-phase filter

    def __post_init__(self) -> None:
        require(self.mode in get_args(MotionMode), "--motion", " or ".join(get_args(MotionMode)), self.mode)
        require(self.region in get_args(Region), "--region", "one of " + ", ".join(get_args(Region)), self.region)
        for name, value, top in (("--strength", self.strength, 3), ("--pose", self.pose, 3), ("--expression", self.expression, 3), ("--smooth", self.smooth, 10)):  # fmt: skip
            require(0 <= value <= top, name, f"within 0..{top}", value)


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """The mesh engine's own choices."""

    mouth: Mouth = "driver"  # whose mouth interior shows: the driver's picture, or a made one
    matte: Matte = "auto"  # warp the person over a still background
    long_side: int = 0  # 0: the source's own resolution; else the source is reduced to this


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how a job computes."""

    device: str = "auto"  # auto | cpu | cuda[:N] | mps
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    batch_size: int = 8
    threads: int = 0  # of the compute stage; 0: one a core
    seed: int = 0
    offline: bool = False
    licence: Literal["any", "free"] = "any"  # free: nothing whose weights are for research only

    def __post_init__(self) -> None:
        require(bool(re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device)), "--device", "auto, cpu, cuda, cuda:N or mps", self.device)  # fmt: skip
        require(1 <= self.batch_size <= 1024, "--batch-size", "within 1..1024", self.batch_size)
        require(0 <= self.threads <= 1024, "--threads", "within 0..1024", self.threads)


@dataclass(frozen=True, slots=True)
class ReenactOptions:
    """`thcli reenact`."""

    engine: str = "mesh"
    framing: Framing = "full"
    background: str = "keep"  # keep | a colour such as '#00ff00' | an image or video file
    source_time: float | None = None  # a source video's moment in seconds; None: its first good frame
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    motion: MotionOptions = field(default_factory=MotionOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    save_motion: Path | None = None
    compare: Path | None = None  # also write source | driving | result side by side

    def __post_init__(self) -> None:
        require(self.framing in get_args(Framing), "--framing", "full or crop", self.framing)
