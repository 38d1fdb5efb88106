"""Export of bundled weights as an ONNX file that was compared with PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from thcli import __version__
from thcli.core.errors import UsageError, WeightsError
from thcli.core.onnx.sessions import SESSION_ERRORS
from thcli.media.atomic_file import replace_atomically
from thcli.train.onnx.networks import GRAPHS, REASONS, OnnxGraph
from thcli.weights import WeightsStore, load_tensors
from thcli.weights.registry import WeightsEntry, find_entry

OPSET = 17
TOLERANCE = 1e-4  # largest difference of an output from PyTorch's
_FOREIGN = "it is not a network that thcli trains; its authors' formats are their own"


@dataclass(frozen=True, slots=True)
class OnnxExport:
    """A written ONNX file. difference: largest of an output from PyTorch's."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float


def export_onnx(
    name: str, path: str | Path, *, overwrite: bool = False, store: WeightsStore | None = None
) -> OnnxExport:
    """Write the network of bundled weights as an ONNX file.

    Batches have any size. The file's metadata hold licence, training data and figures of
    `weights.toml`. The file is written when onnxruntime gives PyTorch's numbers with it.

    Args:
        name: entry of weights.toml; a file that was imported under this name is exported.
        path: file to write.
        overwrite: replace an existing file.
        store: cache to use; the user's by default.

    Raises:
        UsageError: the name is unknown, or its network has no graph.
        WeightsError: the weights are absent or altered, the export fails, or the graph gives
            other numbers.
        OutputError: the file exists or cannot be written.
    """
    store = store or WeightsStore.default()
    entry = find_entry(store.entries, name)
    if name not in GRAPHS:
        raise UsageError(
            f"{name} cannot be exported to ONNX: {REASONS.get(name, _FOREIGN)}.",
            f"These can: {', '.join(GRAPHS)}.",
        )
    with replace_atomically(Path(path), overwrite=overwrite) as partial:
        with torch.random.fork_rng(devices=[]):  # for the initial weights that are replaced
            graph = GRAPHS[name](load_tensors(name, store=store), name)
        with _converted_errors(name):
            _trace(graph, partial)
            _describe(partial, entry, graph)
            difference = compare(graph, partial)
        if not difference <= TOLERANCE:
            raise WeightsError(
                f"The ONNX graph of {name} differs from PyTorch by {difference:.2g}.",
                "Report it with the versions of thcli doctor.",
            )
    return OnnxExport(Path(path), tuple(graph.examples[0]), graph.outputs, difference)


def compare(graph: OnnxGraph, path: Path) -> float:
    """Return the largest difference of onnxruntime from PyTorch, for one row and for several.

    Every size of the examples is compared.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for example in graph.examples:
        for rows in (slice(0, 1), slice(None)):
            given = {key: value[rows] for key, value in example.items()}
            found = session.run(None, {key: value.numpy() for key, value in given.items()})
            with torch.inference_mode():
                expected = graph.network(*given.values())
            wanted = (expected,) if isinstance(expected, torch.Tensor) else expected
            for one, other in zip(found, wanted, strict=True):
                largest = max(largest, float(np.abs(one - other.numpy()).max()))
    return largest


def _trace(graph: OnnxGraph, path: Path) -> None:
    """Write the graph of a network by tracing, which needs no package beside PyTorch."""
    example = graph.examples[0]
    with warnings.catch_warnings():
        # The exporter warns of its age and of sizes that become constants, which they are.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.network,
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=list(graph.outputs),
            dynamic_axes={key: dict(axes) for key, axes in graph.free.items()},
            opset_version=OPSET,
            dynamo=False,
        )


def _describe(path: Path, entry: WeightsEntry, graph: OnnxGraph) -> None:
    """Add licence, origin and the meaning of inputs and outputs to a file, and check it."""
    import onnx  # slow, and few commands need it

    model = onnx.load(str(path))
    model.producer_name, model.producer_version = "thcli", __version__
    model.doc_string = graph.about
    facts = {
        "name": entry.name,
        "licence": entry.licence,
        "commercial": str(entry.commercial).lower(),
        "trained_on": entry.trained_on,
        "figures": entry.figures,
        "about": graph.about,
    }
    onnx.helper.set_model_props(model, {key: value for key, value in facts.items() if value})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


@contextmanager
def _converted_errors(name: str) -> Iterator[None]:
    """Raise WeightsError for errors of torch, onnx and onnxruntime."""
    import onnx

    invalid = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)
    try:
        yield
    except (RuntimeError, *invalid, *SESSION_ERRORS) as exc:
        raise WeightsError(
            f"The export of {name} to ONNX fails: {exc}.",
            "Report it with the versions of thcli doctor.",
        ) from exc
