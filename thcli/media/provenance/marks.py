"""Marks that the writer adds to frames and files: label, watermark, Content Credentials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thcli.core.errors import UsageError
from thcli.core.options import ProvenanceOptions
from thcli.media.provenance.content_credentials import MIME_TYPES, Signer
from thcli.media.provenance.label import Label
from thcli.media.provenance.watermark import Watermark

Pixels = np.ndarray[Any, Any]

# Payload of the watermark. Append only: files that were made keep their numbers.
COMMANDS = ("", "reenact", "refine", "edit", "speak", "warp", "paste")


class Marks:
    """Marks of one output.

    options: which marks.
    """

    def __init__(
        self,
        options: ProvenanceOptions,
        size: tuple[int, int],
        note: Mapping[str, Any],
    ) -> None:
        """Prepare the marks.

        Args:
            options: which marks.
            size: (width, height) of the frames in pixels.
            note: what is known of the output's origin, for the signature.

        Raises:
            UsageError: certificate or key cannot sign.
        """
        command = note.get("command", "")
        payload = COMMANDS.index(command) if command in COMMANDS else 0
        self._label = Label(size) if options.label else None
        self._watermark = Watermark(size, payload) if options.watermark else None
        self._signer = load_signer(options)
        self._note = note

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return a frame with label and watermark; the frame itself without them.

        pixels: (H, W, 3) RGB, uint8 or uint16.
        """
        if self._label is not None:
            pixels = self._label(pixels)
        return pixels if self._watermark is None else self._watermark(pixels)

    def sign(self, file: Path, suffix: str) -> None:
        """Sign a complete file in place; without --c2pa do nothing. Raises as `Signer.sign`."""
        if self._signer is not None:
            self._signer.sign(file, suffix.lower(), self._note)


def load_signer(options: ProvenanceOptions) -> Signer | None:
    """Return the signer of --c2pa, None without it. Raises UsageError as `Signer.load`."""
    if options.c2pa is None or options.c2pa_key is None:
        return None
    return Signer.load(options.c2pa, options.c2pa_key)


def check_signable(name: str, suffix: str, options: ProvenanceOptions) -> None:
    """Raise UsageError when an output cannot hold Content Credentials.

    Args:
        name: of the output, as the user gave it.
        suffix: its extension, '' for a folder or standard output.
        options: the marks.
    """
    if options.c2pa is not None and suffix.lower() not in MIME_TYPES:
        raise UsageError(
            f"--c2pa has no effect with the output {name}.",
            f"Write a file that holds a manifest: {', '.join(sorted(MIME_TYPES))}.",
        )
