"""TFLite networks: one-thread interpreters addressed by tensor names, and sub-graphs cut out of a model file.

The attention mesh net holds three custom operators that LiteRT does not know; it is cut into plain parts around them. The
cut rewrites the file's operator list in place (a FlatBuffer is only offsets), which takes milliseconds and needs neither
the schema package nor a copy on disk.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import DeviceError, WeightsError
from thcli.core.types import Array32

# Field numbers of the tables that we touch, from the public TFLite schema (schema.fbs, version 3).
MODEL_SUBGRAPHS, MODEL_SIGNATURES = 2, 7
GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS, GRAPH_OPERATORS = 0, 1, 2, 3
OPERATOR_INPUTS, OPERATOR_OUTPUTS, OPERATOR_CUSTOM_OPTIONS = 1, 2, 5
TENSOR_NAME = 3


def read(path: Path) -> bytes:
    """The bytes of a .tflite file. Raises WeightsError when it cannot be read or is something else."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise WeightsError(
            f"The network file {path} cannot be read: {exc.strerror}.",
            "Get it again: thcli weights pull --default",
        ) from exc
    if content[4:8] != b"TFL3":
        raise WeightsError(
            f"{path} is not a TFLite network.", "Check what is there: thcli weights verify"
        )
    return content


class _Buffer:
    """Read access to the tables and vectors of a FlatBuffer, by position."""

    def __init__(self, content: bytes) -> None:
        self.data = bytearray(content)
        self.root = self.follow(0)

    def follow(self, at: int) -> int:
        """The position that the unsigned offset stored at `at` points to."""
        return at + int(struct.unpack_from("<I", self.data, at)[0])

    def field(self, table: int, number: int) -> int:
        """Where the field of a table is stored, 0 when it is absent."""
        vtable = table - struct.unpack_from("<i", self.data, table)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", self.data, vtable)[0]:
            return 0
        offset = int(struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)[0])
        return table + offset if offset else 0

    def tables(self, at: int) -> list[int]:
        """The positions of the tables (or strings) in the vector whose offset is stored at `at`."""
        vector = self.follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        slots = range(vector + 4, vector + 4 + 4 * count, 4)
        return [self.follow(slot) for slot in slots]

    def numbers(self, at: int) -> list[int]:
        """The int32 vector whose offset is stored at `at`; empty when `at` is 0."""
        if not at:
            return []
        vector = self.follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        return list(struct.unpack_from(f"<{count}i", self.data, vector + 4))

    def octets(self, at: int) -> bytes:
        """The byte vector or string whose offset is stored at `at`; empty when `at` is 0."""
        if not at:
            return b""
        vector = self.follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        return bytes(self.data[vector + 4 : vector + 4 + count])

    def append(self, at: int, values: Sequence[int]) -> None:
        """Lets the offset stored at `at` point to a new int32 vector at the end of the file."""
        self.data.extend(b"\0" * (-len(self.data) % 16))
        struct.pack_into("<I", self.data, at, len(self.data) - at)
        self.data.extend(struct.pack(f"<I{len(values)}i", len(values), *values))


class Graph:
    """The first sub-graph of a model file: names of its tensors, options of its custom operators, and cuts.

    Raises WeightsError when the bytes do not hold such a graph.
    """

    def __init__(self, content: bytes) -> None:
        try:
            buffer = _Buffer(content)
            self._graph = buffer.tables(buffer.field(buffer.root, MODEL_SUBGRAPHS))[0]
            tensors = buffer.tables(buffer.field(self._graph, GRAPH_TENSORS))
            self.names = [buffer.octets(buffer.field(t, TENSOR_NAME)).decode() for t in tensors]
            self._operators = buffer.tables(buffer.field(self._graph, GRAPH_OPERATORS))
            self._inputs = [
                buffer.numbers(buffer.field(o, OPERATOR_INPUTS)) for o in self._operators
            ]
            self._outputs = [
                buffer.numbers(buffer.field(o, OPERATOR_OUTPUTS)) for o in self._operators
            ]
        except (struct.error, IndexError, UnicodeDecodeError) as exc:
            raise WeightsError(
                "A TFLite network is damaged: its table of operators cannot be followed.",
                "Try: thcli weights verify",
            ) from exc
        self._content = content
        self._maker = {tensor: i for i, outputs in enumerate(self._outputs) for tensor in outputs}

    def tensor(self, name: str) -> int:
        """The number of the tensor of that name. Raises WeightsError when there is none."""
        try:
            return self.names.index(name)
        except ValueError as exc:
            raise WeightsError(
                f"The network has no tensor named {name!r}: it is another version than expected.",
                "Get the right one: thcli weights pull --default",
            ) from exc

    def custom_options(self, output: str) -> dict[str, Any]:
        """The options (a FlexBuffer map) of the custom operator that makes the tensor `output`."""
        from flatbuffers import flexbuffers

        buffer = _Buffer(self._content)
        operator = self._operators[self._maker[self.tensor(output)]]
        options = buffer.octets(buffer.field(operator, OPERATOR_CUSTOM_OPTIONS))
        return dict(flexbuffers.Loads(options))

    def maker_inputs(self, output: str) -> list[str]:
        """Names of the inputs of the operator that makes the tensor `output`."""
        return [self.names[i] for i in self._inputs[self._maker[self.tensor(output)]]]

    def cut(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """A model file with only the operators that lead from `inputs` to `outputs`, in their old order."""
        given = [self.tensor(name) for name in inputs]
        wanted = [self.tensor(name) for name in outputs]
        keep: set[int] = set()
        pending, seen = list(wanted), set(given)
        while pending:
            tensor = pending.pop()
            if tensor in seen or tensor not in self._maker:
                continue
            seen.add(tensor)
            keep.add(self._maker[tensor])
            pending.extend(self._inputs[self._maker[tensor]])
        buffer = _Buffer(self._content)
        vector = buffer.follow(buffer.field(self._graph, GRAPH_OPERATORS))
        # An offset is unsigned, so a list of tables may not move to the end of the file: it is rewritten where it stands.
        struct.pack_into("<I", buffer.data, vector, len(keep))
        for i, operator in enumerate(sorted(keep)):
            slot = vector + 4 + 4 * i
            struct.pack_into("<I", buffer.data, slot, self._operators[operator] - slot)
        buffer.append(buffer.field(self._graph, GRAPH_INPUTS), given)
        buffer.append(buffer.field(self._graph, GRAPH_OUTPUTS), wanted)
        signatures = buffer.field(buffer.root, MODEL_SIGNATURES)
        if signatures:
            buffer.append(signatures, [])
        return bytes(buffer.data)


_first = threading.Lock()
_greeted = False


@contextmanager
def _without_greeting() -> Iterator[None]:
    """The first interpreter of a process writes a line of its own to stderr, which no setting stops: drops what is written there meanwhile."""
    global _greeted
    with _first:
        if _greeted:
            yield
            return
        try:
            kept = os.dup(2)
        except OSError:  # no stderr, nothing to keep clean
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        _greeted = True


class Network:
    """A TFLite interpreter on one thread. Not safe to share between threads: make one a thread.

    inputs, outputs: tensor names; `run` takes and gives arrays in these orders.
    Raises DeviceError when LiteRT is not installed or cannot run the network, WeightsError when a name is not there.
    """

    def __init__(self, content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as exc:
            raise DeviceError(
                "The face tracker needs ai-edge-litert, which is not installed or does not load here.",
                "Install it: python -m pip install ai-edge-litert",
            ) from exc
        try:
            with _without_greeting():
                self._interpreter = Interpreter(model_content=content, num_threads=1)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as exc:
            raise DeviceError(
                f"LiteRT cannot run a face network: {str(exc).splitlines()[0]}.",
                "Check the weights (thcli weights verify) or install another ai-edge-litert.",
            ) from exc
        there = {d["name"]: d for d in self._interpreter.get_input_details()}
        self._inputs = [self._pick(there, name) for name in inputs]
        there = {d["name"]: d for d in self._interpreter.get_output_details()}
        self._outputs = [self._pick(there, name) for name in outputs]

    @staticmethod
    def _pick(details: dict[str, Any], name: str) -> int:
        if name not in details:
            raise WeightsError(
                f"The network has no tensor named {name!r}, only {', '.join(sorted(details))}.",
                "Get the right one: thcli weights pull --default",
            )
        return int(details[name]["index"])

    def scaled_input(self, pixels: npt.NDArray[Any], scale: float, shift: float = 0.0) -> None:
        """Writes pixels * scale + shift straight into the first input: no copy in between."""
        view = self._interpreter.tensor(self._inputs[0])()
        np.multiply(pixels, np.float32(scale), out=view[0], dtype=np.float32, casting="unsafe")
        if shift:
            view += np.float32(shift)

    def run(self, *inputs: Array32) -> list[Array32]:
        """Inference. inputs: arrays of the inputs' own shapes, none when `scaled_input` was called. Returns copies of the outputs."""
        for index, value in zip(self._inputs, inputs, strict=False):
            self._interpreter.tensor(index)()[...] = value
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
