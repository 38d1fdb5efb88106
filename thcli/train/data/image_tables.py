"""Measurements of images on disk, so that an interrupted measurement can be resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.events import Finished, Listener, Started, Step
from thcli.media.failures import to_output_error
from thcli.train.data.disk_arrays import create_arrays

PENDING, MEASURED, REJECTED = 0, 1, 2  # states of an image
FLUSH_INTERVAL = 50  # images between writes of the tables and states
Layout = Mapping[str, tuple[tuple[int, ...], type[np.generic]]]


@dataclass(frozen=True, slots=True)
class ImageTables:
    """Memory maps with a row for each of N images.

    values: name -> (N, ...).
    states: (N,) PENDING, MEASURED or REJECTED.
    """

    values: dict[str, npt.NDArray[Any]]
    states: npt.NDArray[np.uint8]
    folder: Path

    @classmethod
    def open(cls, images: list[Any], layout: Layout, folder: Path) -> ImageTables:
        """Open the tables of a folder; create them when it has none for these images.

        Args:
            images: what tells the images from others, as JSON; a row for each.
            layout: name -> shape and type of a row.
            folder: of the tables.

        Raises:
            OutputError: the folder cannot be written.
        """
        names, count = json.dumps(images), len(images)
        listed, state = folder / "pictures.json", folder / "state.npy"
        known = listed.is_file() and state.is_file() and listed.read_text("utf-8") == names
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files = {
                folder / f"{name}.npy": ((count, *shape), kind)
                for name, (shape, kind) in layout.items()
            }
            if known:
                tables = [np.lib.format.open_memmap(file, "r+") for file in files]
            else:
                listed.unlink(missing_ok=True)
                tables = create_arrays(files)
                np.save(state, np.zeros(count, np.uint8))
                listed.write_text(names, "utf-8")
        except OSError as exc:
            raise to_output_error(folder, exc) from exc
        values: dict[str, npt.NDArray[Any]] = dict(zip(layout, tables, strict=True))
        return cls(values, np.asarray(np.load(state), np.uint8), folder)

    def fill(
        self, stage: str, load: Callable[[], Callable[[int], bool]], on: Listener
    ) -> npt.NDArray[np.int64]:
        """Measure the pending images and return the rows that are measured.

        Args:
            stage: name for progress.
            load: returns the function that measures an image into its row, and returns False for
                an unusable one; called only when an image is pending.
            on: listener for progress.

        Raises:
            OutputError: the folder cannot be written.
        """
        pending = np.flatnonzero(self.states == PENDING)
        if len(pending):
            cv2.setNumThreads(1)
            start = time.monotonic()
            on(Started(stage, len(pending), "pictures"))
            measure = load()
            for done, row in enumerate(pending.tolist(), 1):
                self.states[row] = MEASURED if measure(row) else REJECTED
                if done % FLUSH_INTERVAL == 0 or done == len(pending):
                    self._flush()
                    on(Step(stage, done))
            on(Finished(stage, len(pending), time.monotonic() - start))
        return np.flatnonzero(self.states == MEASURED)

    def _flush(self) -> None:
        try:
            for table in self.values.values():
                getattr(table, "flush")()  # noqa: B009  # a memory map, typed as an array
            np.save(self.folder / "state.npy", self.states)
        except OSError as exc:
            raise to_output_error(self.folder, exc) from exc
