"""Options of data preparation and training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from thcli.core.errors import UsageError
from thcli.core.options.base import option, require, require_seed
from thcli.core.options.faces import FindOptions
from thcli.core.options.run import Precision, RunOptions

Perceptual = Literal["auto", "vgg19", "pyramid"]
SpadeChoice = Literal["original", "spade"]


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
        "Divisor of all channel widths, 1, 2, 4, 8 or 16; reenactment engines load any, other "
        "models 1 only.",
    )
    seed: int = option(0, "Random seed, 0..4294967295; the same seed gives the same losses.")
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
        require_seed(self.seed)
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
    jacobians: bool = option(
        True,
        "Learn local affine maps of the keypoints; else neighbourhoods only shift.",
        "--jacobians/--no-jacobians",
    )
    jacobian_loss: bool = option(
        True, "Train the local maps for equivariance.", "--jacobian-loss/--no-jacobian-loss"
    )
    occlusion: bool = option(
        True, "Learn what the source does not show.", "--occlusion/--no-occlusion"
    )
    scales: int = option(4, "Scales of the perceptual loss, 1..4.")

    def __post_init__(self) -> None:
        require(1 <= self.scales <= 4, "--scales", "within 1..4", self.scales)
        if not (self.jacobians or self.jacobian_loss):
            raise UsageError(
                "--no-jacobian-loss has no effect with --no-jacobians: no local map is trained.",
                "Leave one of the two out.",
            )


@dataclass(frozen=True, slots=True)
class MonkeyNetTrainOptions:
    """Monkey-Net."""

    residual: bool = option(
        True,
        "Learn a correction of the keypoints' motion, pixel by pixel.",
        "--residual/--no-residual",
    )
    masks: bool = option(
        True, "Move the surroundings of the keypoints with them.", "--masks/--no-masks"
    )
    embedded_image: bool = option(
        True,
        "Show the source, moved by each keypoint, to the network of the dense motion.",
        "--embedded-image/--no-embedded-image",
    )

    def __post_init__(self) -> None:
        if not (self.residual or self.masks or self.embedded_image):
            raise UsageError(
                "--no-embedded-image has no effect with --no-masks and --no-residual: no dense "
                "motion is trained.",
                "Leave one of the three out.",
            )


@dataclass(frozen=True, slots=True)
class FaceVid2VidTrainOptions:
    """face vid2vid."""

    generator: SpadeChoice = option(
        "original", "Generator: the default of the reference, or its SPADE generator."
    )
    keypoints: int = option(15, "Number of keypoints, 1..15.")

    def __post_init__(self) -> None:
        require(1 <= self.keypoints <= 15, "--keypoints", "within 1..15", self.keypoints)


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
class Real3dAdapterTrainOptions(Real3dTrainOptions):
    """Real3D-Portrait's motion adapter."""

    laplacian: bool = option(
        True,
        "Keep the planes steady under noise and halfway between two expressions.",
        "--laplacian/--no-laplacian",
    )


@dataclass(frozen=True, slots=True)
class DiffusedHeadsTrainOptions:
    """Diffused Heads."""

    grey: bool = option(False, "Use greyscale motion frames, as for LRW.", "--grey")
    lip_loss: bool = option(
        True, "Weigh errors at the lips more than others.", "--lip-loss/--no-lip-loss"
    )
    motion_frames: bool = option(
        True, "Show the network the previous frames.", "--motion-frames/--no-motion-frames"
    )

    def __post_init__(self) -> None:
        if self.grey and not self.motion_frames:
            raise UsageError(
                "--grey has no effect with --no-motion-frames: no motion frame is read.",
                "Leave one of the two out.",
            )


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
    skips: bool = option(
        True, "Give the embedding network its skip connections.", "--skips/--no-skips"
    )

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
