"""Anamorphic copies of clips."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2

from thcli import media
from thcli.core.imaging import to_uint8
from thcli.core.options import OutputOptions


def squeeze(path: Path, clip: Path) -> Path:
    """Write a clip of half the width, whose pixels are shown twice as wide as high."""
    with media.read(clip) as frames:
        width, height = frames.info.size
        like = replace(frames.info, size=(width // 2, height), sar=Fraction(2))
        with media.write(path, like.size, like, OutputOptions(crf=8)) as writer:
            for frame in frames:
                writer.write(cv2.resize(to_uint8(frame.pixels), like.size), frame.pts)
    return path
