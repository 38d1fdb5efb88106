"""thcli: animate, refine, edit or voice a face in a video.

The public names are resolved on first use, so that `import thcli` and `thcli --help` load neither torch nor av.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES: dict[str, str] = {
    "ThcliError": "thcli.core.errors",
    "UsageError": "thcli.core.errors",
    "MediaError": "thcli.core.errors",
    "NoFaceError": "thcli.core.errors",
    "WeightsError": "thcli.core.errors",
    "DeviceError": "thcli.core.errors",
    "OutputError": "thcli.core.errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thcli' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
