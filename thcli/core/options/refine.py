"""How a refiner makes a coarse picture better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

RefineSampler = Literal["auto", "ddim", "ddpm", "dpm++"]
RefineNoise = Literal["shared", "frame"]
RefineBackground = Literal["keep", "refine"]


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """What is not given is the refiner's own choice."""

    steps: int | None = option(None, "Network calls a frame (default: the refiner's own).")
    sampler: RefineSampler = option("auto", "ddim, ddpm or dpm++; auto: the refiner's own.")
    eta: float | None = option(
        None,
        "Fresh noise in each step of ddim, 0 none to 1 as much as ddpm (default: the refiner's own).",
    )
    strength: float | None = option(
        None,
        "How far from the coarse frame it begins: 1 with noise alone, less with the coarse frame under that share of it (default: the refiner's own).",
    )
    noise: RefineNoise = option(
        "shared", "shared: the same noise for every frame, which is steady; frame: each its own."
    )

    def __post_init__(self) -> None:
        require(self.steps is None or self.steps >= 2, "--steps", "2 or more", self.steps)
        require(
            self.sampler in ("auto", "ddim", "ddpm", "dpm++"),
            "--sampler",
            "auto, ddim, ddpm or dpm++",
            self.sampler,
        )
        require(self.eta is None or 0 <= self.eta <= 1, "--eta", "within 0..1", self.eta)
        require(
            self.strength is None or 0 < self.strength <= 1,
            "--strength",
            "above 0, to 1",
            self.strength,
        )
        require(self.noise in ("shared", "frame"), "--noise", "shared or frame", self.noise)


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """How what a refiner changed goes back into the frames."""

    detail: bool = option(
        True,
        "Carry the change alone, so that the frame's own texture stays; else the refined crop's pixels are shown.",
        "--detail/--no-detail",
    )
    background: RefineBackground = option(
        "refine",
        "refine: all of the crop; keep: only the person changes, and a rim around, into which its outline may move.",
    )
    parser: str = option(
        "auto", "Backend that tells the person from the background (thcli list parser)."
    )
    calm: bool = option(
        True, "Calm the change in time, along the picture's own motion.", "--calm/--no-calm"
    )

    def __post_init__(self) -> None:
        require(
            self.background in ("keep", "refine"), "--background", "keep or refine", self.background
        )
