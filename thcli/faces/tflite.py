"""TFLite networks: single-threaded interpreters, and sub-graphs extracted from a model file.

The attention mesh network holds three custom operators that LiteRT does not know. It is split into
plain parts around them. The extraction rewrites the operator list of the file in memory (a
FlatBuffer is only offsets). That takes milliseconds and needs neither the schema package nor a copy
on disk.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import DeviceError, WeightsError
from thcli.core.types import Array32

# Field numbers of the tables in use, from the public TFLite schema (schema.fbs, version 3).
MODEL_SUBGRAPHS, MODEL_SIGNATURES = 2, 7
GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS, GRAPH_OPERATORS = 0, 1, 2, 3
OPERATOR_INPUTS, OPERATOR_OUTPUTS, OPERATOR_CUSTOM_OPTIONS = 1, 2, 5
TENSOR_NAME = 3


def read_model(path: Path) -> bytes:
    """Read a .tflite file. Raises WeightsError when it is unreadable or of another format."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise WeightsError(
            f"The network file {path} cannot be read: {exc.strerror}.",
            "Fetch it again: thcli weights pull --default",
        ) from exc
    if content[4:8] != b"TFL3":
        raise WeightsError(
            f"{path} is not a TFLite network.", "Check the files: thcli weights verify"
        )
    return content


class _FlatBuffer:
    """Access to the tables and vectors of a FlatBuffer, by position."""

    def __init__(self, content: bytes) -> None:
        self.data = bytearray(content)
        self.root = self.follow(0)

    def follow(self, at: int) -> int:
        """Return the position that the unsigned offset stored at `at` points to."""
        return at + int(struct.unpack_from("<I", self.data, at)[0])

    def field_position(self, table: int, number: int) -> int:
        """Return the position of a table field; 0 when the field is absent."""
        vtable = table - struct.unpack_from("<i", self.data, table)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", self.data, vtable)[0]:
            return 0
        offset = int(struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)[0])
        return table + offset if offset else 0

    def read_tables(self, at: int) -> list[int]:
        """Return the positions of the tables (or strings) in the vector referenced at `at`."""
        vector = self.follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        slots = range(vector + 4, vector + 4 + 4 * count, 4)
        return [self.follow(slot) for slot in slots]

    def read_int32(self, at: int) -> list[int]:
        """Return the int32 vector referenced at `at`; empty when `at` is 0."""
        if not at:
            return []
        vector = self.follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        return list(struct.unpack_from(f"<{count}i", self.data, vector + 4))

    def read_octets(self, at: int) -> bytes:
        """Return the byte vector or string referenced at `at`; empty when `at` is 0."""
        if not at:
            return b""
        vector = self.follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        return bytes(self.data[vector + 4 : vector + 4 + count])

    def append(self, at: int, values: Sequence[int]) -> None:
        """Append an int32 vector to the file and let the offset stored at `at` point to it."""
        self.data.extend(b"\0" * (-len(self.data) % 16))
        struct.pack_into("<I", self.data, at, len(self.data) - at)
        self.data.extend(struct.pack(f"<I{len(values)}i", len(values), *values))


class TfliteGraph:
    """First sub-graph of a model file: tensor names, custom options, and extraction of parts.

    Raises WeightsError when the bytes hold no such graph.
    """

    def __init__(self, content: bytes) -> None:
        try:
            buffer = _FlatBuffer(content)
            self._graph = buffer.read_tables(buffer.field_position(buffer.root, MODEL_SUBGRAPHS))[0]
            tensors = buffer.read_tables(buffer.field_position(self._graph, GRAPH_TENSORS))
            self.names = [
                buffer.read_octets(buffer.field_position(t, TENSOR_NAME)).decode() for t in tensors
            ]
            self._operators = buffer.read_tables(
                buffer.field_position(self._graph, GRAPH_OPERATORS)
            )
            self._inputs, self._outputs = (
                [buffer.read_int32(buffer.field_position(o, which)) for o in self._operators]
                for which in (OPERATOR_INPUTS, OPERATOR_OUTPUTS)
            )
        except (struct.error, IndexError, UnicodeDecodeError) as exc:
            raise WeightsError(
                "A TFLite network is damaged: its table of operators is invalid.",
                "Check the files: thcli weights verify",
            ) from exc
        self._content = content
        self._producer = {
            tensor: i for i, outputs in enumerate(self._outputs) for tensor in outputs
        }

    def tensor(self, name: str) -> int:
        """Return the index of a tensor by name. Raises WeightsError when there is none."""
        try:
            return self.names.index(name)
        except ValueError as exc:
            raise WeightsError(
                f"The network has no tensor named {name!r}: it is another version than expected.",
                "Fetch the right one: thcli weights pull --default",
            ) from exc

    def custom_options(self, output: str) -> dict[str, Any]:
        """Return the options (a FlexBuffer map) of the custom operator that outputs `output`."""
        from flatbuffers import flexbuffers

        buffer = _FlatBuffer(self._content)
        operator = self._operators[self._producer[self.tensor(output)]]
        options = buffer.read_octets(buffer.field_position(operator, OPERATOR_CUSTOM_OPTIONS))
        return dict(flexbuffers.Loads(options))

    def producer_inputs(self, output: str) -> list[str]:
        """Return the input names of the operator that outputs the tensor `output`."""
        return [self.names[i] for i in self._inputs[self._producer[self.tensor(output)]]]

    def extract(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """Return a model file of the operators that lead from `inputs` to `outputs`.

        The operators keep their order.
        """
        start = [self.tensor(name) for name in inputs]
        wanted = [self.tensor(name) for name in outputs]
        keep: set[int] = set()
        pending, seen = list(wanted), set(start)
        while pending:
            tensor = pending.pop()
            if tensor in seen or tensor not in self._producer:
                continue
            seen.add(tensor)
            keep.add(self._producer[tensor])
            pending.extend(self._inputs[self._producer[tensor]])
        buffer = _FlatBuffer(self._content)
        vector = buffer.follow(buffer.field_position(self._graph, GRAPH_OPERATORS))
        # Offsets are unsigned, so a list of tables cannot move to the end of the file: it is
        # rewritten in place.
        struct.pack_into("<I", buffer.data, vector, len(keep))
        for i, operator in enumerate(sorted(keep)):
            slot = vector + 4 + 4 * i
            struct.pack_into("<I", buffer.data, slot, self._operators[operator] - slot)
        buffer.append(buffer.field_position(self._graph, GRAPH_INPUTS), start)
        buffer.append(buffer.field_position(self._graph, GRAPH_OUTPUTS), wanted)
        signatures = buffer.field_position(buffer.root, MODEL_SIGNATURES)
        if signatures:
            buffer.append(signatures, [])
        return bytes(buffer.data)


_startup_lock = threading.Lock()
_started = False


def require_tensors(path: Path, names: Iterable[str]) -> None:
    """Raise WeightsError unless a .tflite file has tensors of these names; nothing is run."""
    graph = TfliteGraph(read_model(path))
    for name in names:
        graph.tensor(name)


@contextmanager
def _suppress_startup_line() -> Iterator[None]:
    """Discard what the first interpreter of the process writes to stderr.

    LiteRT writes one line that no setting turns off.
    """
    global _started
    with _startup_lock:
        if _started:
            yield
            return
        try:
            stderr = os.dup(2)
        except OSError:  # the process has no stderr
            yield
            return
        try:
            with Path(os.devnull).open("wb") as null:
                os.dup2(null.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        _started = True


class TfliteNetwork:
    """TFLite interpreter on one thread. Not thread-safe: build one per thread.

    inputs, outputs: tensor names; `run` takes and returns arrays in these orders.

    Raises:
        DeviceError: LiteRT is not installed, or cannot run the network.
        WeightsError: the network has no tensor of such a name.
    """

    def __init__(self, content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as exc:
            raise DeviceError(
                "The face tracker needs ai-edge-litert, which is not installed or does not load.",
                "Install it: python -m pip install ai-edge-litert",
            ) from exc
        try:
            with _suppress_startup_line():
                self._interpreter = Interpreter(model_content=content, num_threads=1)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as exc:
            raise DeviceError(
                f"LiteRT cannot run a face network: {str(exc).splitlines()[0]}.",
                "Check the weights (thcli weights verify) or install another ai-edge-litert.",
            ) from exc
        details = {d["name"]: d for d in self._interpreter.get_input_details()}
        self._inputs = [self._tensor_index(details, name) for name in inputs]
        details = {d["name"]: d for d in self._interpreter.get_output_details()}
        self._outputs = [self._tensor_index(details, name) for name in outputs]

    @staticmethod
    def _tensor_index(details: dict[str, Any], name: str) -> int:
        if name not in details:
            raise WeightsError(
                f"The network has no tensor named {name!r}, only {', '.join(sorted(details))}.",
                "Fetch the right one: thcli weights pull --default",
            )
        return int(details[name]["index"])

    def write_scaled_input(
        self, pixels: npt.NDArray[Any], scale: float, shift: float = 0.0
    ) -> None:
        """Write pixels * scale + shift into the first input, without an intermediate copy."""
        view = self._interpreter.tensor(self._inputs[0])()
        np.multiply(pixels, np.float32(scale), out=view[0], dtype=np.float32, casting="unsafe")
        if shift:
            view += np.float32(shift)

    def run(self, *inputs: Array32) -> list[Array32]:
        """Run the network and return copies of its outputs.

        inputs: arrays of the inputs' shapes; none after `write_scaled_input`.
        """
        for index, value in zip(self._inputs, inputs, strict=False):
            self._interpreter.tensor(index)()[...] = value
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
