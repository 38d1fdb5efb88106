"""Mean, requirements and table of refiner measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thcli.evaluate.benchmarks.refine import RefineCost, RefineMeasurement, UntouchedChange
from thcli.evaluate.metrics.regions import REGIONS
from thcli.evaluate.metrics.scores import average_scores
from thcli.evaluate.metrics.table import Metric
from thcli.evaluate.reports.html.charts import metric_charts
from thcli.evaluate.reports.html.page import GAIN, Page, Section
from thcli.evaluate.reports.report import Evaluation, format_value, metric_label, rows_json
from thcli.evaluate.reports.tables import Table

MAX_RATIO = 0.90  # limit of L1 and perceptual distance, relative to the coarse video's
BLURRED = 1.0  # octaves below the truth from which a coarse video counts as blurred
MAX_CHANGE = 1.0  # limit of the mean change of a good video's crop, levels of 255


@dataclass(frozen=True, slots=True)
class Requirement:
    """A required value of a refiner.

    value: measured value.
    wanted: limit, for people.
    holds: None when it was not measured.
    """

    name: str
    value: float | None
    wanted: str
    holds: bool | None


def average_measurements(found: Sequence[RefineMeasurement]) -> RefineMeasurement:
    """Average measurements, each clip with equal weight; missing values are left out."""
    scores = {
        label: average_scores([one.scores[label] for one in found]) for label in found[0].scores
    }
    changes = [one.untouched for one in found if one.untouched is not None]
    mean_change = None
    if changes:
        in_crop, in_frame = [c.crop for c in changes], [c.frame for c in changes]
        mean_change = UntouchedChange(float(np.mean(in_crop)), float(np.mean(in_frame)))
    cost = RefineCost(float(np.mean([one.cost.seconds for one in found])), found[0].cost.calls)
    return RefineMeasurement(f"mean of {len(found)} clips", scores, cost, mean_change)


def requirements(found: RefineMeasurement) -> list[Requirement]:
    """Return the required values of a refiner.

    L1 and the perceptual distance fall by a tenth, PSNR and SSIM rise, the rest does not get worse,
    and a good video hardly changes.
    """
    coarse, refined = (found.scores[label].values["face"] for label in ("coarse", "refined"))
    rows: list[Requirement] = []

    def require(
        name: str, value: float | None, wanted: str, holds: Callable[[float], bool]
    ) -> None:
        rows.append(Requirement(name, value, wanted, None if value is None else holds(value)))

    for name in ("l1", "lpips", "pfd"):
        if coarse.get(name) is not None:
            ratio = _ratio(refined.get(name), coarse.get(name))
            require(f"{name} / coarse", ratio, f"at most {MAX_RATIO:.2f}", lambda v: v <= MAX_RATIO)
    for name in ("psnr", "ssim"):
        gain = _difference(refined.get(name), coarse.get(name))
        require(f"{name} - coarse", gain, "more than 0", lambda v: v > 0)
    for name in ("akd", "apd", "flicker"):
        if name == "apd" and coarse.get(name) is None:
            continue  # no 3-D model was fitted
        ratio = _ratio(refined.get(name), coarse.get(name))
        require(f"{name} / coarse", ratio, "at most 1", lambda v: v <= 1)
    if coarse.get("csim") is not None:
        gain = _difference(refined.get("csim"), coarse["csim"])
        require("csim - coarse", gain, "at least 0", lambda v: v >= 0)
    lacking, left = coarse.get("sharpness"), refined.get("sharpness")
    if lacking is not None and left is not None and lacking < 0:
        least = 0.5 if lacking < -BLURRED else 0.0
        share = 1 - abs(left) / abs(lacking)
        require("sharpness regained", share, f"at least {least}", lambda v: v >= least)
    if found.untouched is not None:
        change = found.untouched.crop
        limit = f"less than {MAX_CHANGE}"
        require("change of the untouched crop", change, limit, lambda v: v < MAX_CHANGE)
    return rows


def _ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None


def _difference(value: float | None, other: float | None) -> float | None:
    return value - other if value is not None and other is not None else None


def tables(found: RefineMeasurement, metrics: Sequence[Metric]) -> list[Table]:
    """Return the table of metrics, a line each and region, with the cost, and the requirements."""
    head = ["metric", "unit", "where", *found.scores, GAIN]
    lines = []
    for region in REGIONS:
        for metric in (m for m in metrics if region in m.regions):
            values = {label: s.values[region][metric.name] for label, s in found.scores.items()}
            ratio = _ratio(values["refined"], values["coarse"])
            cells = [format_value(value) for value in (*values.values(), ratio)]
            lines.append([metric_label(metric), metric.unit, region, *cells])
    lines.append(["frames", "", "", *(str(scores.frames) for scores in found.scores.values()), "-"])

    def of_refiner(name: str, unit: str, where: str, value: float) -> None:
        shown = {"refined": format_value(value)}
        lines.append([name, unit, where, *(shown.get(label, "-") for label in head[3:])])

    of_refiner("seconds per frame", "s", "", found.cost.seconds)
    of_refiner("network calls per frame", "", "", found.cost.calls)
    if found.untouched is not None:
        of_refiner("change of the untouched clip", "0..255", "crop", found.untouched.crop)
        of_refiner("change of the untouched clip", "0..255", "frame", found.untouched.frame)
    words = {True: "holds", False: "does not hold", None: "not measured"}
    limits = [
        [one.name, one.wanted, format_value(one.value), words[one.holds]]
        for one in requirements(found)
    ]
    return [(head, lines), (["required, of the face", "limit", "value", "result"], limits)]


def as_json(found: RefineMeasurement) -> dict[str, Any]:
    """Return one measurement for JSON."""
    return {
        "rows": rows_json(found.scores),
        "seconds_a_frame": found.cost.seconds,
        "calls_a_frame": found.cost.calls,
        "untouched": None
        if found.untouched is None
        else {"crop": found.untouched.crop, "frame": found.untouched.frame},
        "bars": {
            bar.name: {"value": bar.value, "wanted": bar.wanted, "holds": bar.holds}
            for bar in requirements(found)
        },
    }


def page(
    found: Sequence[RefineMeasurement],
    evaluations: Sequence[Evaluation],
    shown: Sequence[Table],
    run: str,
) -> Page:
    """Return the HTML report of clips. shown: tables of their mean. run: the command line."""
    rows = {
        one.name: replace(evaluation, rows=one.scores)
        for one, evaluation in zip(found, evaluations, strict=True)
    }
    section = Section(
        "Coarse and refined",
        tables=shown,
        charts=metric_charts(rows),
        images={name: one.sheet for name, one in rows.items()},
    )
    return Page("Refining", run, [section])
