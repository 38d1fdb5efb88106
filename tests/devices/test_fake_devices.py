"""All networks on a fake CUDA device: results stay there, in the right type, without a wait."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import thcli
from tests.devices.fake_cuda import CUDA, WaitsForDeviceError, fake_cuda
from tests.devices.table import EXCLUDED, TABLE
from thcli.core.options import RunOptions

ROOT = Path(thcli.__file__).parent
HALF = {"fp16": torch.float16}
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
SINGLE = (("fp32", 1),)  # a batch of one loses its axis where it is squeezed
BOTH = (("fp32", 3), ("fp16", 1))  # bf16 takes the same path: see the test of types by name
RUNS = [(name, *given) for name, row in TABLE.items() for given in (BOTH if row.half else SINGLE)]


@pytest.fixture(autouse=True, scope="module")
def empty_cache() -> Iterator[None]:
    """Empty torch's cache of shapes, of half a million objects, when the tests have run."""
    yield
    FakeTensorMode.cache_clear()


@contextmanager
def layer_types() -> Iterator[set[torch.dtype]]:
    """Collect the types in which convolutions and linear layers compute on the device."""
    found: set[torch.dtype] = set()

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(module, LAYERS) and isinstance(output, Tensor) and output.is_cuda:
            found.add(output.dtype)

    handle = nn.modules.module.register_module_forward_hook(note)
    try:
        yield found
    finally:
        handle.remove()


@pytest.mark.parametrize(("name", "precision", "batch"), RUNS)
def test_the_results_are_on_the_device(
    name: str, precision: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunOptions(device="cuda", precision=precision, batch_size=4)  # type: ignore[arg-type]
    with fake_cuda(monkeypatch), layer_types() as types:
        outputs = TABLE[name].case(run, batch)
    half = HALF.get(precision)
    assert outputs
    for output in outputs.values():
        assert output.device == CUDA and len(output) == batch
        assert output.dtype in {torch.float32, half}
    assert half in types if half is not None else types == {torch.float32}


def test_no_network_names_one_type_of_half_precision_alone() -> None:
    """A network that runs in fp16 runs in bf16 too: its types come from the options."""
    for file in {file for row in TABLE.values() for file in row.files}:
        text = (ROOT / file).read_text("utf-8")
        assert ("torch.float16" in text) == ("torch.bfloat16" in text), file
        assert ".half()" not in text and ".bfloat16()" not in text, file


def test_every_file_with_networks_is_in_the_table() -> None:
    """Training's own networks are run by its task."""
    covered = {file for row in TABLE.values() for file in row.files}
    files = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "train"]
    assert files_with_networks(files) == covered | set(EXCLUDED)
    assert not covered & set(EXCLUDED)


def files_with_networks(files: list[Path]) -> set[str]:
    """Return the files with a class whose base is one of torch.nn, or another such class."""
    classes = [
        (path.relative_to(ROOT).as_posix(), node.name, [ast.unparse(b) for b in node.bases])
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    networks: set[str] = set()
    found: set[str] = set()
    for _ in range(4):  # classes derive from classes that follow in the list
        for file, name, bases in classes:
            if any(base.startswith("nn.") or base in networks for base in bases):
                networks.add(name)
                found.add(file)
    return found


class Scaled(nn.Module):
    """A network with the faults of a test."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.layer = nn.Linear(4, 4)
        self.plain = torch.ones(4)  # neither a parameter nor a buffer: `to` leaves it behind

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        if self.fault == "constant":
            return y * self.plain
        if self.fault == "arange":
            return y * torch.arange(4)
        if self.fault == "index":
            y[0] = torch.zeros(4)
        if self.fault == "item":
            return y * y.mean().item()
        if self.fault == "if":
            return y if y.any() else -y
        if self.fault == "numpy":
            return y * float(y.detach().numpy().mean())
        if self.fault == "type":
            return y @ torch.zeros(4, 4, device=y.device, dtype=torch.float64)
        return y * REAL if self.fault == "global" else y


REAL = torch.ones(4)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("constant", RuntimeError, "same device"),
        ("arange", RuntimeError, "same device"),
        ("index", RuntimeError, "to be on cuda"),
        ("item", WaitsForDeviceError, "float'> of a tensor on cuda"),
        ("if", WaitsForDeviceError, "bool'> of a tensor on cuda"),
        ("numpy", TypeError, "can't convert cuda"),
        ("type", RuntimeError, "same dtype"),
        ("global", AssertionError, "convert all Tensors to FakeTensors"),
    ],
)
def test_the_fake_device_refuses_what_a_gpu_refuses(
    fault: str, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_cuda(monkeypatch):
        network = Scaled(fault).requires_grad_(False).to("cuda")
        with pytest.raises(error, match=words):
            network(torch.zeros(2, 4, device="cuda"))


def test_the_fake_device_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Tensor.__getitem__, Tensor.numpy, nn.Module._apply, torch.tensor
    with fake_cuda(monkeypatch):
        assert (
            Scaled("").requires_grad_(False).to("cuda")(torch.zeros(2, 4, device="cuda"))[0].device
            == CUDA
        )
    assert (Tensor.__getitem__, Tensor.numpy, nn.Module._apply, torch.tensor) == before
    assert np.array_equal(torch.arange(3)[1:].numpy(), [1, 2])
