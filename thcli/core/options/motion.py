"""What of a motion is taken over, and the engines' own choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

MotionMode = Literal["relative", "absolute"]
Region = Literal["all", "expression", "pose", "lips", "eyes"]
Matte = Literal["auto", "on", "off"]
Mouth = Literal["driver", "synthetic"]


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """What of the driving motion is taken over, and how."""

    mode: MotionMode = option(
        "relative", "relative: the driver's changes; absolute: the driver's own pose.", "--motion"
    )
    region: Region = option("all", "What moves: all, expression, pose, lips or eyes.")
    strength: float = option(1.0, "Of the whole motion: 0 still, 1 as driven, up to 3.")
    pose: float = option(1.0, "Of the head's motion alone, 0..3.", "--pose-strength")
    expression: float = option(1.0, "Of the face's motion alone, 0..3.", "--expression-strength")
    smooth: float = option(1.0, "0 raw, 1 the default, more is calmer, up to 10.")
    causal: bool = option(
        False, "Smooth without looking ahead (One-Euro) instead of the zero-phase filter."
    )

    def __post_init__(self) -> None:
        for name, value, top in (
            ("--strength", self.strength, 3),
            ("--pose-strength", self.pose, 3),
            ("--expression-strength", self.expression, 3),
            ("--smooth", self.smooth, 10),
        ):
            require(0 <= value <= top, name, f"within 0..{top}", value)


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """The mesh engine's own choices."""

    matte: Matte = option("auto", "Move the person over a still background: auto, on or off.")
    long_side: int = option(
        0, "Reduce the source to this many pixels on its long side; 0: its own resolution."
    )

    def __post_init__(self) -> None:
        require(
            self.long_side == 0 or self.long_side >= 64,
            "--long-side",
            "0, or 64 and more",
            self.long_side,
        )


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """Turns the rendered head further than the driver does, for engines that know its pose (facevid2vid, liveportrait): degrees."""

    yaw: float = option(
        0.0, "Turn the head to the side by this many degrees (engines that know its pose)."
    )
    pitch: float = option(0.0, "Nod it by this many degrees.")
    roll: float = option(0.0, "Tilt it by this many degrees.")

    def __post_init__(self) -> None:
        for name, value in (("--yaw", self.yaw), ("--pitch", self.pitch), ("--roll", self.roll)):
            require(-90 <= value <= 90, name, "within -90..90 degrees", value)


@dataclass(frozen=True, slots=True)
class LivePortraitOptions:
    """LivePortrait's own corrections of the keypoints."""

    stitching: bool = option(
        True, "Keep neck and shoulders where they are in the source.", "--stitching/--no-stitching"
    )
    retarget_eyes: bool = option(
        False,
        "Open the eyes as far as the driver's left one (with --motion relative nothing else moves).",
    )
    retarget_lips: bool = option(
        False, "Open the lips as far as the driver's (with --motion relative nothing else moves)."
    )
    close_lips: bool = option(
        False, "Start from closed lips where the source's are open (with --motion relative)."
    )
    keep_eyes: bool = option(
        False, "A source video's eyes stay as open as in its first frame (half shut ones open)."
    )
