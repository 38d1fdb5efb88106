"""Options of speech input and of voices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from thcli.core.errors import UsageError
from thcli.core.expressions import MAX_GAZE, MAX_STRENGTH
from thcli.core.options.base import option, require

VoiceSampler = Literal["auto", "ddim", "ddpm", "dpm++"]
EMOTIONS = ("neutral", "happy", "sad", "angry", "surprised")


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
class DiffusionVoiceOptions:
    """Diffused Heads.

    An option that is not given has the published value, or that of the checkpoint.
    """

    steps: int | None = option(
        None, "Network evaluations per frame, 2 or more (default: diffused-heads 100, dh-s 2)."
    )
    sampler: VoiceSampler = option(
        "auto", "Diffusion sampler; auto: ddpm as published, dpm++ for dh-s."
    )
    motion_frames: int | None = option(
        None, "Previous frames that a checkpoint of your own takes, 1..16 (default: inferred)."
    )
    grey: bool = option(False, "A checkpoint of your own takes grey previous frames.", "--grey")

    def __post_init__(self) -> None:
        require(self.steps is None or self.steps >= 2, "--steps", "2 or more", self.steps)
        known = get_args(VoiceSampler)
        require(self.sampler in known, "--sampler", f"one of {', '.join(known)}", self.sampler)
        frames = self.motion_frames
        require(frames is None or 1 <= frames <= 16, "--motion-frames", "within 1..16", frames)


@dataclass(frozen=True, slots=True)
class VoiceOptions:
    """Speaking style."""

    pose: str = option(
        "natural",
        "Head motion: natural, still, or a motion file to take it from (voices a2m, dh-s).",
        path="input",
        words="natural|still",
    )
    blink: str = option(
        "auto", "Blinks: auto, none, or a rate per minute, 0..120 (voices a2m, dh-s, real3d)."
    )
    gaze: str = option(
        "natural",
        "Gaze: natural; camera, held on the viewer; or X,Y, degrees to the image's right and down "
        "from the portrait's own, within 30 and 15 (voices a2m).",
    )
    emotion: str = option(
        "neutral",
        "Expression while speaking: neutral, happy, sad, angry or surprised, at strength 1; or "
        "with a strength 0..1.5 as happy:0.6 (voices a2m).",
    )
    mouth: float = option(
        1.0, "Gain of the mouth opening, 0..3: 1 is as trained (voices a2m, dh-s, real3d, x2face)."
    )
    temperature: float | None = option(
        None,
        "Variation of the motion, 0..2: 0 the most likely, 1 as trained (voices a2m, dh-s, real3d; "
        "default: by voice).",
    )
    diffusion: DiffusionVoiceOptions = field(default_factory=DiffusionVoiceOptions)

    def __post_init__(self) -> None:
        require(0 <= self.mouth <= 3, "--mouth", "within 0..3", self.mouth)
        require(
            self.temperature is None or 0 <= self.temperature <= 2,
            "--temperature",
            "within 0..2",
            self.temperature,
        )
        self.blinks_per_minute(0)
        _ = self.gaze_degrees, self.emotion_strength

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
    def gaze_degrees(self) -> tuple[float, float]:
        """Direction of --gaze in degrees, right and down; (0, 0) for natural and camera."""
        if self.gaze in ("natural", "camera"):
            return 0.0, 0.0
        try:
            x, y = (float(part) for part in self.gaze.split(","))
        except ValueError:
            x = y = math.inf
        allowed = "natural, camera or X,Y in degrees within 30 and 15"
        require(abs(x) <= MAX_GAZE[0] and abs(y) <= MAX_GAZE[1], "--gaze", allowed, self.gaze)
        return x, y

    @property
    def emotion_strength(self) -> tuple[str, float]:
        """Name and strength of --emotion."""
        name, colon, text = self.emotion.partition(":")
        try:
            strength = float(text) if colon else 1.0
        except ValueError:
            strength = math.inf
        known = name in EMOTIONS and 0 <= strength <= MAX_STRENGTH
        allowed = f"one of {', '.join(EMOTIONS)}, with a strength 0..{MAX_STRENGTH} as in happy:0.6"
        require(known, "--emotion", allowed, self.emotion)
        return name, strength

    @property
    def pose_file(self) -> Path | None:
        """Motion file of --pose, None for the named values."""
        return None if self.pose in ("natural", "still") else Path(self.pose)
