"""Options of a source video whose lips are spoken anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

Loop = Literal["none", "pingpong", "repeat"]


@dataclass(frozen=True, slots=True)
class FootageOptions:
    """Video as FACE."""

    still: bool = option(False, "Animate one frame of the video instead of all of it.")
    loop: Loop = option(
        "none", "Continue a video that ends before the speech: back and forth, or again and again."
    )
    pad: bool = option(
        False, "Keep the rest of the video and its own sound after the end of the speech."
    )
    place: float | None = option(
        None,
        "Time in the video in seconds at which the speech begins; all that is outside of the "
        "speech keeps its frames and its own sound.",
        "--from",
    )

    def __post_init__(self) -> None:
        require(self.place is None or self.place >= 0, "--from", "0 or more seconds", self.place)
        placed = self.place is not None or self.pad
        require(
            not (placed and self.loop != "none"), "--loop", "without --from and --pad", self.loop
        )
        require(not (self.place is not None and self.pad), "--pad", "without --from", self.pad)

    @property
    def keeps_rest(self) -> bool:
        """True when frames before and after the speech stay in the result."""
        return self.pad or self.place is not None
