"""Options of evaluation and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from thcli.core.options.base import comma_words, option, require, require_seed
from thcli.core.options.conference import TransmitOptions
from thcli.core.options.faces import StabilizationOptions, TemplateOptions

Distance = Literal["near", "middle", "far", "all"]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Evaluation."""

    frames: int | None = option(None, "Most frames to compare, from --start (default: all).")
    source_frame: int = option(0, "Index of the source frame in the clip, counted from --start.")
    count_source: bool = option(
        False, "Also count the source frame, which every method reproduces nearly exactly."
    )
    own_mouth: bool = option(
        False, "Also measure the engine without the mouth interior of the driver."
    )
    columns: int = option(8, "Columns of the contact sheet, 1..64.")
    model3d: str = option("auto", "3-D face model of AED and APD (thcli list model3d); auto: mesh.")

    def __post_init__(self) -> None:
        require(self.frames is None or self.frames >= 1, "--frames", "1 or more", self.frames)
        require(self.source_frame >= 0, "--source-frame", "0 or more", self.source_frame)
        require(1 <= self.columns <= 64, "--columns", "within 1..64", self.columns)


@dataclass(frozen=True, slots=True)
class TransmitEvaluateOptions:
    """Transmission evaluation."""

    codecs: str = option("h264,hevc,av1", "Video codecs to compare with, separated by commas.")
    quality: int = option(
        TransmitOptions().quality, "Quality of the motion, 0..16, lower is better."
    )
    rates: str = option(
        "1,3", "Bitrates of the video codecs, as multiples of the motion's, separated by commas."
    )
    frames: int | None = option(None, "Most frames of each clip, from --start (default: all).")
    pictures: bool = option(
        True,
        "Also measure streams that send their pictures, and codecs at multiples of their bitrate.",
        "--pictures/--no-pictures",
    )

    def __post_init__(self) -> None:
        require(self.frames is None or self.frames >= 2, "--frames", "2 or more", self.frames)
        words = comma_words(self.rates)
        numbers = [word for word in words if word.replace(".", "", 1).isdigit()]
        fits = 0 < len(words) == len(numbers) and all(0.1 <= float(n) <= 100 for n in numbers)
        require(fits, "--rates", "numbers within 0.1..100", self.rates)

    @property
    def codec_names(self) -> tuple[str, ...]:
        """Names of the video codecs."""
        return comma_words(self.codecs)

    @property
    def multiples(self) -> tuple[float, ...]:
        """Multiples of the bitrate."""
        return tuple(float(word) for word in comma_words(self.rates))


@dataclass(frozen=True, slots=True)
class RefineEvaluateOptions:
    """Refiner evaluation."""

    engine: str = option(
        "auto",
        "Refiner (thcli list refiners); auto: fadm-s for frames of the engine mesh, else "
        "resshift-s; detail with --licence free.",
    )
    coarse_engine: str = option(
        "mesh",
        "Engine that renders the coarse video from the source frame (thcli list engines), or "
        "degraded: the clip itself with the typical errors of a GAN; weak: frames of the engine "
        "mesh with these errors, too little expression and pose, one frame late.",
    )
    coarse: str | None = option(
        None, "Coarse video of the CLIP made elsewhere, in place of an engine's.", path="input"
    )
    driven: bool = option(
        False,
        "Also give the refiner the CLIP as the driver of the coarse video (refine --driving).",
    )
    distance: Distance = option(
        "all",
        "Frames to count by the distance of their face from the source's: near, middle or far "
        "third, or all.",
    )
    untouched: bool = option(
        True,
        "Also refine the unprocessed clip, which should hardly change.",
        "--untouched/--no-untouched",
    )

    def __post_init__(self) -> None:
        known = "near, middle, far or all"
        require(self.distance in get_args(Distance), "--distance", known, self.distance)
        require(
            self.coarse is None or self.coarse_engine == "mesh",
            "--coarse-engine",
            "left out with --coarse",
            self.coarse_engine,
        )


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Benchmark."""

    frames: int = option(
        200, "Frames of the generated clip, and most frames of a given one, 2..2000."
    )
    size: int = option(512, "Side of the generated clip in pixels, 64..4096.")
    repeat: int = option(3, "Number of runs, 1..20; the fastest counts.")
    networks: bool = option(
        False,
        "Also compare each network, with random weights, on --device with the CPU: numbers, speed "
        "and memory; always on a GPU.",
    )

    def __post_init__(self) -> None:
        require(2 <= self.frames <= 2000, "--frames", "within 2..2000", self.frames)
        require(64 <= self.size <= 4096, "--size", "within 64..4096 pixels", self.size)
        require(1 <= self.repeat <= 20, "--repeat", "within 1..20", self.repeat)


MEMORY_VERBS = ("reenact", "refine", "edit", "speak", "crop", "paste")


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """Memory benchmark."""

    memory: bool = option(
        False, "Also measure whether the memory of each verb grows with the length of a clip."
    )
    memory_verbs: str = option(
        ",".join(MEMORY_VERBS), "Verbs to measure with --memory, separated by commas."
    )
    memory_frames: int = option(
        20_000, "Frames of the long clip of reenact with --memory, 50 or more."
    )
    memory_others: int = option(
        5_000, "Frames of the long clip of the other verbs with --memory, 50 or more."
    )
    memory_short: int = option(200, "Frames of the short clip with --memory, 50 or more.")
    memory_size: int = option(192, "Side of the clips with --memory in pixels, 64..4096.")

    def __post_init__(self) -> None:
        unknown = [verb for verb in self.chosen if verb not in MEMORY_VERBS]
        known = f"some of {', '.join(MEMORY_VERBS)}"
        require(bool(self.chosen) and not unknown, "--memory-verbs", known, self.memory_verbs)
        for name in ("memory_frames", "memory_others", "memory_short"):
            count = getattr(self, name)
            require(count >= 50, f"--{name.replace('_', '-')}", "50 or more", count)
        require(
            64 <= self.memory_size <= 4096,
            "--memory-size",
            "within 64..4096 pixels",
            self.memory_size,
        )

    @property
    def chosen(self) -> tuple[str, ...]:
        """Verbs in `memory_verbs`."""
        return comma_words(self.memory_verbs)

    def frames_of(self, verb: str) -> int:
        """Return the frames of the long clip of a verb."""
        return self.memory_frames if verb == "reenact" else self.memory_others


@dataclass(frozen=True, slots=True)
class StabilityEvaluateOptions:
    """Crop stability evaluation."""

    frames: int = option(100, "Frames of each scene at 25 per second, 75..1000.")
    side: int = option(
        720, "Side of the generated clips in pixels, 128..2048; the face is a third of it."
    )
    noise: float = option(3.0, "Standard deviation of the sensor noise in levels of 255, 0..30.")
    crf: int = option(23, "H.264 quality of the clips, 0..51, lower is better.")
    template: TemplateOptions = field(default_factory=TemplateOptions)
    stabilization: StabilizationOptions = field(default_factory=StabilizationOptions)

    def __post_init__(self) -> None:
        require(75 <= self.frames <= 1000, "--frames", "within 75..1000", self.frames)
        require(128 <= self.side <= 2048, "--side", "within 128..2048 pixels", self.side)
        require(0 <= self.noise <= 30, "--noise", "within 0..30", self.noise)
        require(0 <= self.crf <= 51, "--crf", "within 0..51", self.crf)


@dataclass(frozen=True, slots=True)
class VoiceEvaluateOptions:
    """Voice evaluation."""

    voice: str = option("auto", "Voice (thcli list voices).")
    speakers: str = option("", "Speakers, separated by commas (default: all).")
    motions: str = option(
        "",
        "Folder of the motion files of the clips; missing ones are written (default: beside the "
        "clips).",
        path="input",
    )

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names in `speakers`."""
        return comma_words(self.speakers)

    @property
    def folder(self) -> Path | None:
        """Folder of `motions`, None for beside the clips."""
        return Path(self.motions) if self.motions else None


@dataclass(frozen=True, slots=True)
class EditEvaluateOptions:
    """Edit evaluation."""

    frames: int | None = option(None, "Most frames of each clip, from --start (default: all).")
    baseline: bool = option(
        True,
        "Also edit each frame independently, as frame-wise methods do.",
        "--baseline/--no-baseline",
    )
    columns: int = option(8, "Columns of the contact sheet, 1..64.")
    wearers: Path | None = option(
        None,
        "Folder of real faces with the attribute, from which a classifier tells the edit.",
        path="input",
    )

    def __post_init__(self) -> None:
        require(self.frames is None or self.frames >= 2, "--frames", "2 or more", self.frames)
        require(1 <= self.columns <= 64, "--columns", "within 1..64", self.columns)


STUDY_ASPECTS = ("identity", "lips", "quality")


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """Study."""

    ask: str = option(
        ",".join(STUDY_ASPECTS),
        "Aspects to ask about, separated by commas: identity, lips, quality.",
    )
    pairs: bool = option(True, "Ask which of two methods is better.", "--pairs/--no-pairs")
    singles: bool = option(
        True, "Ask about single clips: 1 to 5, and real or made.", "--singles/--no-singles"
    )
    truth: str = option("truth", "Folder of real clips, for the question real or made.")
    reference: str = option("person", "Folder of pictures of the persons, shown beside the clips.")
    most: int = option(40, "Questions for one person, drawn at random, 0..10000; 0: all.")
    seed: int = option(0, "Seed of the blind names, 0..4294967295.")

    def __post_init__(self) -> None:
        known = f"some of {', '.join(STUDY_ASPECTS)}"
        unknown = [aspect for aspect in self.aspects if aspect not in STUDY_ASPECTS]
        require(bool(self.aspects) and not unknown, "--ask", known, self.ask)
        require(0 <= self.most <= 10000, "--most", "within 0..10000", self.most)
        require_seed(self.seed)

    @property
    def aspects(self) -> tuple[str, ...]:
        """Aspects in `ask`."""
        return comma_words(self.ask)
