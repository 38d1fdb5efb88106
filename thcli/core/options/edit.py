"""How an editor takes a face apart and puts it together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

EditSampler = Literal["ddim", "dpm++"]


@dataclass(frozen=True, slots=True)
class EditorOptions:
    """The same for the way to noise and the way back."""

    steps: int = option(100, "Network calls a frame each way; more give the unedited picture back more closely.")
    sampler: EditSampler = option("ddim", "Of the way back: ddim, or dpm++, which needs fewer steps.")

    def __post_init__(self) -> None:
        require(2 <= self.steps <= 1000, "--steps", "within 2..1000", self.steps)
        require(self.sampler in ("ddim", "dpm++"), "--sampler", "ddim or dpm++", self.sampler)
