"""`thcli doctor`: installed packages, codecs, devices, weights and free disk."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.byte_sizes import size_text
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
MIN_FREE_DISK = 500_000_000  # bytes: an hour of 720p at crf 18


class Check(NamedTuple):
    """One line of the report.

    state: "ok", "note" (works with limits) or "problem" (the default does not work).
    """

    area: str
    state: str
    text: str
    remedy: str = ""
    exit_code: int = 0


@flags
def doctor(*, show: ShowOptions) -> int:
    """Check the installation, and print how to repair it."""
    checks = [
        *_python(),
        *_packages(),
        *_torchvision(),
        *_codecs(),
        *_devices(),
        *_weights(),
        *_disk(),
    ]
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
        name = re.split(r"[^\w.-]", requirement)[0]
        if "extra ==" in requirement:
            continue
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


def _torchvision() -> Iterator[Check]:
    """Check torchvision, which facexlib imports: that it imports, and that its operators run."""
    import torch

    from thcli.faces.adapters.torchvision_ops import make_torchvision_importable

    remedy = "Install the torchvision of the same build as torch."
    try:
        make_torchvision_importable()
        import torchvision

        name = f"torchvision {torchvision.__version__}"
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        torchvision.ops.nms(boxes, torch.ones(1), 0.5)
    except ImportError as exc:
        reason = f"torchvision cannot be imported: {exc}"
        yield Check("package", "note", f"{reason}; the facexlib backends need it", remedy)
    except DeviceError as exc:
        yield Check("package", "note", exc.message, exc.hint)
    except (RuntimeError, NotImplementedError):
        text = f"{name}: its operators do not fit torch {torch.__version__}; thcli needs none"
        yield Check("package", "note", text, remedy)
    else:
        yield Check("package", "ok", f"{name}, its operators fit torch {torch.__version__}")


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
    from thcli.core.device import list_devices

    for name, about in list_devices():
        yield Check("device", "ok", f"{name}: {about}")


def _weights() -> Iterator[Check]:
    from thcli import weights

    entries = weights.registry().values()
    try:
        ready = {entry.name for entry in entries if weights.is_ready(entry.name)}
    except WeightsError as exc:
        yield Check("weights", "problem", exc.message, exc.hint, exc.exit_code)
        return
    for entry in entries:
        if entry.auto:
            size = f"{size_text(entry.size)}, downloaded at first use"
            yield Check(
                "weights",
                "ok" if entry.name in ready else "note",
                f"{entry.name}: {'ready' if entry.name in ready else size}",
                "" if entry.name in ready else weights.get_commands([entry.name]),
            )
    others = [entry.name for entry in entries if not entry.auto]
    yield Check(
        "weights",
        "ok",
        f"{len(ready.intersection(others))} of {len(others)} other files are ready",
        "thcli weights list",
    )
    yield from _cache(weights.cache_folder(), all(e.name in ready for e in entries if e.auto))


def _cache(folder: Path, complete: bool) -> Iterator[Check]:
    """Check the folder of the weights. complete: the weights that are downloaded unasked are there.

    A folder that cannot be written is enough for weights that are there.
    """
    code = WeightsError.exit_code
    reason = _why_not_writable(folder)
    if reason:
        text = f"{folder} cannot be written ({reason})"
        text += ": no other weights can be added" if complete else ": no weights can be downloaded"
        remedy = "Set THCLI_WEIGHTS to a folder that you may write."
        yield Check("disk", "note" if complete else "problem", text, remedy, code)
    else:
        yield _space("weights", folder)


def _disk() -> Iterator[Check]:
    here = Path.cwd()
    reason = _why_not_writable(here)
    if reason:
        text = f"{here} cannot be written ({reason})"
        yield Check("disk", "note", text, "Choose another folder with -o.", OutputError.exit_code)
    else:
        yield _space("here", here)
    yield Check("thcli", "ok", f"{version('thcli')} with {sys.executable}")


def _space(what: str, folder: Path) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    enough = free >= MIN_FREE_DISK
    return Check(
        "disk",
        "ok" if enough else "problem",
        f"{size_text(free)} free ({what}: {folder})",
        "" if enough else f"Free {size_text(MIN_FREE_DISK - free)} or more.",
        OutputError.exit_code,
    )


def _why_not_writable(folder: Path) -> str:
    """Return why nothing can be written into a folder, which need not exist; '' if it can be."""
    existing = _existing(folder)
    if not existing.is_dir():
        return f"{existing} is a file"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return ""
    except OSError as exc:
        return "" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else exc.strerror or str(exc)


def _existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())
