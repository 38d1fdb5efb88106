"""Which devices there are, and which one a job runs on. torch is imported only when a function is called."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from thcli.core.errors import DeviceError

if TYPE_CHECKING:
    import torch


def devices() -> list[tuple[str, str]]:
    """Names as --device takes them, each with a description; the CPU comes last."""
    import torch

    found = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found.append((f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"))
    if torch.backends.mps.is_available():
        found.append(("mps", "Apple GPU"))
    return [*found, ("cpu", f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads")]


def resolve(name: str) -> torch.device:
    """The device of a --device value; auto is the first of `devices`. Raises DeviceError when it does not exist."""
    import torch

    there = [n for n, _ in devices()]
    wanted = there[0] if name == "auto" else "cuda:0" if name == "cuda" else name
    if wanted not in there:
        raise DeviceError(f"There is no device {name!r} here.", f"Use --device {' or '.join(there)}.")
    return torch.device(wanted)
