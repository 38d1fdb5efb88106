"""`thcli doctor`: what is installed, which weights are ready, the GPU, the codecs, the free disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.errors import DeviceError, OutputError, WeightsError
from thcli.core.options import ShowOptions

CODECS = (
    "libx264",
    "libx265",
    "libvpx-vp9",
    "libsvtav1",
    "prores_ks",
    "ffv1",
    "aac",
    "libopus",
    "gif",
    "libwebp_anim",
)
LEAST_DISK = 500_000_000  # bytes: an hour of 720p at crf 18


class Check(NamedTuple):
    """One line of the report. state: ok | note (works, with less) | problem (the default does not work)."""

    area: str
    state: str
    text: str
    remedy: str = ""
    exit_code: int = 0


@flags
def doctor(*, show: ShowOptions) -> int:
    """Check the installation, and say what to do about what is missing."""
    checks = [*_python(), *_packages(), *_codecs(), *_devices(), *_weights(), *_disk()]
    with Console(show) as console:
        console.table(
            ("", "area", "what", "remedy"),
            [(c.state, c.area, c.text, c.remedy) for c in checks],
            {"command": "doctor", "checks": [c._asdict() for c in checks]},
        )
    return next((c.exit_code for c in checks if c.state == "problem"), 0)


def _python() -> Iterator[Check]:
    yield Check(
        "python",
        "ok",
        f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores",
    )


def _packages() -> Iterator[Check]:
    for requirement in requires("thcli") or []:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0].split(">")[0].split("=")[0].strip()
        try:
            yield Check("package", "ok", f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Check(
                "package",
                "problem",
                f"{name} is missing",
                f"pip install {name}",
                DeviceError.exit_code,
            )


def _codecs() -> Iterator[Check]:
    import av

    found = av.codecs_available
    missing = [c for c in CODECS if c not in found]
    yield Check("codecs", "ok", ", ".join(c for c in CODECS if c in found))
    if missing:
        yield Check(
            "codecs", "note", f"not in this PyAV: {', '.join(missing)}", "pip install --upgrade av"
        )


def _devices() -> Iterator[Check]:
    from thcli.core.device import devices

    for name, about in devices():
        yield Check("device", "ok", f"{name}: {about}")


def _weights() -> Iterator[Check]:
    from thcli import weights

    for entry in weights.registry().values():
        if entry.auto:
            ready = weights.present(entry.name)
            yield Check(
                "weights",
                "ok" if ready else "note",
                f"{entry.name}: {'ready' if ready else 'fetched at first use'}",
                "" if ready else f"thcli weights pull {entry.name}",
            )
    others = [e for e in weights.registry().values() if not e.auto]
    ready_names = [e.name for e in others if weights.present(e.name)]
    yield Check(
        "weights",
        "ok",
        f"{len(ready_names)} of {len(others)} official files are here",
        "thcli weights list",
    )


def _disk() -> Iterator[Check]:
    from thcli import weights

    for what, folder in (("here", Path.cwd()), ("weights", weights.cache_folder())):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free
        state = "ok" if free >= LEAST_DISK else "problem"
        yield Check(
            "disk",
            state,
            f"{free / 1e9:.1f} GB free ({what}: {folder})",
            "" if state == "ok" else "free some room",
            OutputError.exit_code,
        )
        if not os.access(there, os.W_OK):
            code = WeightsError.exit_code if what == "weights" else OutputError.exit_code
            yield Check(
                "disk",
                "problem" if what == "weights" else "note",
                f"{folder} cannot be written",
                "",
                code,
            )
    yield Check("thcli", "ok", f"{version('thcli')} with {sys.executable}")
