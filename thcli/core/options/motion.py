"""Options of motion transfer and of single engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thcli.core.options.base import option, require

MotionMode = Literal["relative", "absolute"]
Region = Literal["all", "expression", "pose", "lips", "eyes"]
Matte = Literal["auto", "on", "off"]
Patches = Literal["auto", "eyes", "all", "off"]
Mouth = Literal["driver", "synthetic"]
Camera = Literal["follow", "still"]


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """Motion transfer."""

    mode: MotionMode = option(
        "relative",
        "relative: the driver's change since its reference frame; absolute: the driver's pose and "
        "expression.",
        "--motion",
    )
    region: Region = option(
        "all",
        "Part of the motion to transfer (engines mesh, liveportrait; facevid2vid and real3d: not "
        "lips, eyes).",
    )
    strength: float = option(1.0, "Gain of all motion, 0..3: 0 is still, 1 as driven.")
    pose: float = option(
        1.0,
        "Gain of the head pose alone, 0..3 (engines mesh, facevid2vid, liveportrait, real3d).",
        "--pose-strength",
    )
    expression: float = option(
        1.0,
        "Gain of the expression alone, 0..3 (engines mesh, facevid2vid, liveportrait, real3d).",
        "--expression-strength",
    )
    smooth: float = option(1.0, "Temporal smoothing, 0..10: 0 is none.")
    causal: bool = option(
        False, "Smooth causally (One-Euro filter) instead of with the zero-phase filter."
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
    """Mesh engine."""

    matte: Matte = option("auto", "Segment the person and keep the background still (engine mesh).")
    patches: Patches = option(
        "auto",
        "Paint the eyes, or also a made mouth (experimental), by small networks (engine mesh); "
        "auto: the eyes, if --licence allows it.",
    )
    long_side: int = option(
        0, "Reduce the source to this long side in pixels, 64 or more; 0: full resolution."
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
    """Head rotation.

    Rotation in degrees added to the driver's, for facevid2vid, liveportrait and real3d.
    """

    yaw: float = option(
        0.0, "Added yaw in degrees, -90..90 (engines facevid2vid, liveportrait, real3d)."
    )
    pitch: float = option(
        0.0, "Added pitch in degrees, -90..90 (engines facevid2vid, liveportrait, real3d)."
    )
    roll: float = option(
        0.0, "Added roll in degrees, -90..90 (engines facevid2vid, liveportrait, real3d)."
    )

    def __post_init__(self) -> None:
        for name, value in (("--yaw", self.yaw), ("--pitch", self.pitch), ("--roll", self.roll)):
            require(-90 <= value <= 90, name, "within -90..90 degrees", value)


@dataclass(frozen=True, slots=True)
class LivePortraitOptions:
    """LivePortrait engine."""

    stitching: bool = option(
        True, "Keep neck and shoulders of the source in place.", "--stitching/--no-stitching"
    )
    retarget_eyes: bool = option(
        False,
        "Eye opening of the driver's left eye; with --motion relative nothing else moves.",
    )
    retarget_lips: bool = option(
        False, "Lip opening of the driver; with --motion relative nothing else moves."
    )
    close_lips: bool = option(
        False, "Close open lips of the source first (with --motion relative)."
    )
    keep_eyes: bool = option(
        False, "Keep the eye opening of a source video's first frame; half-closed eyes open."
    )

    def __post_init__(self) -> None:
        retargeted = self.retarget_eyes or self.retarget_lips
        for name, value in (("--close-lips", self.close_lips), ("--keep-eyes", self.keep_eyes)):
            alone = not (value and retargeted)
            require(alone, name, "without --retarget-eyes and --retarget-lips", value)


@dataclass(frozen=True, slots=True)
class Real3dOptions:
    """Real3D-Portrait engine."""

    orbit: float = option(
        0.0,
        "Sweep of the view in degrees, 0..60: the head yaws to both sides once (engine real3d).",
    )
    pose_file: Path | None = option(
        None,
        "Head pose by time instead of the driver's: a CSV file with seconds, pitch, yaw and roll "
        "in degrees, as 'thcli fit VIDEO -o poses.csv' writes it (engine real3d).",
        path="input",
    )
    head_threshold: float | None = option(
        None,
        "Opacity from which the head hides the torso, 0..1; raise it for translucent hair "
        "(engine real3d; default: the checkpoint's, 0.9).",
    )

    def __post_init__(self) -> None:
        require(0 <= self.orbit <= 60, "--orbit", "within 0..60 degrees", self.orbit)
        threshold = self.head_threshold
        allowed = threshold is None or 0 <= threshold <= 1
        require(allowed, "--head-threshold", "within 0..1", threshold)
