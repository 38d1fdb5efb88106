"""`thcli inspect`: what a file tells of its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import ReadOptions
from thcli.media.provenance.comment import read_comment
from thcli.media.provenance.content_credentials import read_credentials
from thcli.media.provenance.marks import COMMANDS
from thcli.media.provenance.watermark_detection import (
    FRAMES,
    WatermarkDetector,
    WatermarkReading,
)
from thcli.media.reading.pixel_limit import PixelLimit
from thcli.media.writing.provenance import is_synthetic, read_note

WHOLE = ReadOptions()


@dataclass(frozen=True, slots=True)
class Inspection:
    """Origin of a file.

    path: the file or folder.
    comment: text of its metadata, '' without one.
    synthetic: True when the metadata or the watermark say so; None when neither does, which
        proves nothing.
    label: True or False by the note of thcli, None without a note. Nobody looks at the picture.
    note: what thcli recorded: command, engine, consent, licences; empty without a note.
    watermark: result of the detection.
    credentials: Content Credentials, see `read_credentials`.
    """

    path: Path
    comment: str
    synthetic: bool | None
    label: bool | None
    note: Mapping[str, Any]
    watermark: WatermarkReading
    credentials: Mapping[str, Any] = field(default_factory=dict)

    @property
    def watermark_command(self) -> str:
        """Command that the watermark names, '' for an unknown one or without a watermark."""
        number = self.watermark.payload
        return COMMANDS[number] if number is not None and number < len(COMMANDS) else ""

    def as_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "command": "inspect",
            "path": str(self.path),
            "comment": self.comment,
            "synthetic": self.synthetic,
            "label": self.label,
            "consent": list(self.note.get("consent", ())),
            "licences": dict(self.note.get("licences", {})),
            "note": dict(self.note),
            "watermark": {
                "found": self.watermark.found,
                "score": round(self.watermark.score, 1),
                "made_by": self.watermark_command,
                "cropped": list(self.watermark.cropped),
            },
            "c2pa": dict(self.credentials),
        }


def inspect(path: str | Path, options: ReadOptions = WHOLE, on: Listener = silent) -> Inspection:
    """Read metadata, watermark and Content Credentials of a file.

    The watermark is sought in the first 120 frames of the range.

    Args:
        path: video, animation, image, folder of images, or '-' for standard input.
        options: range and limits.
        on: listener for warnings.

    Raises:
        MediaError: the file cannot be read, or holds no picture.
    """
    detector = WatermarkDetector()
    with media.read(path, options, on=on) as frames:
        for frame in islice(frames, FRAMES):
            detector.add(frame.pixels)
        file = frames.info.path
        comment = read_comment(frames.info, PixelLimit.of(options))
        credentials = read_credentials(file)
    watermark = detector.result()
    note = read_note(comment)
    synthetic = True if is_synthetic(comment) or watermark.found else None
    label = bool(note["label"]) if "label" in note else None
    return Inspection(Path(path), comment, synthetic, label, note, watermark, credentials)
