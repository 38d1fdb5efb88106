"""Which face is meant, how it is cut out, calmed and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

Template = Literal["square", "arcface", "close", "ffhq", "liveportrait"]
Border = Literal["replicate", "black", "reflect"]
Blend = Literal["feather", "laplacian", "poisson"]
IDENTITY = "Backend that tells persons apart: for a reference image, and to know a face again after a cut; none: by shape and place alone."


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """Which face is meant, and who finds it."""

    select: str = option(
        "largest",
        "Which face: largest, first, all, a number from 0, or a reference image.",
        "--face",
    )
    detector: str = option("blazeface", "Backend that finds faces (thcli list backends).")
    landmarker: str = option("facemesh", "Backend that puts points on them.")
    identity: str = option("auto", IDENTITY)


@dataclass(frozen=True, slots=True)
class FindOptions:
    """Who finds the faces."""

    detector: str = option("blazeface", "Backend that finds faces (thcli list backends).")
    landmarker: str = option("facemesh", "Backend that puts points on them.")
    identity: str = option("auto", IDENTITY)

    def choosing(self, select: str = "largest") -> FaceOptions:
        """The same who find, with the face that is meant."""
        return FaceOptions(select, self.detector, self.landmarker, self.identity)


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """How a face is cut out."""

    template: Template = option(
        "square",
        "square: upright around the face; close: turned with the eyes, brows to chin; arcface, ffhq, liveportrait: as networks of these expect it.",
    )
    size: int = option(512, "Side of the crop in pixels.")
    scale: float | None = option(
        None,
        "Side over the face's (default: square 2, liveportrait 2.3), or over the template's own (arcface, close, ffhq: 1).",
    )
    border: Border = option(
        "replicate", "What shows outside of the picture: replicate its rim, black, or reflect."
    )

    def __post_init__(self) -> None:
        require(16 <= self.size <= 4096, "--size", "within 16..4096 pixels", self.size)
        require(
            self.scale is None or 0.1 <= self.scale <= 10, "--scale", "within 0.1..10", self.scale
        )


@dataclass(frozen=True, slots=True)
class SteadyOptions:
    """How the crops of a clip are calmed, all zero-phase: widths in seconds, sizes in pixels of a 512-pixel crop."""

    slow: float = option(
        0.6, "Width of the filter for the place of a head that keeps still.", hidden=True
    )
    size: float = option(
        2.0,
        "The same for its size and angle: their errors are larger, and they change less.",
        hidden=True,
    )
    fast: float = option(0.05, "Width of the filter for a head that moves.", hidden=True)
    still: float = option(
        1.5, "Moving less than this away from the slow path counts as still.", hidden=True
    )
    pixels: bool = option(
        True,
        "Let pixels say how a head moved from frame to frame, not its landmarks alone.",
        hidden=True,
    )
    anchor: float = option(
        3.0,
        "Width of the mean by which landmarks say where a head is whose pixels say how it moves.",
        hidden=True,
    )
    apart: float = option(
        4.0,
        "Leaving the pixels' path by more than this, landmarks are followed at once.",
        hidden=True,
    )
    turning: float = option(
        8.0,
        "Degrees a second from which a head turns: its pixels show another side, and landmarks count.",
        hidden=True,
    )
    reach: int = option(96, "Frames that a filter looks ahead and back, at most.", hidden=True)

    def __post_init__(self) -> None:
        require(0 < self.fast <= self.slow, "fast", "more than 0 and at most slow", self.fast)
        require(self.fast <= self.size, "size", "at least fast", self.size)
        require(self.still > 0, "still", "more than 0 pixels", self.still)
        require(self.anchor > 0, "anchor", "more than 0", self.anchor)
        require(self.apart > 0, "apart", "more than 0 pixels", self.apart)
        require(self.turning > 0, "turning", "more than 0 degrees a second", self.turning)
        require(self.reach >= 1, "reach", "1 frame or more", self.reach)


@dataclass(frozen=True, slots=True)
class PasteOptions:
    """How a changed crop goes back into its frame."""

    feather: float = option(
        0.08, "Width of the soft rim, as a part of the crop's shorter side.", "--feather"
    )
    colour_match: bool = option(
        True, "Take colour and light at the rim from the frame.", "--colour-match/--no-colour-match"
    )
    blend: Blend = option(
        "laplacian",
        "feather: one soft rim; laplacian: each size of detail along a ramp of its own; poisson: the crop's contrasts in the frame's colours.",
    )
    grain: bool = option(
        True, "Give a crop that is smoother than its frame the frame's grain.", "--grain/--no-grain"
    )
    detail: bool = option(
        True,
        "Keep the frame's own texture where the crop's is unchanged (blurred or redrawn parts are the crop's).",
        "--detail/--no-detail",
    )

    def __post_init__(self) -> None:
        require(0 <= self.feather <= 0.5, "--feather", "within 0..0.5", self.feather)
