"""Options of the diffusion editors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thcli.core.options.base import option, require

EditSampler = Literal["ddim", "dpm++"]


@dataclass(frozen=True, slots=True)
class EditorOptions:
    """Diffusion editor (dva).

    Inversion and decoding use the same settings.
    """

    steps: int | None = option(
        None,
        "Network evaluations per frame in each direction, 2..1000; more reconstruct the frame more "
        "closely (default: the editor's own).",
    )
    sampler: EditSampler | None = option(
        None,
        "Sampler of inversion and decoding; dpm++ needs fewer steps (default: the editor's own).",
    )

    def __post_init__(self) -> None:
        require(
            self.steps is None or 2 <= self.steps <= 1000, "--steps", "within 2..1000", self.steps
        )
        require(self.sampler in (None, "ddim", "dpm++"), "--sampler", "ddim or dpm++", self.sampler)


@dataclass(frozen=True, slots=True)
class RecombineOptions:
    """Recombined faces (dva).

    A diffusion autoencoder decodes a face from its identity, its motion and its background. Each of
    them can be that of the largest face of another file.
    """

    identity: Path | None = option(
        None,
        "Image or video whose face gives the identity, the mean of its frames.",
        "--identity-from",
        path="input",
    )
    motion: Path | None = option(
        None,
        "Image or video whose face gives the landmarks, at the same times.",
        "--motion-from",
        path="input",
    )
    background: Path | None = option(
        None,
        "Image or video whose noise maps x_T give background and hair, at the same times.",
        "--background-from",
        path="input",
    )

    @property
    def files(self) -> tuple[Path, ...]:
        """The given files."""
        given = (self.identity, self.motion, self.background)
        return tuple(path for path in given if path is not None)


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Text-driven editing (dva).

    `PUBLISHED_TEXT` are the settings of the published program: 5 steps, 2000 iterations, learning
    rate 0.002, weights 3, 5 (its README: 1) and 5.
    """

    steps: int = option(
        3, "Denoising steps of the first frame that the loss compares, 2..50.", "--text-steps"
    )
    iterations: int = option(60, "Updates of the identity, 1..20000.", "--iterations")
    lr: float = option(0.005, "Learning rate of these updates, up to 1.", "--text-rate")
    words_weight: float = option(3.0, "Weight of the text loss, 0..1000.", "--weight-words")
    identity_weight: float = option(1.0, "Weight of the identity loss, 0..1000.", "--keep-identity")
    pixels_weight: float = option(1.0, "Weight of the pixel loss, 0..1000.", "--weight-pixels")

    def __post_init__(self) -> None:
        require(2 <= self.steps <= 50, "--text-steps", "within 2..50", self.steps)
        require(1 <= self.iterations <= 20_000, "--iterations", "within 1..20000", self.iterations)
        require(0 < self.lr <= 1, "--text-rate", "more than 0, up to 1", self.lr)
        for name, value in (
            ("--weight-words", self.words_weight),
            ("--keep-identity", self.identity_weight),
            ("--weight-pixels", self.pixels_weight),
        ):
            require(0 <= value <= 1000, name, "within 0..1000", value)


PUBLISHED_TEXT = TextOptions(5, 2000, 0.002, 3.0, 5.0, 5.0)
