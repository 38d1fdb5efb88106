"""Options of the trainings of the small models that come with the package."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from thcli.core.options.base import comma_words, option, require
from thcli.core.options.run import RunOptions

TeacherInput = Literal["imagenet", "arcface"]
DirectionKind = Literal["effects", "classifier"]
RemoverNetwork = Literal["worn", "makeup"]


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
class DvaTrainOptions(LabelledTrainOptions):
    """Editor dva-s."""

    start: str = option(
        "",
        "Initial weights, from another run, also of another size: kernels of patches are resized, "
        "and what else does not fit begins as without.",
        path="input",
    )


@dataclass(frozen=True, slots=True)
class DvaPublishedTrainOptions(LabelledTrainOptions):
    """Editor dva as published."""

    regularisation: bool = option(
        True,
        "Also compare the images that two noises predict, within the face.",
        "--reg/--no-reg",
    )


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
    """Removers."""

    persons: str = option(
        "0-5", "Train on persons whose number (identities.txt) ends in one of these digits."
    )
    pictures: int = option(
        1500, "Most bare faces to paint; a third as many wear glasses, half as many beards."
    )
    pairs: str = option(
        "", "Folder of the painted faces (default: removers/ in the dataset).", path="input"
    )
    start: str = option(
        "", "Initial weights and prior of bare faces, from another run.", path="input"
    )
    network: RemoverNetwork = option(
        "worn", "Network to train; the other stays as --start has it. worn: glasses, beards."
    )

    def __post_init__(self) -> None:
        require(self.pictures >= 1, "--pictures", "1 or more", self.pictures)


@dataclass(frozen=True, slots=True)
class SpeakerTrainOptions:
    """Talking clips."""

    only: str = option("", "Train only on speakers whose name begins with this.")
    hold_out: str = option("", "Speakers excluded from training, separated by commas.")
    motions: str = option(
        "",
        "Folder of the motion files of the clips; missing ones are written (default: beside the "
        "clips).",
        path="input",
    )

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names in `hold_out`."""
        return comma_words(self.hold_out)


@dataclass(frozen=True, slots=True)
class PairTrainOptions(SpeakerTrainOptions):
    """Pairs of a source and its driven frames."""

    pairs: str = option("", "Folder of the training pairs (default: with the clips).", path="input")
    start: str = option("", "Initial weights, from another run.", path="input")
    clips: int = option(24, "Most clips per speaker, 1..10000.")
    sources: int = option(2, "Source frames per clip, 1..10000.")
    drivers: int = option(8, "Driving frames per source frame, 1..10000.")

    def __post_init__(self) -> None:
        for name, value in (
            ("--clips", self.clips),
            ("--sources", self.sources),
            ("--drivers", self.drivers),
        ):
            require(1 <= value <= 10000, name, "within 1..10000", value)


@dataclass(frozen=True, slots=True)
class A2mTrainOptions(SpeakerTrainOptions):
    """Voice a2m."""

    tune: str = option(
        "",
        "Speakers from whom amplitudes are set, separated by commas; no item is drawn from them "
        "(default: those of the training).",
    )
    shapes: int = option(12, "Number of mouth blendshapes, 1..64.")
    drop: float = option(0.2, "Dropout of the audio features, 0 or more and less than 1.")
    width: float = option(
        0.8,
        "Most variation of the lips' width over that of the speakers of --tune, above 0: the "
        "opening widens them too.",
    )

    def __post_init__(self) -> None:
        require(1 <= self.shapes <= 64, "--shapes", "within 1..64", self.shapes)
        require(0 <= self.drop < 1, "--drop", "0, or less than 1", self.drop)
        require(self.width > 0, "--width", "above 0", self.width)

    @property
    def tuned(self) -> tuple[str, ...]:
        """Names in `tune`."""
        return comma_words(self.tune)


@dataclass(frozen=True, slots=True)
class A2mPublishedTrainOptions(SpeakerTrainOptions):
    """Voice real3d as published."""

    laplacian: bool = option(
        True,
        "Also limit the second differences of the expressions over time.",
        "--laplacian/--no-laplacian",
    )
    lip_loss: bool = option(
        True, "Let points of the lips count five times.", "--lip-loss/--no-lip-loss"
    )


@dataclass(frozen=True, slots=True)
class FadmTrainOptions(PairTrainOptions):
    """Refiner fadm-s."""

    untouched: float = option(
        0.25, "Share of the items with a camera frame, to be left unchanged, 0..1."
    )
    degraded: float = option(0.3, "Share of the items with a degraded coarse frame, 0..1.")
    alone: float = option(0.15, "Share of the items without a source image, 0..1.")

    def __post_init__(self) -> None:
        super(FadmTrainOptions, self).__post_init__()
        require(0 <= self.alone <= 1, "--alone", "within 0..1", self.alone)
        require(0 <= self.untouched <= 1, "--untouched", "within 0..1", self.untouched)
        require(
            0 <= self.degraded <= 1 - self.untouched,
            "--degraded",
            "within 0..1, with --untouched at most 1",
            self.degraded,
        )


@dataclass(frozen=True, slots=True)
class ResshiftTrainOptions(PairTrainOptions):
    """Refiner resshift-s."""


@dataclass(frozen=True, slots=True)
class FadmPublishedTrainOptions(PairTrainOptions):
    """Refiner fadm as published."""

    colour_alignment: bool = option(
        True,
        "Give the true frame's colours in training, and align the coarse frame's with them.",
        "--colour-alignment/--no-colour-alignment",
    )
    motion_weights: bool = option(
        True,
        "Weight the coarse frame's resolutions by the change of expression and pose; else by the "
        "step alone.",
        "--motion-weights/--no-motion-weights",
    )


@dataclass(frozen=True, slots=True)
class PatchTrainOptions(PairTrainOptions):
    """Eye patches."""

    photographs: str = option(
        "", "Folder of photographs of one face each, trained on as well.", path="input"
    )
    clips: int = option(12, "Most clips per speaker, 1..10000.")
    steady: float = option(0.5, "Weight of the change from frame to frame, 0..10.")
    adversarial: float = option(0.02, "Weight of the discriminator, 0..1; 0: none.")

    def __post_init__(self) -> None:
        super(PatchTrainOptions, self).__post_init__()
        require(0 <= self.steady <= 10, "--steady", "within 0..10", self.steady)
        require(0 <= self.adversarial <= 1, "--adversarial", "within 0..1", self.adversarial)


@dataclass(frozen=True, slots=True)
class MouthTrainOptions:
    """Insides of mouths."""

    pairs: str = option(
        "", "Folder of the training pairs (default: with the photographs).", path="input"
    )
    start: str = option("", "Initial weights, from another run.", path="input")
    adversarial: float = option(0.03, "Weight of the discriminator, 0..1.")

    def __post_init__(self) -> None:
        require(0 <= self.adversarial <= 1, "--adversarial", "within 0..1", self.adversarial)
