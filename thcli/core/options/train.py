"""Data preparation and training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from thcli.core.options.base import option, require
from thcli.core.options.faces import FindOptions
from thcli.core.options.run import Precision, RunOptions

Perceptual = Literal["auto", "vgg19", "pyramid"]
SpadeChoice = Literal["original", "spade"]
TeacherInput = Literal["imagenet", "arcface"]
DirectionKind = Literal["effects", "classifier"]


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How `thcli prepare` cuts clips out of videos."""

    size: int = option(256, "Side of the clips in pixels.")
    scale: float = option(
        1.6, "Side over the face's own, over all that it moves (X2Face's margin)."
    )
    min_frames: int = option(48, "Shorter pieces are dropped.")
    max_frames: int = option(1024, "Longer pieces are divided.")
    min_face: float = option(64.0, "Faces smaller than this many pixels are dropped.")
    move: float = option(
        0.25,
        "A new clip begins when less than this part of the face's first place is left (overlap over union).",
    )
    crf: float = option(12.0, "Quality of the clips, lower is better.")
    audio: bool = option(True, "Keep the sound of each piece.", "--audio/--no-audio")
    overwrite: bool = option(False, "Begin anew in a folder that is in use.")
    resume: bool = option(False, "Go on where an earlier run stopped, and add new videos.")
    find: FindOptions = field(default_factory=FindOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, "Say what would be cut; write nothing.")

    def __post_init__(self) -> None:
        require(
            16 <= self.size <= 1024 and self.size % 2 == 0,
            "--size",
            "even and within 16..1024 pixels",
            self.size,
        )
        require(1 <= self.scale <= 4, "--scale", "within 1..4", self.scale)
        require(self.min_frames >= 2, "--min-frames", "2 or more", self.min_frames)
        require(
            self.max_frames >= self.min_frames,
            "--max-frames",
            "at least --min-frames",
            self.max_frames,
        )
        require(self.min_face >= 8, "--min-face", "8 pixels or more", self.min_face)
        require(0 <= self.move < 1, "--move", "within 0..1", self.move)
        require(0 <= self.crf <= 51, "--crf", "within 0..51", self.crf)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a network is trained; what is not given is as published."""

    steps: int | None = option(None, "Updates in all (default: what --epochs come to).")
    epochs: float | None = option(None, "Passes over the data (default: the paper's).")
    batch: int | None = option(None, "Items in a batch (default: the paper's).")
    lr: float | None = option(None, "Learning rate (default: the paper's).")
    size: int = option(0, "Side of the pictures in pixels (default: what the engine takes).")
    narrow: int = option(1, "Divide every width by this; the engines take 1, more is for trials.")
    seed: int = option(0, "Of everything random; the same seed gives the same losses.")
    precision: Precision = option(
        "auto", "fp32, or mixed: fp16 or bf16 (auto: bf16 or fp16 on a GPU, else fp32)."
    )
    ema: float = option(
        0.999, "Of the averaged weights that are exported; 0: export the last ones."
    )
    perceptual: Perceptual = option(
        "auto",
        "What compares pictures: vgg19 as published, pyramid (pixels and gradients), auto: vgg19 if it is here.",
    )
    flip: bool = option(True, "Mirror half of the pairs.", "--flip/--no-flip")
    jitter: float = option(0.1, "Change brightness, contrast, saturation and hue by up to this.")
    every: int = option(50, "Updates between lines of the log.")
    save: int = option(1000, "Updates between checkpoints.")
    samples: int = option(500, "Updates between sample pictures; 0: none.")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
    threads: int = option(0, "Of the CPU, and that read clips; 0: as many as there are cores.")
    resume: bool = option(False, "Go on from the run's last checkpoint.")
    overwrite: bool = option(False, "Begin anew in a folder that is in use.")
    smoke: bool = option(False, "A tiny trial on generated data; needs no dataset.")
    offline: bool = option(False, "Never touch a network.")

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--steps", self.steps, 1),
            ("--batch", self.batch, 1),
            ("--narrow", self.narrow, 1),
            ("--every", self.every, 1),
            ("--save", self.save, 1),
            ("--samples", self.samples, 0),
            ("--threads", self.threads, 0),
        ):
            require(value is None or value >= least, name, f"{least} or more", value)
        require(self.epochs is None or self.epochs > 0, "--epochs", "more than 0", self.epochs)
        require(self.lr is None or self.lr > 0, "--lr", "more than 0", self.lr)
        require(
            self.size == 0 or 16 <= self.size <= 1024, "--size", "within 16..1024 pixels", self.size
        )
        require(self.narrow in (1, 2, 4, 8, 16), "--narrow", "1, 2, 4, 8 or 16", self.narrow)
        require(0 <= self.ema < 1, "--ema", "0, or less than 1", self.ema)
        require(0 <= self.jitter <= 0.5, "--jitter", "within 0..0.5", self.jitter)
        known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device)
        require(bool(known), "--device", "auto, cpu, cuda, cuda:N or mps", self.device)
        require(
            not (self.resume and self.overwrite), "--resume", "without --overwrite", self.resume
        )


@dataclass(frozen=True, slots=True)
class FommTrainOptions:
    """The first-order model's own."""

    adversarial: bool = option(
        False, "With a discriminator, as vox-adv (default: as vox).", "--adversarial"
    )


@dataclass(frozen=True, slots=True)
class FaceVid2VidTrainOptions:
    """face vid2vid's own."""

    generator: SpadeChoice = option(
        "original", "Which generator: the trainer's default, or the demo's SPADE one."
    )


@dataclass(frozen=True, slots=True)
class DiffusedHeadsTrainOptions:
    """The published Diffused Heads' own."""

    grey: bool = option(False, "Motion frames without colour, as for LRW.", "--grey")


@dataclass(frozen=True, slots=True)
class X2FaceTrainOptions:
    """X2Face's own."""

    views: int = option(1, "Source frames of each item.")
    identity: float = option(
        0.0, "Weight of the identity loss (the paper's second stage; 0: as the published script)."
    )

    def __post_init__(self) -> None:
        require(1 <= self.views <= 8, "--views", "within 1..8", self.views)
        require(self.identity >= 0, "--identity", "0 or more", self.identity)


@dataclass(frozen=True, slots=True)
class IdentityTrainOptions:
    """The identity network's own."""

    teacher: str = option(
        "", "A known network to learn from: ONNX, (N, 3, 112, 112) RGB to (N, D)."
    )
    teacher_input: TeacherInput = option(
        "imagenet", "Its pixels: less ImageNet's mean, over its spread; or within -1..1."
    )
    hints: bool = option(True, "Learn from the teacher's inner maps too.", "--hints/--no-hints")
    start: str = option("", "Begin with these weights, of another run.")
    margin: float = option(0.35, "Angle in radians that is kept between persons.")
    gentle: float = option(
        0.75, "Part of the updates that sees faces little disturbed, with the hints."
    )

    def __post_init__(self) -> None:
        require(0 <= self.margin <= 1, "--margin", "within 0..1", self.margin)
        require(0 <= self.gentle <= 1, "--gentle", "within 0..1", self.gentle)


@dataclass(frozen=True, slots=True)
class LabelledTrainOptions:
    """What learns from labelled faces: whose."""

    persons: str = option("0-5", "Learn from persons whose number ends in one of these digits.")


@dataclass(frozen=True, slots=True)
class JudgeTrainOptions(LabelledTrainOptions):
    """The judge's own: others than those that editors learn from."""

    persons: str = option("6-8", "Learn from persons whose number ends in one of these digits.")


@dataclass(frozen=True, slots=True)
class AttributeTrainOptions:
    """How directions of attributes are fitted in an editor's identity space."""

    editor: str = option("dva-s", "Whose identities: dva-s or dva.")
    kind: DirectionKind = option(
        "effects",
        "effects: what an attribute does to an identity, others held; classifier: as published.",
    )
    apart: str = option(
        "Male,Young,Eyeglasses,Smiling",
        "Attributes that the other directions leave alone, with commas between.",
    )
    persons: str = option("0-5", "Learn from persons whose number ends in one of these digits.")
    tested: str = option("9", "Figures are of persons whose number ends in one of these.")
    most: int = option(8000, "Pictures that are learnt from, at most.")
    overwrite: bool = option(False, "Replace a file that exists.")
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        require(
            self.kind in ("effects", "classifier"), "--kind", "effects or classifier", self.kind
        )
        require(self.most >= 100, "--most", "100 or more", self.most)


@dataclass(frozen=True, slots=True)
class ParseTrainOptions:
    """The face parser's own."""

    half: float = option(
        0.5, "Part of the updates, at the beginning, on pictures of half the size."
    )
    more: int = option(3, "So many times the batch while the pictures are of half the size.")
    rare: float = option(
        1.0,
        "How much oftener pictures with a hat, glasses or jewellery come; 0: as often as the others.",
    )

    def __post_init__(self) -> None:
        require(0 <= self.half <= 1, "--half", "within 0..1", self.half)
        require(1 <= self.more <= 16, "--more", "within 1..16", self.more)
        require(0 <= self.rare <= 10, "--rare", "within 0..10", self.rare)


@dataclass(frozen=True, slots=True)
class AtlasTrainOptions:
    """How the atlas of attributes is made: a regression, no updates."""

    persons: str = option(
        "0-5", "Last digits of the persons' numbers (identities.txt) that are learnt from."
    )
    pictures: int = option(
        10000, "The most pictures that are looked at; those that show something rare come first."
    )
    smiles: str = option(
        "",
        "A folder of pairs (index.csv: file, person, expression) whose smile takes the labels' place.",
    )
    resume: bool = option(False, "Go on with what an earlier run has measured.")
    overwrite: bool = option(False, "Begin anew in a folder that is in use.")
    smoke: bool = option(False, "A tiny trial on one photograph; needs no dataset.")
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        require(self.pictures >= 1, "--pictures", "1 or more", self.pictures)
        require(
            not (self.resume and self.overwrite), "--resume", "without --overwrite", self.resume
        )


@dataclass(frozen=True, slots=True)
class A2mTrainOptions:
    """The voice's own."""

    only: str = option("", "Learn from speakers whose name begins with this alone.")
    hold_out: str = option("", "Speakers that are kept out, with commas between.")
    focus: str = option("", "Half of the items come from speakers whose name begins with this.")
    motions: str = option(
        "",
        "Folder of the clips' motion files, made there where they are missing (default: beside the clips).",
    )
    shapes: int = option(12, "How many shapes the mouth's movement is made of.")
    drop: float = option(0.2, "Part of what the network hears that is left out while it learns.")

    def __post_init__(self) -> None:
        require(1 <= self.shapes <= 64, "--shapes", "within 1..64", self.shapes)
        require(0 <= self.drop < 1, "--drop", "0, or less than 1", self.drop)

    @property
    def held_out(self) -> tuple[str, ...]:
        """The names of `hold_out`."""
        return tuple(name.strip() for name in self.hold_out.split(",") if name.strip())


@dataclass(frozen=True, slots=True)
class FadmTrainOptions:
    """The small refiner's own."""

    only: str = option("", "Learn from speakers whose name begins with this alone.")
    hold_out: str = option("", "Speakers that are kept out, with commas between.")
    motions: str = option(
        "",
        "Folder of the clips' motion files, made there where they are missing (default: beside the clips).",
    )
    pairs: str = option("", "Folder that the pairs are kept in (default: with the clips).")
    start: str = option("", "Begin with these weights, of another run.")
    clips: int = option(24, "At most so many clips of each speaker.")
    sources: int = option(2, "Source frames of each clip, the first one among them.")
    drivers: int = option(8, "Frames that are drawn from each source.")
    untouched: float = option(
        0.25, "Part of the items that shows the refiner a true frame, which it shall leave alone."
    )
    degraded: float = option(0.3, "Part of the items whose coarse frame is made worse.")
    alone: float = option(0.15, "Part of the items that shows no source.")

    def __post_init__(self) -> None:
        for name, value in (
            ("--clips", self.clips),
            ("--sources", self.sources),
            ("--drivers", self.drivers),
        ):
            require(1 <= value <= 10000, name, "within 1..10000", value)
        require(0 <= self.alone <= 1, "--alone", "within 0..1", self.alone)
        require(0 <= self.untouched <= 1, "--untouched", "within 0..1", self.untouched)
        require(
            0 <= self.degraded <= 1 - self.untouched,
            "--degraded",
            "within 0..1, with --untouched at most 1",
            self.degraded,
        )

    @property
    def held_out(self) -> tuple[str, ...]:
        """The names of `hold_out`."""
        return tuple(name.strip() for name in self.hold_out.split(",") if name.strip())
