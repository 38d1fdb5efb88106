"""Extraction and inference of TFLite files, on a generated model: y = x + 1, z = 2 y."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from thcli.core.errors import DeviceError, WeightsError
from thcli.faces.tflite import TfliteGraph, TfliteNetwork, read_model

ADD, MUL = 0, 18  # schema.BuiltinOperator


def tensor(name: str, buffer: int, shape: tuple[int, ...]) -> Any:
    out = schema.TensorT()
    out.name, out.buffer, out.shape, out.type = name, buffer, list(shape), schema.TensorType.FLOAT32
    return out


def operator(code: int, inputs: list[int], outputs: list[int], options: Any, kind: int) -> Any:
    out = schema.OperatorT()
    out.opcodeIndex, out.inputs, out.outputs = code, inputs, outputs
    out.builtinOptions, out.builtinOptionsType = options, kind
    return out


@pytest.fixture(scope="module")
def content() -> bytes:
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version = 3
    model.buffers = [schema.BufferT() for _ in range(3)]
    for buffer, value in zip(model.buffers[1:], (1.0, 2.0), strict=True):
        buffer.data = np.frombuffer(np.array([value], np.float32).tobytes(), np.uint8)
    model.operatorCodes = []
    for code in (ADD, MUL):
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = 1
        model.operatorCodes.append(entry)
    graph.tensors = [
        tensor("x", 0, (1, 2, 3)),
        tensor("one", 1, (1,)),
        tensor("y", 0, (1, 2, 3)),
        tensor("two", 2, (1,)),
        tensor("z", 0, (1, 2, 3)),
    ]
    graph.operators = [
        operator(0, [0, 1], [2], schema.AddOptionsT(), schema.BuiltinOptions.AddOptions),
        operator(1, [2, 3], [4], schema.MulOptionsT(), schema.BuiltinOptions.MulOptions),
    ]
    graph.inputs, graph.outputs = [0], [4]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def run(model: bytes, given: str, wanted: list[str]) -> list[Any]:
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    return [out.ravel().tolist() for out in TfliteNetwork(model, [given], wanted).run(x)]


def test_an_extracted_part_computes_as_the_whole(content: bytes) -> None:
    graph = TfliteGraph(content)
    assert run(content, "x", ["z"]) == [[2, 4, 6, 8, 10, 12]]
    assert run(graph.extract(["x"], ["y"]), "x", ["y"]) == [[1, 2, 3, 4, 5, 6]]
    assert run(graph.extract(["y"], ["z"]), "y", ["z"]) == [[0, 2, 4, 6, 8, 10]]
    assert run(graph.extract(["x"], ["z", "y"]), "x", ["z", "y"])[1] == [1, 2, 3, 4, 5, 6]
    assert graph.producer_inputs("z") == ["y", "two"]


def test_pixels_are_scaled_into_the_input(content: bytes) -> None:
    network = TfliteNetwork(content, ["x"], ["z"])
    network.write_scaled_input(np.full((2, 3), 255, np.uint8), 2 / 255, -1.0)
    assert np.allclose(network.run()[0], 4)
    network.write_scaled_input(np.full((2, 3), 65535, np.uint16), 1 / 65535)
    assert np.allclose(network.run()[0], 4)


def test_outputs_are_copies(content: bytes) -> None:
    network = TfliteNetwork(content, ["x"], ["z"])
    (first,) = network.run(np.zeros((1, 2, 3), np.float32))
    network.run(np.ones((1, 2, 3), np.float32))
    assert (first == 2).all()


def test_unknown_names(content: bytes) -> None:
    with pytest.raises(WeightsError, match="'w'"):
        TfliteGraph(content).extract(["x"], ["w"])
    with pytest.raises(WeightsError, match="'w', only z"):
        TfliteNetwork(content, ["x"], ["w"])


@pytest.mark.parametrize("part", [8, 40, 200])
def test_a_truncated_file(content: bytes, part: int) -> None:
    with pytest.raises((WeightsError, DeviceError)):
        TfliteGraph(content[:part])


def test_files_of_another_format(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        read_model(tmp_path / "none.tflite")
    page = tmp_path / "page.tflite"
    page.write_text("<html></html>")
    with pytest.raises(WeightsError, match="is not a TFLite network"):
        read_model(page)
    page.write_bytes(b"")
    with pytest.raises(WeightsError, match="is not a TFLite network"):
        read_model(page)


def test_an_interpreter_that_refuses(content: bytes) -> None:
    with pytest.raises(DeviceError, match="LiteRT cannot run"):
        TfliteNetwork(b"\0\0\0\0TFL3" + b"\0" * 64, ["x"], ["z"])


def test_without_litert_the_error_names_the_package(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(DeviceError) as caught:
        TfliteNetwork(content, ["x"], ["z"])
    assert "pip install ai-edge-litert" in caught.value.hint


def test_the_real_network_is_split_into_parts(attention: Path) -> None:
    graph = TfliteGraph(read_model(attention))
    options = graph.custom_options(graph.producer_inputs("transform_tensor_bilinear_v2")[1])
    assert len(options["subset_idxs"]) == 80
    assert (options["left_rotation_idx"], options["right_rotation_idx"]) == (61, 291)


def test_the_library_does_not_write_to_stderr(attention: Path) -> None:
    """It writes one line per process to the descriptor; later output must pass."""
    code = (
        "import os, sys; from pathlib import Path;"
        "from thcli.faces.landmarks.facemesh import FaceMesh;"
        "FaceMesh(Path(sys.argv[1])); os.write(2, b'after')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(attention)], capture_output=True, check=True
    )
    assert done.stderr == b"after"
    assert done.stdout == b""
