"""How an editor takes a face apart and puts it together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

EditSampler = Literal["ddim", "dpm++"]


@dataclass(frozen=True, slots=True)
class EditorOptions:
    """The same for the way to noise and the way back."""

    steps: int | None = option(
        None,
        "Network calls a frame each way; more give the unedited picture back more closely (default: the editor's own).",
    )
    sampler: EditSampler | None = option(
        None,
        "How frames go to noise and back: ddim, or dpm++, which needs fewer steps (default: the editor's own).",
    )

    def __post_init__(self) -> None:
        require(
            self.steps is None or 2 <= self.steps <= 1000, "--steps", "within 2..1000", self.steps
        )
        require(self.sampler in (None, "ddim", "dpm++"), "--sampler", "ddim or dpm++", self.sampler)


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How an edit is learnt from words. The published program's: 5 steps, 2000 iterations, rate 0.002, weights 3, 5 (its README: 1) and 5."""

    steps: int = option(
        3, "Pictures of the first frame on its way out of noise that are compared.", "--text-steps"
    )
    iterations: int = option(60, "Updates of the identity.", "--iterations")
    lr: float = option(0.005, "Their rate.", "--text-rate")
    words_weight: float = option(3.0, "Weight of the words in the loss.", "--weight-words")
    identity_weight: float = option(
        1.0, "Weight of staying the same person in an edit by words.", "--keep-identity"
    )
    pixels_weight: float = option(1.0, "Weight of staying the same pixels.", "--weight-pixels")

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
