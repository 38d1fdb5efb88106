"""What is heard, and how a face says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.core.options.base import option, require


@dataclass(frozen=True, slots=True)
class AudioOptions:
    """What is heard of a sound."""

    start: float = option(0.0, "Begin this many seconds into the sound.", "--audio-start")
    end: float | None = option(
        None, "End this many seconds into the sound (default: its end).", "--audio-end"
    )
    level: bool = option(
        True, "Bring the speech to one loudness before it is listened to.", "--level/--no-level"
    )
    loudness: float = option(-23.0, "That loudness in LUFS.")

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
    """How a face says what is heard."""

    pose: str = option(
        "natural", "Of the head: natural, still, or a motion file whose head is taken."
    )
    blink: str = option("auto", "auto, none, or blinks a minute.")
    mouth: float = option(1.0, "How far the mouth opens: 0 not at all, 1 as learnt, up to 3.")
    temperature: float | None = option(
        None,
        "How lively: 0 the likeliest motion, 1 as varied as learnt (default: the voice's own).",
    )

    def __post_init__(self) -> None:
        require(0 <= self.mouth <= 3, "--mouth", "within 0..3", self.mouth)
        require(
            self.temperature is None or 0 <= self.temperature <= 2,
            "--temperature",
            "within 0..2",
            self.temperature,
        )
        self.blinks_a_minute(0)

    def blinks_a_minute(self, usual: float) -> float:
        """What --blink asks for; usual: what auto stands for."""
        if self.blink in ("auto", "none"):
            return usual if self.blink == "auto" else 0.0
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
        """The motion file that --pose names."""
        return None if self.pose in ("natural", "still") else Path(self.pose)
