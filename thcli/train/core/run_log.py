"""The readable record of a run: log.jsonl, sheets of sample images and summary.txt."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thcli.core.types import Image
from thcli.evaluate.reports.contact_sheet import contact_sheet, save_image
from thcli.media.failures import to_output_error

CELL = 160  # side of an image on a contact sheet, in pixels
PREFIX = "log."


class RunLog:
    """log.jsonl: one line every `every` updates, with the mean losses since the previous line.

    The running sums are stored in the checkpoint, so a resumed run writes the same lines as an
    uninterrupted one.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self._every = path, every
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def begin(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Restore the running sums of a checkpoint and drop log lines after `step`.

        Args:
            step: Updates done; 0 for a new run.
            tensors: Tensors of the checkpoint; empty for a new run.
        """
        self._sums = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        self._count = step % self._every
        rows = [row for row in read_log(self.path) if row["step"] <= step]
        self._write("".join(json.dumps(row) + "\n" for row in rows), "w")

    def add(
        self, step: int, terms: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> dict[str, float] | None:
        """Add the losses of one update and write a line when one is due.

        Args:
            step: Updates done, including this one.
            terms: Loss terms of this update, scalars.
            facts: Other values of the line.

        Returns:
            The mean losses when a line was written, else None.
        """
        for name, value in terms.items():
            before = self._sums.get(name)
            now = value.detach().float()  # not double: Apple GPUs have none
            self._sums[name] = now if before is None else before.to(now.device) + now
        self._count += 1
        if step % self._every:
            return None
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        row = {"step": step, "losses": {k: round(v, 6) for k, v in means.items()}, **facts}
        self._write(json.dumps(row) + "\n", "a")
        self._sums, self._count = {}, 0
        return means

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the running sums, for the checkpoint."""
        return {PREFIX + name: value for name, value in self._sums.items()}

    def _write(self, text: str, mode: str) -> None:
        try:
            with self.path.open(mode, encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise to_output_error(self.path, exc) from exc


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log.jsonl up to the first line that an interruption truncated."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            break
        rows.append(row)
    return rows


def save_sample_sheet(path: Path, rows: Mapping[str, Tensor]) -> None:
    """Write a contact sheet with one row of images (B, 3, H, W) per label.

    Raises:
        OutputError: The file cannot be written.
    """
    save_image(
        path,
        contact_sheet(
            {label: to_uint8_images(row) for label, row in rows.items()}, cell=(CELL, CELL)
        ),
    )


def to_uint8_images(images: Tensor) -> Sequence[Image]:
    """Convert (B, 3, H, W) in [0, 1] to a list of (H, W, 3) uint8 images."""
    coded = (images.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return list(np.ascontiguousarray(coded.permute(0, 2, 3, 1).cpu().numpy()))


def format_summary(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Format the text of summary.txt: the facts, then each loss at the start and at the end."""
    lines = [f"{name}: {value}" for name, value in facts.items()]
    if rows:
        first, last = rows[0]["losses"], rows[-1]["losses"]
        lines += ["", f"loss (means up to step {rows[0]['step']} -> {rows[-1]['step']})"]
        lines += [
            f"  {name}: {first.get(name, float('nan')):.5g} -> {value:.5g}"
            for name, value in last.items()
        ]
    return "\n".join(lines) + "\n"
