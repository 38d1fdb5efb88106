"""What a run leaves for people: log.jsonl, sheets of samples, summary.txt."""

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
from thcli.evaluate.reports.contact_sheet import contact_sheet, save_picture
from thcli.media.failures import unwritable

CELL = 160  # pixels of a picture on a sheet
PREFIX = "log."


class Log:
    """log.jsonl: a line every so many updates, the means of the losses since the line before.

    The sums under way belong to the checkpoint, so that a resumed run writes the lines that an uninterrupted one writes.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self._every = path, every
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def begin(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Takes up the sums of a checkpoint (none: a fresh run) and drops the lines of what is done again."""
        self._sums = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        self._count = step % self._every
        rows = [row for row in read_log(self.path) if row["step"] <= step]
        self._write("".join(json.dumps(row) + "\n" for row in rows), "w")

    def add(
        self, step: int, terms: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> dict[str, float] | None:
        """One update's losses; the means when a line was written. step: updates done, this one included."""
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

    def tensors(self) -> dict[str, Tensor]:
        """The sums under way."""
        return {PREFIX + name: value for name, value in self._sums.items()}

    def _write(self, text: str, mode: str) -> None:
        try:
            with self.path.open(mode, encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise unwritable(self.path, exc) from exc


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log.jsonl; a last line that an interruption cut off is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text("utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def save_samples(path: Path, rows: Mapping[str, Tensor]) -> None:
    """A sheet: a row of pictures (B, 3, H, W) a label. Raises OutputError."""
    save_picture(
        path, contact_sheet({label: images(row) for label, row in rows.items()}, cell=(CELL, CELL))
    )


def images(pictures: Tensor) -> Sequence[Image]:
    """(B, 3, H, W) in 0..1 -> (H, W, 3) uint8 each."""
    eight = (pictures.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return list(np.ascontiguousarray(eight.permute(0, 2, 3, 1).cpu().numpy()))


def summary(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """The run in words: facts, then each loss at its beginning and at its end."""
    lines = [f"{name}: {value}" for name, value in facts.items()]
    if rows:
        first, last = rows[0]["losses"], rows[-1]["losses"]
        lines += ["", f"loss (means up to step {rows[0]['step']} -> {rows[-1]['step']})"]
        lines += [
            f"  {name}: {first.get(name, float('nan')):.5g} -> {value:.5g}"
            for name, value in last.items()
        ]
    return "\n".join(lines) + "\n"
