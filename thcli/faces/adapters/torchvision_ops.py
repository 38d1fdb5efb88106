"""Importing torchvision where its compiled part does not fit torch.

torchvision's import describes its operators to torch (`register_fake("torchvision::nms")`), which needs their declarations.
These are in its compiled part; when that was built for another torch (the usual case: a package index gives a CUDA build of
torchvision beside a CPU build of torch) it does not load, nothing is declared, and the import fails, although all that the
adapters want are network definitions in plain Python. Declaring the two operators is enough for the import; they stay
without an implementation, so nobody can get a wrong result from them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from thcli.core.errors import DeviceError

_MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def mend_torchvision() -> Any:
    """Makes `import torchvision` work. Returns the declarations that were needed (kept alive), None where it works by itself.

    Tried as it is first: declaring what a healthy torchvision declares too would break that one.
    Raises DeviceError when torchvision does not import in another way.
    """
    try:
        import torchvision  # imported to see whether it can be
    except RuntimeError as exc:
        if "torchvision::nms does not exist" not in str(exc):
            raise _unfit(exc) from exc
    else:
        return None
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch's own
    for declaration in _MISSING:
        library.define(declaration)
    try:
        import torchvision  # noqa: F401
    except RuntimeError as exc:
        raise _unfit(exc) from exc
    return library


def _unfit(exc: RuntimeError) -> DeviceError:
    reason = str(exc).splitlines()[0]
    return DeviceError(
        f"The installed torchvision does not fit torch {torch.__version__}: {reason}",
        "Install the torchvision of the same build as torch.",
    )
