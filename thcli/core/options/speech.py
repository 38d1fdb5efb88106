"""Options of speech input and of voices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.core.options.base import option, require


@dataclass(frozen=True, slots=True)
class AudioOptions:
    """Speech input."""

    start: float = option(0.0, "Start of the speech in seconds.", "--audio-start")
    end: float | None = option(
        None, "End of the speech in seconds (default: the end of the input).", "--audio-end"
    )
    level: bool = option(True, "Normalise the loudness of the speech.", "--level/--no-level")
    loudness: float = option(-23.0, "Target loudness in LUFS, -60..-5.")

    def __post_init__(self) -> None:
        require(self.start >= 0, "--audio-start", "0 or more seconds", self.start)
        require(
            self.end is None or self.end > self.start,
            "--audio-end",
            "after --audio-start",
            self.end,
        )
        require(-60 <= self.loudness <= -5, "--loudness", "within -60..-5 LUFS", self.loudness)


@dataclass(frozen=True, slots=True)
class VoiceOptions:
    """Speaking style."""

    pose: str = option(
        "natural",
        "Head motion: natural, still, or a motion file to take it from (voices a2m, dh-s).",
        path="input",
    )
    blink: str = option(
        "auto", "Blinks: auto, none, or a rate per minute, 0..120 (voices a2m, dh-s, real3d)."
    )
    mouth: float = option(
        1.0, "Gain of the mouth opening, 0..3: 1 is as trained (voices a2m, dh-s, real3d)."
    )
    temperature: float | None = option(
        None,
        "Variation of the motion, 0..2: 0 the most likely, 1 as trained (voices a2m, dh-s, real3d; "
        "default: by voice).",
    )

    def __post_init__(self) -> None:
        require(0 <= self.mouth <= 3, "--mouth", "within 0..3", self.mouth)
        require(
            self.temperature is None or 0 <= self.temperature <= 2,
            "--temperature",
            "within 0..2",
            self.temperature,
        )
        self.blinks_per_minute(0)

    def blinks_per_minute(self, default: float) -> float:
        """Return the rate of --blink per minute; `default` is the rate of auto."""
        if self.blink in ("auto", "none"):
            return default if self.blink == "auto" else 0.0
        try:
            rate = float(self.blink)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= 120:
            raise UsageError(
                f"--blink must be auto, none or a number within 0..120, not {self.blink!r}."
            )
        return rate

    @property
    def pose_file(self) -> Path | None:
        """Motion file of --pose, None for the named values."""
        return None if self.pose in ("natural", "still") else Path(self.pose)
