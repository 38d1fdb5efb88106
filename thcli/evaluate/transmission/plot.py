"""Rate-distortion plot as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from thcli.evaluate.transmission.benchmark import Point
from thcli.media.atomic_file import replace_atomically

_COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8a5a44", "#6b4e9b", "#555555")
_SIDE, _EDGE, _GAP, _KEY = 300, 48, 48, 130  # pixels; _KEY: of a codec in the key
_TICKS = 5  # values on the upright axis
_LABELS = {
    "pfd": "pfd in the face (lower is better)",
    "csim": "CSIM in the face (higher is better)",
}


def save_plot(path: Path, points: Sequence[Point]) -> None:
    """Write one panel a clip and metric: kbit/s on a logarithmic axis, a line a codec.

    Raises OutputError.
    """
    with replace_atomically(path, overwrite=True) as partial:
        partial.write_text(draw_plot(points), "utf-8")


def draw_plot(points: Sequence[Point]) -> str:
    """Return the SVG text."""
    clips = list(dict.fromkeys(point.clip for point in points))
    codecs = list(dict.fromkeys(point.codec for point in points))
    width = len(clips) * (_SIDE + _GAP) + _EDGE
    in_row = width // _KEY
    height = len(_LABELS) * (_SIDE + _EDGE) + 22 * ceil(len(codecs) / in_row) + 28
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for row, (metric, label) in enumerate(_LABELS.items()):
        for column, clip in enumerate(clips):
            left, top = _EDGE + column * (_SIDE + _GAP), 24 + row * (_SIDE + _EDGE)
            chosen = [point for point in points if point.clip == clip]
            parts += _panel(chosen, codecs, metric, left, top)
            parts.append(_text(left, top - 8, f"{clip}: {label}"))
    for place, codec in enumerate(codecs):
        x, y = 16 + _KEY * (place % in_row), len(_LABELS) * (_SIDE + _EDGE) + 34
        y += 22 * (place // in_row)
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{_colour(codecs, codec)}"/>')
        parts.append(_text(x + 10, y, codec))
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    points: Sequence[Point], codecs: Sequence[str], metric: str, left: int, top: int
) -> list[str]:
    measured = [(p.codec, p.kbits, p.quality[metric]) for p in points]
    known = [(codec, kbits, value) for codec, kbits, value in measured if value is not None]
    parts = [
        f'<rect x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE - 20}" fill="none" '
        'stroke="#999"/>'
    ]
    if not known:
        return parts
    low = floor(log10(min(kbits for _, kbits, _ in known)) * 2) / 2
    high = max(ceil(log10(max(kbits for _, kbits, _ in known)) * 2) / 2, low + 0.5)
    least, most = (pick(value for _, _, value in known) for pick in (min, max))
    span = max(most - least, 1e-6)

    def place(kbits: float, value: float) -> tuple[float, float]:
        across = left + 10 + (_SIDE - 20) * (log10(kbits) - low) / (high - low)
        return across, top + 10 + (_SIDE - 40) * (most - value) / span

    bottom = top + _SIDE - 20
    for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if low <= log10(tick) <= high:
            x = round(place(tick, least)[0])
            parts.append(_rule((x, top), (x, bottom)))
            parts.append(_text(x - 6, top + _SIDE - 4, f"{tick}"))
    parts.append(_text(left + _SIDE - 38, top + _SIDE + 12, "kbit/s"))
    for part in range(_TICKS if most > least else 1):
        value = least + (most - least) * part / (_TICKS - 1)
        y = round(place(1, value)[1])
        parts.append(_rule((left, y), (left + _SIDE, y)))
        parts.append(_text(left - 44, y + 4, f"{value:.3f}"))
    for codec in codecs:
        line = sorted(place(kbits, value) for name, kbits, value in known if name == codec)
        colour = _colour(codecs, codec)
        spots = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        parts.append(f'<polyline points="{spots}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in line]
    return parts


def _colour(codecs: Sequence[str], codec: str) -> str:
    return _COLOURS[codecs.index(codec) % len(_COLOURS)]


def _rule(begin: tuple[int, int], end: tuple[int, int]) -> str:
    return f'<line x1="{begin[0]}" y1="{begin[1]}" x2="{end[0]}" y2="{end[1]}" stroke="#e4e4e4"/>'


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(text)}</text>'
