"""The commands that measure."""

from __future__ import annotations

from dataclasses import dataclass, field

from thcli.core.options.base import option, require
from thcli.core.options.faces import SteadyOptions, TemplateOptions


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How results are measured against the truth."""

    frames: int | None = option(
        None, "Compare at most this many frames, from --start on (default: all)."
    )
    source_frame: int = option(
        0, "Which frame of the clip is the source picture, counted from --start."
    )
    count_source: bool = option(
        False, "Also count the source's own frame, which every answer has nearly right."
    )
    own_mouth: bool = option(False, "Also measure the engine without the driver's mouth interior.")
    columns: int = option(8, "Columns of the contact sheet.")
    model3d: str = option(
        "auto", "3-D model whose numbers AED and APD compare (thcli list model3d); auto: mesh."
    )

    def __post_init__(self) -> None:
        require(self.frames is None or self.frames >= 1, "--frames", "1 or more", self.frames)
        require(self.source_frame >= 0, "--source-frame", "0 or more", self.source_frame)
        require(1 <= self.columns <= 64, "--columns", "within 1..64", self.columns)


@dataclass(frozen=True, slots=True)
class RefineEvaluateOptions:
    """How a refiner is measured."""

    engine: str = option("auto", "What refines (thcli list refiners); auto: fadm-s.")
    coarse_engine: str = option(
        "mesh", "What makes the coarse video of the clip's own first frame (thcli list engines)."
    )
    untouched: bool = option(
        True,
        "Also refine the true clip itself, which should hardly change.",
        "--untouched/--no-untouched",
    )


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How `thcli bench` measures."""

    frames: int = option(200, "Frames of the made test clip, and at most so many of a given one.")
    size: int = option(512, "Side of the made test clip in pixels.")
    repeat: int = option(3, "Measure everything this many times and take the quickest.")
    memory: int = option(
        0, "Also compare the memory of a job of so many frames with one of 200 (minutes for 20000)."
    )

    def __post_init__(self) -> None:
        require(2 <= self.frames <= 2000, "--frames", "within 2..2000", self.frames)
        require(64 <= self.size <= 4096, "--size", "within 64..4096 pixels", self.size)
        require(1 <= self.repeat <= 20, "--repeat", "within 1..20", self.repeat)
        require(
            self.memory == 0 or self.memory > 200,
            "--memory",
            "more than 200 frames, or 0",
            self.memory,
        )


@dataclass(frozen=True, slots=True)
class SteadyEvaluateOptions:
    """How the steadiness of crops is measured."""

    frames: int = option(100, "Frames of each scene, at 25 a second.")
    side: int = option(720, "Of the made clips in pixels; the face is a third of it.")
    noise: float = option(3.0, "Standard deviation of the sensor's noise, in levels of 255.")
    crf: int = option(23, "Quality at which the clips are encoded (H.264).")
    template: TemplateOptions = field(default_factory=TemplateOptions)
    steady: SteadyOptions = field(default_factory=SteadyOptions)

    def __post_init__(self) -> None:
        require(75 <= self.frames <= 1000, "--frames", "within 75..1000", self.frames)
        require(128 <= self.side <= 2048, "--side", "within 128..2048 pixels", self.side)
        require(0 <= self.noise <= 30, "--noise", "within 0..30", self.noise)
        require(0 <= self.crf <= 51, "--crf", "within 0..51", self.crf)


@dataclass(frozen=True, slots=True)
class VoiceEvaluateOptions:
    """How a voice is measured."""

    voice: str = option("auto", "Which one (thcli list voices).")
    speakers: str = option("", "Only these, with commas between (default: all).")
    motions: str = option(
        "",
        "Folder of the clips' motion files, made there where they are missing (default: beside the clips).",
    )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of `speakers`."""
        return tuple(name.strip() for name in self.speakers.split(",") if name.strip())


@dataclass(frozen=True, slots=True)
class EditEvaluateOptions:
    """How edits are measured."""

    frames: int | None = option(
        None, "At most this many frames of each clip, from --start on (default: all)."
    )
    baseline: bool = option(
        True,
        "Also edit each frame by itself, as frame-wise methods do.",
        "--baseline/--no-baseline",
    )
    columns: int = option(8, "Columns of the contact sheet.")

    def __post_init__(self) -> None:
        require(self.frames is None or self.frames >= 2, "--frames", "2 or more", self.frames)
        require(1 <= self.columns <= 64, "--columns", "within 1..64", self.columns)
