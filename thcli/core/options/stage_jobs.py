"""Options of the stages that are commands by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from thcli.core.options.base import option, require
from thcli.core.options.faces import (
    DETECTOR,
    FaceOptions,
    FindOptions,
    PasteOptions,
    StabilizationOptions,
    TemplateOptions,
)
from thcli.core.options.jobs import DRY_RUN
from thcli.core.options.media import OutputOptions, ReadOptions
from thcli.core.options.provenance import ProvenanceOptions
from thcli.core.options.run import RunOptions

PasteMask = Literal["face", "crop", "parse"]
ParseKind = Literal["auto", "labels", "mask", "overlay"]


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """Options of `thcli detect`."""

    overwrite: bool = option(False, "Replace an existing output.", affects_result=False)
    detector: str = option("blazeface", DETECTOR)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """Options of `thcli track`."""

    overwrite: bool = option(False, "Replace an existing output.", affects_result=False)
    points: int = option(5, "Landmarks per face in the file: 0, 5, 68 or 468.")
    find: FindOptions = field(default_factory=FindOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)

    def __post_init__(self) -> None:
        require(self.points in (0, 5, 68, 468), "--points", "0, 5, 68 or 468", self.points)


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """Options of `thcli encode`."""

    overwrite: bool = option(False, "Replace an existing output.", affects_result=False)
    engine: str = option("mesh", "Engine that will read the motion (thcli list engines).")
    frontal: Path | None = option(
        None,
        "Also write the face turned to the front, in a square crop, to this image: of a video its "
        "most frontal frame (engine mesh), or the embedded face of three frames (engine x2face).",
        path="output",
    )
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Options of `thcli fit`."""

    overwrite: bool = option(False, "Replace an existing output.", affects_result=False)
    model3d: str = option("auto", "3-D face model (thcli list model3d); auto: mesh.")
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class CropOptions:
    """Options of `thcli crop`."""

    crops: Path | None = option(
        None, "File for the placement of the crops (default: beside the output).", path="output"
    )
    template: TemplateOptions = field(default_factory=TemplateOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    stabilization: StabilizationOptions = field(default_factory=StabilizationOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """Options of `thcli align`."""

    template: TemplateOptions = field(default_factory=TemplateOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class PasteJobOptions:
    """Options of `thcli paste`."""

    crops: Path | None = option(
        None,
        "File with the placement of the crops (default: written by crop beside CROPS).",
        path="input",
    )
    mask: PasteMask = option(
        "face",
        "Region to paste. face: the outline of the face; parse: its parsed regions without "
        "occluders (hands, hair, glasses); crop: all except a rim.",
    )
    parser: str = option("auto", "Face parser for --mask parse (thcli list parser).")
    paste: PasteOptions = field(default_factory=PasteOptions)
    read: ReadOptions = field(default_factory=ReadOptions, metadata={"hide": ("start", "end")})
    output: OutputOptions = field(default_factory=OutputOptions)
    provenance: ProvenanceOptions = field(default_factory=ProvenanceOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """Options of `thcli parse`."""

    kind: ParseKind = option(
        "auto",
        "labels: images of region numbers; mask: probability of --regions per pixel; overlay: "
        "coloured regions over the input; auto: mask with --regions, else overlay for a video and "
        "labels for images.",
    )
    regions: str | None = option(
        None,
        "Regions or groups, separated by commas (thcli list regions; default: all, for a mask the "
        "face).",
    )
    parser: str = option("auto", "Face parser (thcli list parser).")
    smooth: bool = option(
        True, "Smooth the regions of a video over time, without lag.", "--smooth/--no-smooth"
    )
    opacity: float = option(0.6, "Opacity of the overlay, 0..1.")
    faces: FaceOptions = field(default_factory=FaceOptions)
    stabilization: StabilizationOptions = field(default_factory=StabilizationOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)

    def __post_init__(self) -> None:
        require(0 <= self.opacity <= 1, "--opacity", "within 0..1", self.opacity)
        named = self.regions is None or bool(self.regions.strip(", "))
        require(named, "--regions", "one or more regions", self.regions)
