"""What an evaluation found: JSON for machines, a table for people."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from thcli.core.errors import MediaError, OutputError
from thcli.core.types import Image
from thcli.evaluate.metrics.measure import Scores
from thcli.evaluate.metrics.regions import REGIONS
from thcli.evaluate.metrics.table import METRICS, Metric

ARROWS = {"lower": "↓", "higher": "↑", "zero": "→0"}
PACKAGES = ("thcli", "numpy", "opencv-python", "av")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One clip, measured. rows: label -> scores.  protocol: how it was measured.  inputs: name -> path and SHA-256.  sheet: pictures."""

    rows: Mapping[str, Scores]
    protocol: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    sheet: Image
    metrics: Sequence[Metric] = METRICS
    command: str = "eval reenact"

    def report(self, command: str) -> dict[str, Any]:
        """Everything but the pictures, ready for JSON. command: the command line that made it."""
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
            "rows": {
                label: {
                    "frames": s.frames,
                    "absent": s.absent,
                    **{region: dict(s.values[region]) for region in REGIONS},
                }
                for label, s in self.rows.items()
            },
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines: one line a metric and region, one column a row of the report."""
        head = ["metric", "unit", "where", *self.rows]
        lines = []
        for region in REGIONS:
            for metric in self.metrics:
                if region in metric.regions:
                    cells = [shown(s.values[region][metric.name]) for s in self.rows.values()]
                    name = f"{metric.name} ({metric.model})" if metric.model else metric.name
                    lines.append([f"{name} {ARROWS[metric.better]}", metric.unit, region, *cells])
        lines.append(["frames", "", "", *(str(s.frames) for s in self.rows.values())])
        return head, lines


def shown(value: float | None) -> str:
    """Four significant digits, whole numbers as such, a dash for what could not be measured."""
    if value is None:
        return "-"
    value = round(value, 6) + 0.0  # + 0.0: no minus before a nought
    return str(int(value)) if value == int(value) else f"{value:.4g}"


def save_report(path: Path, report: Mapping[str, Any]) -> None:
    """Writes a report as JSON, by way of a temporary file beside it. Raises OutputError when that fails."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(
            json.dumps(report, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8"
        )
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"The report {path} cannot be written: {exc.strerror}.",
            "Name a file in a writable folder.",
        ) from exc


def facts(path: Path) -> dict[str, Any]:
    """Path, bytes and SHA-256 of a file; of a folder, of the files in it, by name. Raises MediaError when it cannot be read."""
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
            f"{path} cannot be read: {exc.strerror}.", "Check the name and the rights."
        ) from exc
    return {"path": str(path), "bytes": size, "sha256": digest.hexdigest()}
