"""Selection of the compute device and precision. torch is imported when a function is called."""

from __future__ import annotations

import errno
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Barrier
from typing import TYPE_CHECKING

from thcli.core.errors import DeviceError, DeviceMemoryError

if TYPE_CHECKING:
    import torch

# Words of the RuntimeErrors by which CUDA, cuBLAS, cuDNN, MPS and torch's CPU allocator say it.
_OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED", "t allocate memory", "not enough memory")

_resolved: ContextVar[list[str] | None] = ContextVar("resolved devices", default=None)


@contextmanager
def recorded_devices() -> Iterator[list[str]]:
    """Collect the names of the devices that `resolve_device` returns inside the context."""
    names: list[str] = []
    token = _resolved.set(names)
    try:
        yield names
    finally:
        _resolved.reset(token)


def list_devices() -> list[tuple[str, str]]:
    """Return (name as --device takes it, description) of each device; the CPU comes last."""
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


def require_device(name: str) -> None:
    """Raise DeviceError for a device that does not exist; torch is not imported for the CPU."""
    if name not in ("auto", "cpu"):
        _find_device(name)


def resolve_device(name: str) -> torch.device:
    """Return the device of a --device value; "auto" is the first of `list_devices`.

    Raises:
        DeviceError: the device does not exist.
    """
    import torch

    wanted = _find_device(name)
    record_devices(wanted)
    return torch.device(wanted)


def record_devices(*used: str) -> None:
    """Add devices to the record of the surrounding job, if there is one."""
    names = _resolved.get()
    if names is not None:
        names.extend(name for name in used if name not in names)


def _find_device(name: str) -> str:
    """Return the name in `list_devices` of a --device value. Raises DeviceError."""
    available = [n for n, _ in list_devices()]
    wanted = available[0] if name == "auto" else "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise DeviceError(
            f"Device {name!r} does not exist on this machine.",
            f"Use --device {' or '.join(available)}.",
        )
    return wanted


def prepare_device(name: str, threads: int) -> torch.device:
    """Resolve a device as `resolve_device` does, limit torch's CPU threads and switch TF32 off.

    TF32 keeps 10 bits of mantissa in convolutions on Ampere and later GPUs: golden numbers are
    then off by up to 2.5e-2 instead of 6e-5. fp32 means fp32 here; fp16 and bf16 are asked for.

    Args:
        name: a --device value.
        threads: CPU threads for torch; 0 leaves its default.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return resolve_device(name)


@contextmanager
def single_thread_workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Start threads in each of which torch computes with one thread.

    Its sums then round alike on every machine, and small networks run faster side by side. In all
    other threads torch computes with as many as before, also while the context is open.
    """
    import torch

    before = torch.get_num_threads()
    started = Barrier(count)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first call of torch takes the process's number over
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="single_thread")
    try:
        try:
            wait([pool.submit(begin) for _ in range(count)])
        finally:
            torch.set_num_threads(before)
        yield pool
    finally:
        started.abort()  # those that still wait for a thread which could not be started
        pool.shutdown(wait=True, cancel_futures=True)


def autocast_dtype(
    precision: str, device: torch.device, *, training: bool = False
) -> torch.dtype | None:
    """Return the autocast type of a --precision value, None for float32 throughout.

    Args:
        precision: auto, fp32, fp16 or bf16.
        device: the device to compute on.
        training: let auto prefer bf16 where available; its range needs no loss scaling.
    """
    import torch

    if precision == "auto" and device.type != "cuda":
        return None
    if precision == "auto":
        precision = "bf16" if training and torch.cuda.is_bf16_supported() else "fp16"
    return {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return True for an error of Python, torch, OpenCV or the system that memory is used up."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    torch, cv2 = sys.modules.get("torch"), sys.modules.get("cv2")
    if cv2 is not None and isinstance(error, cv2.error):
        return f"({cv2.Error.StsNoMem}:" in str(error)  # its `code` is one for all errors
    if not isinstance(error, RuntimeError):
        return False
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


@contextmanager
def convert_out_of_memory(
    device: torch.device,
    purpose: str = "",
    hint: str = "Use a smaller --batch-size, or --device cpu.",
) -> Iterator[None]:
    """Convert the block's errors of used-up memory into a DeviceMemoryError.

    Args:
        device: the device named in the message.
        purpose: end of the sentence, such as "to parse".
        hint: the next action.

    Raises:
        DeviceMemoryError: the device ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as exc:
        if isinstance(exc, DeviceMemoryError) or not is_out_of_memory(exc):
            raise
        reason = f"{device} has not enough memory{purpose and ' ' + purpose}."
        raise DeviceMemoryError(reason, hint) from exc
