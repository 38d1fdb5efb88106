"""ONNX files of the bundled networks: numbers, metadata, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from thcli.core.errors import OutputError, UsageError, WeightsError
from thcli.core.onnx.sessions import SESSION_ERRORS
from thcli.train.onnx import export
from thcli.train.onnx.networks import GRAPHS, REASONS
from thcli.weights import WeightsStore, load_tensors, registry

ROWS = 3  # of a batch; examples have 2


def test_all_bundled_weights_have_a_graph_or_a_reason() -> None:
    store = WeightsStore.default()
    bundled = {name for name, entry in registry().items() if store.is_bundled(entry)}
    assert bundled == set(GRAPHS) | set(REASONS) and not set(GRAPHS) & set(REASONS)


@pytest.mark.parametrize("name", GRAPHS)
def test_onnxruntime_gives_the_numbers_of_the_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    done = export.export_onnx(name, tmp_path / "model.onnx")
    assert torch.equal(torch.get_rng_state(), state)
    graph, again = (GRAPHS[name](load_tensors(name), name) for _ in range(2))
    assert not any(module.training for module in graph.network.modules())
    for one, other in zip(graph.examples, again.examples, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    session = onnxruntime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
    assert [found.name for found in session.get_outputs()] == list(done.outputs)
    for example in graph.examples:
        given = {key: torch.rand(ROWS, *value.shape[1:]) for key, value in example.items()}
        found = session.run(None, {key: value.numpy() for key, value in given.items()})
        with torch.inference_mode():
            expected = graph.network(*given.values())
        wanted = (expected,) if isinstance(expected, torch.Tensor) else expected
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-4)
            assert np.ptp(one) > 1e-3
    facts = {prop.key: prop.value for prop in onnx.load(str(done.path)).metadata_props}
    entry = registry()[name]
    assert (facts["licence"], facts["figures"]) == (entry.licence, entry.figures)
    assert facts["commercial"] == str(entry.commercial).lower() and facts["about"]


def test_other_weights_are_refused_with_the_reason(tmp_path: Path) -> None:
    for name, reason in (("fadm-s", "by a sampler"), ("fomm-vox", "its authors' formats")):
        with pytest.raises(UsageError, match=reason):
            export.export_onnx(name, tmp_path / "model.onnx")


def test_a_graph_with_other_numbers_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(WeightsError, match="differs from PyTorch"):
        export.export_onnx("identity-s", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("torch.onnx.export", RuntimeError("no symbol")),
        ("onnx.checker.check_model", onnx.checker.ValidationError("no symbol")),
        ("onnxruntime.InferenceSession", SESSION_ERRORS[0]("no symbol")),
    ],
)
def test_a_failure_of_a_library_is_named(
    name: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(name, fail)
    with pytest.raises(WeightsError, match="export of patches-s to ONNX fails: no symbol"):
        export.export_onnx("patches-s", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"mine")
    with pytest.raises(OutputError):
        export.export_onnx("identity-s", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == b"mine"
