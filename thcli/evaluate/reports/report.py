"""Evaluation results: JSON for machines, a table for people."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from thcli.core.errors import MediaError
from thcli.core.types import Image
from thcli.evaluate.metrics.regions import REGIONS
from thcli.evaluate.metrics.scores import RowScores
from thcli.evaluate.metrics.table import METRICS, Metric
from thcli.evaluate.reports.tables import Table
from thcli.media.atomic_file import replace_atomically

ARROWS = {"lower": "↓", "higher": "↑", "zero": "→0"}
PACKAGES = ("thcli", "numpy", "opencv-python", "av")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measurement of one clip.

    rows: label -> scores.
    protocol: parameters of the measurement.
    inputs: name -> path and SHA-256.
    sheet: contact sheet.
    spent: label -> CPU seconds of the rendering.
    """

    rows: Mapping[str, RowScores]
    protocol: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    sheet: Image
    metrics: Sequence[Metric] = METRICS
    command: str = "eval reenact"
    spent: Mapping[str, float] = field(default_factory=dict)

    def report(self, command: str) -> dict[str, Any]:
        """Return everything but images for JSON; command: the command line."""
        return {
            "command": self.command,
            "run": command,
            "protocol": dict(self.protocol),
            "inputs": {name: dict(facts) for name, facts in self.inputs.items()},
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in PACKAGES},
            },
            "metrics": {
                m.name: {
                    "unit": m.unit,
                    "better": m.better,
                    "about": m.about,
                    "regions": list(m.regions),
                }
                | ({"backend": m.model} if m.model else {})
                for m in self.metrics
            },
            "rows": rows_json(self.rows),
        }

    def table(self) -> Table:
        """Return heading and lines: a metric and region per line, a column per row."""
        head = ["metric", "unit", "where", *self.rows]
        lines = []
        for region in REGIONS:
            for metric in self.metrics:
                if region in metric.regions:
                    values = (s.values[region][metric.name] for s in self.rows.values())
                    cells = [format_value(value) for value in values]
                    lines.append([metric_label(metric), metric.unit, region, *cells])
        lines.append(["frames", "", "", *(str(s.frames) for s in self.rows.values())])
        return head, lines


def rows_json(rows: Mapping[str, RowScores]) -> dict[str, Any]:
    """Return the scores of all rows for JSON."""
    return {
        label: {
            "frames": s.frames,
            "absent": s.absent,
            **{region: dict(s.values[region]) for region in REGIONS},
        }
        for label, s in rows.items()
    }


def metric_label(metric: Metric) -> str:
    """Return the name of a metric with its model and the direction of better values."""
    name = f"{metric.name} ({metric.model})" if metric.model else metric.name
    return f"{name} {ARROWS[metric.better]}"


def format_value(value: float | None) -> str:
    """Format a value with four significant digits; whole numbers as such, "-" for None."""
    if value is None:
        return "-"
    value = round(value, 6) + 0.0  # adding 0.0 turns -0.0 into 0.0
    return str(int(value)) if value == int(value) else f"{value:.4g}"


def save_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, atomically. Raises OutputError."""
    text = json.dumps(report, indent=1, ensure_ascii=False, default=str) + "\n"
    with replace_atomically(path, overwrite=True) as partial:
        partial.write_text(text, "utf-8")


def file_facts(path: Path) -> dict[str, Any]:
    """Return path, bytes and SHA-256 of a file, or of the files in a folder, by name.

    Raises MediaError when it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        for file in sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]:
            if path.is_dir():
                digest.update(file.name.encode())
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
                    size += len(chunk)
    except OSError as exc:
        raise MediaError(
            f"{path} cannot be read: {exc.strerror}.", "Check the name and the permissions."
        ) from exc
    return {"path": str(path), "bytes": size, "sha256": digest.hexdigest()}
