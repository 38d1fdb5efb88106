"""Options of face selection, cropping, stabilisation and compositing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

Template = Literal["square", "arcface", "close", "ffhq", "liveportrait"]
Border = Literal["replicate", "black", "reflect"]
Blend = Literal["feather", "laplacian", "poisson"]
DETECTOR = "Face detector (thcli list backends)."
FACE_WORDS = r"largest|first|all|speaking|\d+"  # values of --face that name no file
LANDMARKER = "Landmark network (thcli list backends)."
IDENTITY = (
    "Identity encoder: matches a reference image, and a face across scene cuts; none: match by "
    "shape and position alone."
)


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """Face selection."""

    select: str = option(
        "largest",
        "Face to process: largest, first, all, speaking (of a video with sound), a number from 0, "
        "or a reference image.",
        "--face",
        path="input",
        words=FACE_WORDS,
    )
    detector: str = option("blazeface", DETECTOR)
    landmarker: str = option("facemesh", LANDMARKER)
    identity: str = option("auto", IDENTITY)


@dataclass(frozen=True, slots=True)
class FindOptions:
    """Face detection."""

    detector: str = option("blazeface", DETECTOR)
    landmarker: str = option("facemesh", LANDMARKER)
    identity: str = option("auto", IDENTITY)

    def choosing(self, select: str = "largest") -> FaceOptions:
        """Return the same backends with a face selection."""
        return FaceOptions(select, self.detector, self.landmarker, self.identity)


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """Crop."""

    template: Template = option(
        "square",
        "square: upright around the face; close: aligned with the eyes, brows to chin; others: the "
        "alignment of that data set or network.",
    )
    size: int = option(512, "Side of the crop in pixels, 16..4096.")
    scale: float | None = option(
        None,
        "Side of the crop relative to the face, 0.1..10 (default: square 2, liveportrait 2.3), or "
        "to the template (default for arcface, close, ffhq: 1).",
    )
    border: Border = option("replicate", "Content beyond the image border.")

    def __post_init__(self) -> None:
        require(16 <= self.size <= 4096, "--size", "within 16..4096 pixels", self.size)
        require(
            self.scale is None or 0.1 <= self.scale <= 10, "--scale", "within 0.1..10", self.scale
        )


@dataclass(frozen=True, slots=True)
class StabilizationOptions:
    """Crop stabilisation.

    All filters are zero-phase. Widths are in seconds, distances in pixels of a 512-pixel crop.
    """

    slow: float = option(
        0.6, "Filter width for the position of a head at rest, in seconds.", hidden=True
    )
    size: float = option(
        2.0,
        "Filter width for the size and angle of a head at rest, in seconds; their errors are "
        "larger, and they change less.",
        hidden=True,
    )
    fast: float = option(0.05, "Filter width for a moving head, in seconds.", hidden=True)
    still: float = option(
        1.5, "Largest distance from the slow path of a head at rest, in pixels.", hidden=True
    )
    pixels: bool = option(
        True,
        "Measure head motion between frames by optical flow, not by landmarks alone.",
        hidden=True,
    )
    anchor: float = option(
        3.0,
        "Width of the landmark mean that anchors the optical-flow path, in seconds.",
        hidden=True,
    )
    apart: float = option(
        4.0,
        "Distance from the optical-flow path beyond which landmarks are followed, in pixels.",
        hidden=True,
    )
    turning: float = option(
        8.0,
        "Angular speed in degrees per second above which landmarks replace optical flow.",
        hidden=True,
    )
    reach: int = option(96, "Most frames that a filter reads ahead and back.", hidden=True)

    def __post_init__(self) -> None:
        require(0 < self.fast <= self.slow, "fast", "more than 0 and at most slow", self.fast)
        require(self.fast <= self.size, "size", "at least fast", self.size)
        require(self.still > 0, "still", "more than 0 pixels", self.still)
        require(self.anchor > 0, "anchor", "more than 0", self.anchor)
        require(self.apart > 0, "apart", "more than 0 pixels", self.apart)
        require(self.turning > 0, "turning", "more than 0 degrees per second", self.turning)
        require(self.reach >= 1, "reach", "1 frame or more", self.reach)


@dataclass(frozen=True, slots=True)
class PasteOptions:
    """Compositing."""

    feather: float = option(
        0.08, "Width of the soft rim as a share of the crop's shorter side, 0..0.5.", "--feather"
    )
    colour_match: bool = option(
        True, "Match colour and light to the frame at the rim.", "--colour-match/--no-colour-match"
    )
    blend: Blend = option(
        "laplacian",
        "feather: alpha blending with a soft rim; laplacian: pyramid blending; poisson: gradients "
        "of the crop with colours of the frame.",
    )
    grain: bool = option(
        True, "Add the grain of the frame to a smoother crop.", "--grain/--no-grain"
    )
    detail: bool = option(
        True,
        "Keep the frame's texture where the crop changes only colour or light.",
        "--detail/--no-detail",
    )

    def __post_init__(self) -> None:
        require(0 <= self.feather <= 0.5, "--feather", "within 0..0.5", self.feather)
