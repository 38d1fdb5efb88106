"""Import of torchvision where its compiled part does not fit torch.

torchvision's import describes its operators to torch (`register_fake("torchvision::nms")`), which
needs their declarations. These are in its compiled part. A compiled part built for another torch
does not load (the usual case: a package index gives a CUDA build of torchvision beside a CPU build
of torch); then nothing is declared and the import fails, although the adapters only need network
definitions in plain Python. Declaring the two operators is enough for the import. They stay without
an implementation: a call raises, and never returns a wrong result.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from thcli.core.errors import DeviceError

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def make_torchvision_importable() -> Any:
    """Make `import torchvision` work, by declaring its operators where that is needed.

    The plain import is tried first: a second declaration breaks a healthy torchvision.

    Returns:
        The library object that keeps the declarations alive; None where none were needed.

    Raises:
        DeviceError: torchvision does not import for another reason.
    """
    try:
        import torchvision  # imported to see whether it can be
    except RuntimeError as exc:
        if "torchvision::nms does not exist" not in str(exc):
            raise _mismatch_error(exc) from exc
    else:
        return None
    torch_library: Any = torch.library  # untyped
    library = torch_library.Library("torchvision", "FRAGMENT")
    for declaration in _OPERATORS:
        library.define(declaration)
    try:
        import torchvision  # noqa: F401
    except RuntimeError as exc:
        raise _mismatch_error(exc) from exc
    return library


def _mismatch_error(exc: RuntimeError) -> DeviceError:
    reason = str(exc).splitlines()[0]
    return DeviceError(
        f"The installed torchvision does not fit torch {torch.__version__}: {reason}",
        "Install the torchvision of the same build as torch.",
    )
