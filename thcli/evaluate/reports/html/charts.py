"""Charts as SVG text: bars with intervals, curves over time, quality over bitrate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from thcli.core.types import Array
from thcli.evaluate.metrics.bootstrap import Interval, bootstrap, frame_groups
from thcli.evaluate.reports.report import Evaluation, format_value, metric_label

WIDTH, LINE_HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 112, 14, 26, 34  # margins of the drawing
BAR = 22  # pixels of a bar with its gap
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f3fbf")
BASELINES = {"copy": "#9a9a9a", "align": "#c4b8a0", "truth": "#222222"}
BARS = (
    "l1",
    "psnr",
    "ssim",
    "ms_ssim",
    "lpips",
    "lpips_vgg",
    "pfd",
    "csim",
    "akd",
    "aed",
    "apd",
    "flicker",
    "own_flicker",
)  # metrics with a chart, in order
CURVES = ("l1", "pfd", "akd", "csim", "apd")
MOST_CLIPS = 8  # with curves; more make a page too long


@dataclass(frozen=True)
class Chart:
    """A drawing and the clip that it is of, empty for all."""

    svg: str
    clip: str = ""


def metric_charts(evaluations: Mapping[str, Evaluation]) -> list[Chart]:
    """Return bars of the means over all clips, then curves of each clip."""
    found = list(evaluations.values())
    metrics = {metric.name: metric for metric in found[0].metrics}
    colours = colours_of(list(found[0].rows))
    draw = np.random.default_rng(0)
    charts = []
    for name in (name for name in BARS if name in metrics):
        intervals = {}
        floor = name in ("flicker", "own_flicker")  # of which the truth has some
        for label in (label for label in found[0].rows if floor or label != "truth"):
            curves = [one.rows[label].curves.get(name, np.zeros(0)) for one in found]
            groups = frame_groups(curves)
            if groups:  # the mean is that of the table: of frames, then of clips
                means = [curve[np.isfinite(curve)].mean() for curve in curves if _is_known(curve)]
                found_interval = bootstrap(groups, draw, equal=True)
                intervals[label] = replace(found_interval, mean=float(np.mean(means)))
        if intervals:
            title = f"{metric_label(metrics[name])} {metrics[name].unit}".strip()
            from_zero = metrics[name].better == "lower"
            charts.append(Chart(bar_chart(title, intervals, colours, from_zero=from_zero)))
    for clip, one in list(evaluations.items())[:MOST_CLIPS]:
        for name in (name for name in CURVES if name in metrics):
            lines = {
                label: (scores.seconds, scores.curves[name])
                for label, scores in one.rows.items()
                if name in scores.curves and np.isfinite(scores.curves[name]).sum() > 1
            }
            if lines:
                title = f"{metric_label(metrics[name])} {metrics[name].unit}".strip()
                title += ", over seconds"
                charts.append(Chart(line_chart(title, lines, colours), clip))
    return charts


def _is_known(curve: Array) -> bool:
    return bool(np.isfinite(curve).any())


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for each row."""
    own = [label for label in labels if label not in BASELINES]
    return BASELINES | {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(own)}


def bar_chart(
    title: str, bars: Mapping[str, Interval], colours: Mapping[str, str], *, from_zero: bool = True
) -> str:
    """Draw horizontal bars, or dots where zero is far off, with the interval of each as a line."""
    height = TOP + BAR * len(bars) + BOTTOM
    ends = [end for one in bars.values() for end in (one.low, one.high)]
    low, high = _padded(min(ends + [0.0] * from_zero), max(ends + [0.0] * from_zero))
    parts = [_vertical_grid(low, high, height)]
    for number, (label, one) in enumerate(bars.items()):
        y = TOP + BAR * number
        at = _place(one.mean, low, high)
        first, last = sorted((_place(0.0, low, high), at)) if from_zero else (at - 4, at + 4)
        colour, middle = colours[label], y + BAR / 2
        value = f"{format_value(one.mean)} ({format_value(one.low)} to {format_value(one.high)})"
        parts.append(
            f'<rect x="{first:.1f}" y="{y + 5}" width="{max(last - first, 0.5):.1f}" '
            f'height="{BAR - 10}" fill="{colour}" fill-opacity=".75">'
            f"<title>{escape(label)}: {escape(value)}</title></rect>"
            f'<line x1="{_place(one.low, low, high):.1f}" x2="{_place(one.high, low, high):.1f}" '
            f'y1="{middle}" y2="{middle}" stroke="#000" stroke-width="2"/>'
            f'<text x="{LEFT - 6}" y="{middle + 4}" text-anchor="end">'
            f"{escape(_short(label))}</text>"
        )
    return _svg(title, height, parts)


def line_chart(
    title: str, lines: Mapping[str, tuple[Array, Array]], colours: Mapping[str, str]
) -> str:
    """Draw curves over time; values that are not known are gaps. lines: label -> x and y."""
    known = np.concatenate([y[np.isfinite(y)] for _, y in lines.values()])
    low, high = _padded(float(known.min()), float(known.max()))
    start = min(float(x[0]) for x, _ in lines.values())
    end = max(max(float(x[-1]) for x, _ in lines.values()), start + 1e-6)
    height = LINE_HEIGHT + 16 * math.ceil(len(lines) / 3)
    left = 52
    floor = LINE_HEIGHT - BOTTOM

    def across(value: float) -> float:
        return left + (value - start) / (end - start) * (WIDTH - left - RIGHT)

    def up(value: float) -> float:
        return floor - (value - low) / (high - low) * (floor - TOP)

    parts = []
    for tick in _ticks(low, high):
        parts.append(
            f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{up(tick):.1f}" y2="{up(tick):.1f}" '
            f'class="grid"/><text x="{left - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">'
            f"{format_value(tick)}</text>"
        )
    for tick in _ticks(start, end):
        parts.append(
            f'<text x="{across(tick):.1f}" y="{floor + 16}" text-anchor="middle">'
            f"{format_value(tick)}</text>"
        )
    for number, (label, (x, y)) in enumerate(lines.items()):
        path, pen = [], "M"
        for a, b in zip(x, y, strict=True):
            if np.isfinite(b):
                path.append(f"{pen}{across(float(a)):.1f} {up(float(b)):.1f}")
                pen = "L"
            else:
                pen = "M"
        place = left + number % 3 * 132, LINE_HEIGHT + 12 + 16 * (number // 3)
        parts.append(
            f'<path d="{"".join(path)}" fill="none" stroke="{colours[label]}" '
            f'stroke-width="1.6"/><rect x="{place[0]}" y="{place[1] - 9}" width="10" '
            f'height="10" fill="{colours[label]}"/><text x="{place[0] + 14}" y="{place[1]}">'
            f"{escape(_short(label))}</text>"
        )
    return _svg(title, height, parts)


def rate_chart(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw quality over the logarithm of the bitrate. lines: method -> kbit/s and value."""
    curves = {}
    for label, points in lines.items():
        rate, value = np.array(sorted(points), np.float64).T
        curves[label] = np.log10(rate), value
    return line_chart(f"{title}, over log10 of kbit/s", curves, colours_of(list(lines)))


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    text = escape(title)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{text}">'
        f'<text x="8" y="15" class="title">{text}</text>{"".join(parts)}</svg>'
    )


def _vertical_grid(low: float, high: float, height: int) -> str:
    parts = []
    for tick in _ticks(low, high):
        x = _place(tick, low, high)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}" class="grid"/>'
            f'<text x="{x:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">'
            f"{format_value(tick)}</text>"
        )
    return "".join(parts)


def _place(value: float, low: float, high: float) -> float:
    return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _padded(low: float, high: float) -> tuple[float, float]:
    """Return a range that is not empty."""
    return (low, high + 0.05 * (high - low)) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Return 3 to 7 round numbers within a range."""
    step = 10.0 ** math.floor(math.log10(high - low))
    while (high - low) / step < 3:
        step /= 2
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)][:11]


def _short(label: str) -> str:
    return label if len(label) <= 17 else f"{label[:16]}…"
