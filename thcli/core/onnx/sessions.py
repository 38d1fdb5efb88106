"""Sessions of onnxruntime on the CPU, and the errors that it raises."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from thcli.core.errors import WeightsError

SESSION_ERRORS = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
)


def open_session(model: bytes | Path, name: str, threads: int = 0) -> onnxruntime.InferenceSession:
    """Load an ONNX model.

    Args:
        model: file, or its content.
        name: of the model, for messages.
        threads: of one call; 0 stands for the number of cores.

    Raises:
        WeightsError: it is not a model that onnxruntime can run.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    given = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(given, settings, providers=["CPUExecutionProvider"])
    except SESSION_ERRORS as exc:
        raise WeightsError(f"{name} is not a usable ONNX model: {exc}.") from exc
