"""Text of file sizes in decimal units."""

from __future__ import annotations

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size_text(size: int) -> str:
    """Return a size such as "512 bytes", "4.7 kB", "230 kB" or "11.5 MB"; `size` in bytes."""
    for unit, name in _UNITS:
        if size >= unit:
            value = size / unit
            return f"{value:.0f} {name}" if value >= 99.95 else f"{value:.1f} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"
