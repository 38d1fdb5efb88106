"""Which devices there are, and which one a job runs on. torch is imported only when a function is called."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
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
    return [
        *found,
        ("cpu", f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"),
    ]


def resolve(name: str) -> torch.device:
    """The device of a --device value; auto is the first of `devices`. Raises DeviceError when it does not exist."""
    import torch

    there = [n for n, _ in devices()]
    wanted = there[0] if name == "auto" else "cuda:0" if name == "cuda" else name
    if wanted not in there:
        raise DeviceError(
            f"There is no device {name!r} here.", f"Use --device {' or '.join(there)}."
        )
    return torch.device(wanted)


def prepared(name: str, threads: int) -> torch.device:
    """`resolve`, with so many threads for what torch computes on the CPU (0: as many as it likes)."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    return resolve(name)


def half_of(precision: str, device: torch.device, *, training: bool = False) -> torch.dtype | None:
    """The type that autocast computes in, of a --precision value; None: float32 throughout.

    training: auto prefers bf16 where there is, whose range needs no scaling of losses.
    """
    import torch

    if precision == "auto" and device.type != "cuda":
        return None
    if precision == "auto":
        precision = "bf16" if training and torch.cuda.is_bf16_supported() else "fp16"
    return {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


@contextmanager
def enough_memory(
    device: torch.device, what: str = "", hint: str = "Use a smaller --batch-size, or --device cpu."
) -> Iterator[None]:
    """Raises DeviceError, with the hint, when the device's memory does not do. what: for which, such as "to parse"."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise DeviceError(f"{device} has not enough memory{what and ' ' + what}.", hint) from exc
