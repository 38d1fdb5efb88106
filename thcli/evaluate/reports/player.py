"""Video of all rows of a measurement beside each other, which browsers play."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from thcli import media
from thcli.core.options import OutputOptions
from thcli.core.types import Image
from thcli.evaluate.metrics.measure import TruthFrame
from thcli.evaluate.reports.contact_sheet import face_cells
from thcli.pipeline.render.panels import GREY, letterbox, put_label

SIDE, PER_ROW = 224, 6  # pixels of a cell; cells in a row
RATE = Fraction(25)  # where the time stamps do not tell


class PanelPlayer:
    """Observer of a measurement that writes a video with a cell for each row."""

    def __init__(self, target: Path, whole: bool) -> None:
        """Set the video file. whole: see `face_cells`."""
        self._target, self._whole = target, whole
        self._stack = ExitStack()
        self._video: media.Writer | None = None

    def __enter__(self) -> PanelPlayer:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def __call__(self, truth_frame: TruthFrame, results: Mapping[str, Image]) -> None:
        """Add a frame; see `measure.FrameObserver`."""
        cells = face_cells(truth_frame, results, SIDE, whole=self._whole)
        image, frame = tile_cells(cells), truth_frame.frame
        if self._video is None:
            height, width = image.shape[:2]
            plan = media.WritePlan(time_base=frame.time_base, rate=RATE)
            options = OutputOptions(codec="h264", crf=20)
            writer = media.write(self._target, (width, height), None, options, plan)
            self._video = self._stack.enter_context(writer)
        self._video.write(image, frame.pts, frame.duration)


def tile_cells(cells: Mapping[str, Image]) -> Image:
    """Return labelled cells in rows of at most PER_ROW."""
    count = len(cells)
    columns = min(count, PER_ROW)
    rows = -(-count // columns)
    canvas = np.full((rows * SIDE, columns * SIDE, 3), GREY, np.uint8)
    for number, (label, image) in enumerate(cells.items()):
        top, left = number // columns * SIDE, number % columns * SIDE
        cell = canvas[top : top + SIDE, left : left + SIDE]
        cell[:] = letterbox(image, (SIDE, SIDE))
        put_label(cell, label)
    return canvas
