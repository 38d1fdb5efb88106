"""Options of data preparation and training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from thcli.core.options.base import comma_words, option, require
from thcli.core.options.faces import FindOptions
from thcli.core.options.run import Precision, RunOptions

Perceptual = Literal["auto", "vgg19", "pyramid"]
SpadeChoice = Literal["original", "spade"]
TeacherInput = Literal["imagenet", "arcface"]
DirectionKind = Literal["effects", "classifier"]
PatchPart = Literal["both", "eyes", "mouth"]


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Data preparation."""

    size: int = option(256, "Side of the clips in pixels, even, 16..1024.")
    scale: float = option(
        1.6, "Crop side: extent of all face positions plus (scale - 1) face sides, 1..4."
    )
    min_frames: int = option(48, "Least frames of a clip, 2 or more.")
    max_frames: int = option(1024, "Most frames of a clip; longer ones are split.")
    min_face: float = option(64.0, "Least size of a face in pixels, 8 or more.")
    move: float = option(
        0.25,
        "Least IoU of the face with its first position, 0..1; below it a new clip begins.",
    )
    crf: float = option(12.0, "H.264 quality of the clips, 0..51, lower is better.")
    audio: bool = option(True, "Keep the audio of each clip.", "--audio/--no-audio")
    overwrite: bool = option(False, "Discard an earlier run in the output folder.")
    resume: bool = option(False, "Continue an earlier run, and add new videos.")
    find: FindOptions = field(default_factory=FindOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, "Report the clips that would be made; write nothing.")

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
    """Training.

    An option that is not given has the published value.
    """

    steps: int | None = option(None, "Number of updates (default: by --epochs).")
    epochs: float | None = option(None, "Passes over the data (default: as in the paper).")
    batch: int | None = option(None, "Items per batch (default: as in the paper).")
    lr: float | None = option(None, "Learning rate (default: as in the paper).")
    size: int = option(0, "Side of the images in pixels, 16..1024; 0: as the network requires.")
    narrow: int = option(
        1,
        "Divisor of all channel widths, 1, 2, 4, 8 or 16; engines load 1 only (not real3d, "
        "x2face).",
    )
    seed: int = option(0, "Random seed; the same seed gives the same losses.")
    precision: Precision = option(
        "auto", "fp16 and bf16 are mixed precision; auto: bf16 or fp16 on CUDA, else fp32."
    )
    ema: float = option(
        0.999, "Decay of the averaged weights that are exported; 0: export the last weights."
    )
    perceptual: Perceptual = option(
        "auto",
        "Perceptual loss. vgg19: as published; pyramid: pixels and gradients; auto: vgg19 if its "
        "weights are installed.",
    )
    flip: bool = option(True, "Mirror half of the items.", "--flip/--no-flip")
    jitter: float = option(
        0.1, "Largest change of brightness, contrast, saturation and hue, 0..0.5."
    )
    every: int = option(50, "Updates between log lines.")
    save: int = option(1000, "Updates between checkpoints.")
    samples: int = option(500, "Updates between sample images; 0: none.")
    device: str = option("auto", "Device: auto, cpu, cuda, cuda:N or mps.")
    threads: int = option(0, "Threads for computation and for reading clips; 0: one per core.")
    resume: bool = option(False, "Continue from the last checkpoint of the run.")
    overwrite: bool = option(False, "Discard an earlier run in the output folder.")
    smoke: bool = option(False, "Run a small trial on generated data; no dataset is needed.")
    offline: bool = option(False, "Do not access the internet.")

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
    """First-order model."""

    adversarial: bool = option(
        False, "Train with a discriminator (vox-adv) instead of without (vox).", "--adversarial"
    )


@dataclass(frozen=True, slots=True)
class FaceVid2VidTrainOptions:
    """face vid2vid."""

    generator: SpadeChoice = option(
        "original", "Generator: the default of the reference, or its SPADE generator."
    )


@dataclass(frozen=True, slots=True)
class Real3dTrainOptions:
    """Real3D-Portrait."""

    start: str = option(
        "", "Initial weights, from a run of this or the earlier stage.", path="input"
    )
    adversarial_after: int | None = option(
        None,
        "Updates before the discriminator counts (default: as published: planes 30000, "
        "adapter 250000, torso 40000).",
    )

    def __post_init__(self) -> None:
        require(
            self.adversarial_after is None or self.adversarial_after >= 0,
            "--adversarial-after",
            "0 or more",
            self.adversarial_after,
        )


@dataclass(frozen=True, slots=True)
class DiffusedHeadsTrainOptions:
    """Diffused Heads."""

    grey: bool = option(False, "Use greyscale motion frames, as for LRW.", "--grey")


@dataclass(frozen=True, slots=True)
class X2FaceTrainOptions:
    """X2Face."""

    views: int = option(1, "Source frames per item, 1..8.")
    identity: float = option(
        0.0,
        "Weight of the identity losses (second stage of the paper); 0: first stage, as the "
        "published script.",
    )
    start: str = option("", "Initial weights, x2face.safetensors of another run.", path="input")

    def __post_init__(self) -> None:
        require(1 <= self.views <= 8, "--views", "within 1..8", self.views)
        require(self.identity >= 0, "--identity", "0 or more", self.identity)


@dataclass(frozen=True, slots=True)
class X2FaceMapTrainOptions:
    """Maps of X2Face."""

    start: str = option(
        "",
        "Weights whose codes are mapped, x2face.safetensors of a run (default: those installed).",
        path="input",
    )


@dataclass(frozen=True, slots=True)
class IdentityTrainOptions:
    """Identity network."""

    teacher: str = option(
        "", "Teacher network for distillation: ONNX, (N, 3, 112, 112) RGB to (N, D)."
    )
    teacher_input: TeacherInput = option(
        "imagenet", "Input of the teacher. imagenet: ImageNet mean and deviation; arcface: -1..1."
    )
    hints: bool = option(True, "Also distil the teacher's feature maps.", "--hints/--no-hints")
    start: str = option("", "Initial weights, from another run.", path="input")
    margin: float = option(0.35, "Angular margin between persons in radians, 0..1.")
    gentle: float = option(0.75, "Share of the updates with weak augmentation and hints, 0..1.")

    def __post_init__(self) -> None:
        require(0 <= self.margin <= 1, "--margin", "within 0..1", self.margin)
        require(0 <= self.gentle <= 1, "--gentle", "within 0..1", self.gentle)


@dataclass(frozen=True, slots=True)
class LabelledTrainOptions:
    """Labelled faces."""

    persons: str = option("0-5", "Train on persons whose number ends in one of these digits.")


@dataclass(frozen=True, slots=True)
class JudgeTrainOptions(LabelledTrainOptions):
    """Judge network.

    Its persons are disjoint from those that editors learn from.
    """

    persons: str = option("6-8", "Train on persons whose number ends in one of these digits.")


@dataclass(frozen=True, slots=True)
class AttributeTrainOptions:
    """Attribute directions."""

    editor: str = option("dva-s", "Editor of the identity space: dva-s or dva.")
    kind: DirectionKind = option(
        "effects",
        "effects: effect of an attribute with the others held fixed; classifier: as published.",
    )
    apart: str = option(
        "Male,Young,Eyeglasses,Smiling",
        "Attributes that the other directions keep unchanged, separated by commas.",
    )
    persons: str = option("0-5", "Train on persons whose number ends in one of these digits.")
    tested: str = option("9", "Test on persons whose number ends in one of these digits.")
    most: int = option(8000, "Most training images, 100 or more.")
    overwrite: bool = option(False, "Replace an existing file.")
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        require(
            self.kind in ("effects", "classifier"), "--kind", "effects or classifier", self.kind
        )
        require(self.most >= 100, "--most", "100 or more", self.most)


@dataclass(frozen=True, slots=True)
class ParseTrainOptions:
    """Face parser."""

    half: float = option(
        0.5, "Share of the updates, at the beginning, on images of half the size, 0..1."
    )
    more: int = option(3, "Factor of the batch size while images are of half the size, 1..16.")
    rare: float = option(
        1.0,
        "Oversampling of images with a hat, glasses or jewellery, 0..10; 0: none.",
    )

    def __post_init__(self) -> None:
        require(0 <= self.half <= 1, "--half", "within 0..1", self.half)
        require(1 <= self.more <= 16, "--more", "within 1..16", self.more)
        require(0 <= self.rare <= 10, "--rare", "within 0..10", self.rare)


@dataclass(frozen=True, slots=True)
class AtlasTrainOptions:
    """Attribute atlas.

    The atlas is a regression; there are no updates.
    """

    persons: str = option(
        "0-5", "Train on persons whose number (identities.txt) ends in one of these digits."
    )
    pictures: int = option(10000, "Most images to measure; those with rare attributes come first.")
    smiles: str = option(
        "",
        "Folder of image pairs (index.csv: file, person, expression) that replaces the labels of "
        "smiles.",
        path="input",
    )
    resume: bool = option(False, "Continue with the measurements of an earlier run.")
    overwrite: bool = option(False, "Discard an earlier run in the output folder.")
    smoke: bool = option(False, "Run a small trial on one photograph; no dataset is needed.")
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        require(self.pictures >= 1, "--pictures", "1 or more", self.pictures)
        require(
            not (self.resume and self.overwrite), "--resume", "without --overwrite", self.resume
        )


@dataclass(frozen=True, slots=True)
class RemoverTrainOptions:
    """Remover of glasses, beards and make-up."""

    persons: str = option(
        "0-5", "Train on persons whose number (identities.txt) ends in one of these digits."
    )
    pictures: int = option(1500, "Most bare faces to paint; a third as many wear glasses, beards.")
    pairs: str = option(
        "", "Folder of the painted faces (default: removers/ in the dataset).", path="input"
    )

    def __post_init__(self) -> None:
        require(self.pictures >= 1, "--pictures", "1 or more", self.pictures)


@dataclass(frozen=True, slots=True)
class A2mTrainOptions:
    """Voice a2m."""

    only: str = option("", "Train only on speakers whose name begins with this.")
    hold_out: str = option("", "Speakers excluded from training, separated by commas.")
    tune: str = option(
        "",
        "Speakers from whom amplitudes are set, separated by commas; no item is drawn from them "
        "(default: those of the training).",
    )
    motions: str = option(
        "",
        "Folder of the motion files of the clips; missing ones are written (default: beside the "
        "clips).",
        path="input",
    )
    shapes: int = option(12, "Number of mouth blendshapes, 1..64.")
    drop: float = option(0.2, "Dropout of the audio features, 0 or more and less than 1.")

    def __post_init__(self) -> None:
        require(1 <= self.shapes <= 64, "--shapes", "within 1..64", self.shapes)
        require(0 <= self.drop < 1, "--drop", "0, or less than 1", self.drop)

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names in `hold_out`."""
        return comma_words(self.hold_out)

    @property
    def tuned(self) -> tuple[str, ...]:
        """Names in `tune`."""
        return comma_words(self.tune)


@dataclass(frozen=True, slots=True)
class FadmTrainOptions:
    """Refiner fadm-s."""

    only: str = option("", "Train only on speakers whose name begins with this.")
    hold_out: str = option("", "Speakers excluded from training, separated by commas.")
    motions: str = option(
        "",
        "Folder of the motion files of the clips; missing ones are written (default: beside the "
        "clips).",
        path="input",
    )
    pairs: str = option("", "Folder of the training pairs (default: with the clips).", path="input")
    start: str = option("", "Initial weights, from another run.", path="input")
    clips: int = option(24, "Most clips per speaker, 1..10000.")
    sources: int = option(2, "Source frames per clip, the first frame included, 1..10000.")
    drivers: int = option(8, "Driving frames per source frame, 1..10000.")
    untouched: float = option(
        0.25, "Share of the items with a camera frame, to be left unchanged, 0..1."
    )
    degraded: float = option(0.3, "Share of the items with a degraded coarse frame, 0..1.")
    alone: float = option(0.15, "Share of the items without a source image, 0..1.")

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
        """Names in `hold_out`."""
        return comma_words(self.hold_out)


@dataclass(frozen=True, slots=True)
class PatchTrainOptions:
    """Eye and mouth patches."""

    only: str = option("", "Train only on speakers whose name begins with this.")
    hold_out: str = option("", "Speakers excluded from training, separated by commas.")
    photographs: str = option(
        "", "Folder of photographs of one face each, trained on as well.", path="input"
    )
    motions: str = option(
        "",
        "Folder of the motion files of the clips; missing ones are written (default: beside the "
        "clips).",
        path="input",
    )
    pairs: str = option("", "Folder of the training pairs (default: with the clips).", path="input")
    start: str = option("", "Initial weights, from another run.", path="input")
    clips: int = option(12, "Most clips per speaker, 1..10000.")
    sources: int = option(2, "Source frames per clip, 1..10000.")
    drivers: int = option(8, "Driving frames per source frame, 1..10000.")
    part: PatchPart = option(
        "both", "Network to train; the other one stays as initialised or in --start."
    )
    steady: float = option(0.5, "Weight of the change from frame to frame, 0..10.")
    adversarial: float = option(0.02, "Weight of the discriminator, 0..1; 0: none.")

    def __post_init__(self) -> None:
        for name, value in (
            ("--clips", self.clips),
            ("--sources", self.sources),
            ("--drivers", self.drivers),
        ):
            require(1 <= value <= 10000, name, "within 1..10000", value)
        require(0 <= self.steady <= 10, "--steady", "within 0..10", self.steady)
        require(0 <= self.adversarial <= 1, "--adversarial", "within 0..1", self.adversarial)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the networks that are trained."""
        return ("eyes", "mouth") if self.part == "both" else (self.part,)

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names in `hold_out`."""
        return comma_words(self.hold_out)
