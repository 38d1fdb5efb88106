"""Options of refinement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

RefineSampler = Literal["auto", "ddim", "ddpm", "dpm++"]
RefineNoise = Literal["shared", "frame"]
RefineBackground = Literal["keep", "refine"]


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """Sampling of fadm, resshift-s.

    An option that is not given is chosen by the refiner.
    """

    steps: int | None = option(
        None,
        "Network evaluations per frame: fadm 2 or more (default: 100), resshift-s 1 to 50 (1).",
    )
    sampler: RefineSampler = option("auto", "Diffusion sampler of fadm; auto: its own.")
    eta: float | None = option(
        None,
        "fadm: noise added in each step of ddim, 0 none, 1 as in ddpm (default: its own).",
    )
    strength: float | None = option(
        None,
        "fadm: noise level of the start, up to 1: 1 starts from pure noise, less from the noised "
        "coarse frame (default: its own).",
    )
    noise: RefineNoise = option(
        "shared", "shared: the same noise for all frames, without flicker; frame: noise per frame."
    )

    fidelity: float | None = option(
        None,
        "gfpgan, codeformer, restoreformer: 0 shows the restored face, 1 keeps the frame's light "
        "and features (default: 0.5).",
    )

    def __post_init__(self) -> None:
        require(
            self.fidelity is None or 0 <= self.fidelity <= 1,
            "--fidelity",
            "within 0..1",
            self.fidelity,
        )
        require(self.steps is None or self.steps >= 1, "--steps", "1 or more", self.steps)
        require(
            self.sampler in ("auto", "ddim", "ddpm", "dpm++"),
            "--sampler",
            "auto, ddim, ddpm or dpm++",
            self.sampler,
        )
        require(self.eta is None or 0 <= self.eta <= 1, "--eta", "within 0..1", self.eta)
        require(
            self.eta is None or self.sampler in ("auto", "ddim"),
            "--sampler",
            "ddim with --eta",
            self.sampler,
        )
        require(
            self.strength is None or 0 < self.strength <= 1,
            "--strength",
            "more than 0, up to 1",
            self.strength,
        )
        require(self.noise in ("shared", "frame"), "--noise", "shared or frame", self.noise)


@dataclass(frozen=True, slots=True)
class CompositingOptions:
    """Refinement compositing."""

    detail: bool = option(
        True,
        "Add only the change, so that the texture of the frame is kept; else show the pixels of "
        "the refined crop.",
        "--detail/--no-detail",
    )
    background: RefineBackground = option(
        "refine",
        "refine: change all of the crop; keep: change only the person and a rim around it.",
    )
    parser: str = option("auto", "Face parser that segments the person (thcli list parser).")
    temporal_smoothing: bool = option(
        True,
        "Smooth the change over time along the optical flow.",
        "--temporal-smoothing/--no-temporal-smoothing",
    )

    source_detail: bool = option(
        True,
        "Add the fine detail of the source, or of the clip's sharpest frame, where the frame lacks "
        "it.",
        "--source-detail/--no-source-detail",
    )

    def __post_init__(self) -> None:
        require(
            self.background in ("keep", "refine"), "--background", "keep or refine", self.background
        )
