"""Options of conferencing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from thcli.core.options.base import option, require
from thcli.core.options.faces import FACE_WORDS, FindOptions
from thcli.core.options.jobs import DRY_RUN
from thcli.core.options.media import OutputOptions, ReadOptions
from thcli.core.options.provenance import ProvenanceOptions
from thcli.core.options.run import RunOptions

KeyFrame = Literal["motion", "image"]


@dataclass(frozen=True, slots=True)
class TransmitOptions:
    """Options of `thcli transmit`."""

    dry_run: bool = option(False, DRY_RUN, affects_result=False)
    overwrite: bool = option(False, "Replace an existing output.", affects_result=False)
    engine: str = option("mesh", "Engine of the receiver: mesh, or a variant of facevid2vid.")
    quality: int = option(2, "Quality of the motion, 0..16, lower is better; 4 halve the detail.")
    bitrate: float | None = option(
        None,
        "Bitrate of the motion to keep to in kbit/s, 0.5..100: the quality follows it "
        "(default: --quality holds).",
    )
    key_frame: KeyFrame = option(
        "motion",
        "Content of key frames. motion: the receiver has a picture; image: the picture is sent "
        "too, again at each new scene and when the rendered frames drift from the true ones.",
    )
    picture_quality: int = option(60, "WebP quality of sent pictures, 1..100.")
    key_every: float = option(
        10.0, "Seconds after which a key frame is sent at the latest, 0.2..3600."
    )
    sound: float = option(
        12.0, "Bitrate of the sound in kbit/s (Opus, mono), 6..128; 0: no sound.", "--sound-bitrate"
    )
    find: FindOptions = field(default_factory=FindOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        require(0 <= self.quality <= 16, "--quality", "within 0..16", self.quality)
        require(
            self.bitrate is None or 0.5 <= self.bitrate <= 100,
            "--bitrate",
            "within 0.5..100 kbit/s",
            self.bitrate,
        )
        require(
            1 <= self.picture_quality <= 100,
            "--picture-quality",
            "within 1..100",
            self.picture_quality,
        )
        require(
            0.2 <= self.key_every <= 3600, "--key-every", "within 0.2..3600 seconds", self.key_every
        )
        require(
            self.sound == 0 or 6 <= self.sound <= 128,
            "--sound-bitrate",
            "0, or within 6..128 kbit/s",
            self.sound,
        )


@dataclass(frozen=True, slots=True)
class ReceiveOptions:
    """Options of `thcli receive`."""

    dry_run: bool = option(False, DRY_RUN, affects_result=False)
    engine: str = option(
        "auto",
        "Engine that renders (thcli list engines); auto: mesh or facevid2vid, by the stream.",
    )
    source_face: str = option(
        "largest",
        "Face of the picture: largest, first, a number from 0, or a reference image.",
        path="input",
        words=FACE_WORDS,
    )
    find: FindOptions = field(default_factory=FindOptions)
    read: ReadOptions = field(default_factory=ReadOptions, metadata={"hide": ("start", "end")})
    output: OutputOptions = field(default_factory=OutputOptions, metadata={"hide": ("resume",)})
    provenance: ProvenanceOptions = field(default_factory=ProvenanceOptions)
    run: RunOptions = field(default_factory=RunOptions)
