"""Options of motion transfer and of single engines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thcli.core.errors import UsageError
from thcli.core.expressions import (
    EXPRESSIONS,
    MAX_GAZE,
    MAX_STRENGTH,
    NEUTRAL,
    SLIDERS,
    parse_strength,
)
from thcli.core.options.base import option, require

MotionMode = Literal["relative", "absolute"]
Region = Literal["all", "expression", "pose", "lips", "eyes"]
Matte = Literal["auto", "on", "off"]
Patches = Literal["auto", "eyes", "all", "off"]
Folds = Literal["on", "off"]
Mouth = Literal["auto", "driver", "synthetic"]
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
        "Paint the eyes, or also the inside of a drawn mouth, by small networks (engine mesh); "
        "auto: both, if --licence allows it.",
    )
    folds: Folds = option(
        "on", "Fold the skin of smiles and brows, and light it as the head turns (engine mesh)."
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

    Rotation in degrees added to the driver's, or in its place.
    """

    yaw: float = option(
        0.0,
        "Added yaw in degrees, -90..90; positive turns the nose to the image's left (engines mesh, "
        "facevid2vid, liveportrait, real3d).",
    )
    pitch: float = option(
        0.0,
        "Added pitch in degrees, -90..90; positive looks down (engines mesh, facevid2vid, "
        "liveportrait, real3d).",
    )
    roll: float = option(
        0.0,
        "Added roll in degrees, -90..90; positive tilts clockwise (engines mesh, facevid2vid, "
        "liveportrait, real3d).",
    )
    orbit: float = option(
        0.0,
        "Sweep of the view in degrees, 0..60: the head yaws to both sides once (engines mesh, "
        "real3d).",
    )
    pose_file: Path | None = option(
        None,
        "Head pose by time instead of the driver's: a CSV file with seconds, pitch, yaw and roll "
        "in degrees, as 'thcli fit VIDEO -o poses.csv' writes it (engines mesh, "
        "facevid2vid, real3d).",
        path="input",
    )

    def __post_init__(self) -> None:
        for name, value in (("--yaw", self.yaw), ("--pitch", self.pitch), ("--roll", self.roll)):
            require(-90 <= value <= 90, name, "within -90..90 degrees", value)
        require(0 <= self.orbit <= 60, "--orbit", "within 0..60 degrees", self.orbit)


@dataclass(frozen=True, slots=True)
class ExpressionOptions:
    """Expression sliders (engine mesh).

    They are added to the face, whatever drives it. See `core.expressions`.
    """

    expression: list[str] | None = option(
        None,
        f"Expression NAME or NAME=S with a strength 0..{MAX_STRENGTH}: "
        f"{', '.join(name for name in EXPRESSIONS if name != NEUTRAL)}. Repeatable.",
    )
    keys: Path | None = option(
        None,
        "Text file of sliders, expressions, blinks and head rotation by time: lines of SECONDS "
        "NAME=VALUE.",
        path="input",
    )
    brows: float = option(0.0, f"Brows: {SLIDERS['brows'].about}.")
    inner_brows: float = option(0.0, f"Brows, {SLIDERS['inner-brows'].about}.")
    lids: float = option(0.0, f"Eyelids: {SLIDERS['lids'].about}.")
    wink: float = option(0.0, f"One eye: {SLIDERS['wink'].about}.")
    squint: float = option(0.0, f"Eyes, 0..1: {SLIDERS['squint'].about}.")
    gaze: str = option(
        "0,0",
        "Gaze X,Y in degrees to the image's right and down from the picture's own, within 30 and "
        "15.",
    )
    smile: float = option(0.0, f"Mouth: {SLIDERS['smile'].about}.")
    jaw: float = option(0.0, f"Mouth, 0..1: {SLIDERS['jaw'].about}.")
    pucker: float = option(0.0, f"Mouth: {SLIDERS['pucker'].about}.")

    def __post_init__(self) -> None:
        for name, value in self.slider_values().items():
            spec = SLIDERS[name]
            if not name.startswith("gaze"):
                allowed = f"within {spec.low:g}..{spec.high:g}"
                require(spec.low <= value <= spec.high, f"--{name}", allowed, value)
        _ = self.strengths

    def slider_values(self) -> dict[str, float]:
        """Return the values of the sliders' own options, by the names in `SLIDERS`."""
        right, down = parse_gaze(self.gaze)
        named = {name: getattr(self, name.replace("-", "_"), 0.0) for name in SLIDERS}
        return {**named, "gaze-x": right, "gaze-y": down}

    @property
    def strengths(self) -> dict[str, float]:
        """Strength of each expression of --expression; of one named twice the last counts."""
        return dict(parse_strength(text) for text in self.expression or ())


def parse_gaze(text: str) -> tuple[float, float]:
    """Return the degrees to the image's right and down of a --gaze X,Y.

    Raises:
        UsageError: it is no such pair, or beyond MAX_GAZE.
    """
    parts = text.split(",")
    try:
        right, down = (float(part) for part in parts)
    except ValueError:
        right = down = math.inf
    if not (abs(right) <= MAX_GAZE[0] and abs(down) <= MAX_GAZE[1]):
        raise UsageError(
            f"--gaze must be X,Y in degrees within {MAX_GAZE[0]:g} and {MAX_GAZE[1]:g}, not "
            f"{text!r}."
        )
    return right, down


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
class X2FaceOptions:
    """X2Face engine."""

    pose_code: str = option(
        "",
        "Head pose YAW,PITCH,ROLL in degrees, each -90..90, instead of the driver's (engine "
        "x2face).",
    )

    def __post_init__(self) -> None:
        _ = self.angles

    @property
    def angles(self) -> tuple[float, float, float] | None:
        """Pitch, yaw and roll of `pose_code` in degrees; None without it.

        Raises:
            UsageError: it is not three angles within the range.
        """
        if not self.pose_code:
            return None
        try:
            yaw, pitch, roll = (float(part) for part in self.pose_code.split(","))
        except ValueError:
            yaw = pitch = roll = math.inf
        within = max(abs(yaw), abs(pitch), abs(roll)) <= 90
        require(within, "--pose-code", "YAW,PITCH,ROLL in degrees within -90..90", self.pose_code)
        return pitch, yaw, roll


@dataclass(frozen=True, slots=True)
class Real3dOptions:
    """Real3D-Portrait engine."""

    head_threshold: float | None = option(
        None,
        "Opacity from which the head hides the torso, 0..1; raise it for translucent hair "
        "(engine real3d; default: the checkpoint's, 0.9).",
    )

    def __post_init__(self) -> None:
        threshold = self.head_threshold
        allowed = threshold is None or 0 <= threshold <= 1
        require(allowed, "--head-threshold", "within 0..1", threshold)
