"""Networks on a device beside the CPU: the table in small, its bar, and the missing device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from thcli.cli.app import run
from thcli.core.errors import DeviceError
from thcli.core.options import RunOptions
from thcli.evaluate.benchmarks import network_probes, networks
from thcli.evaluate.benchmarks.network_probes import PROBES, Draw, Probe
from thcli.evaluate.benchmarks.networks import NetworkResult, compare_networks, require_equal

CPU = RunOptions(device="cpu")
GOOD = NetworkResult("x", 1e-6, 1e-2, 10.0, 20.0, 3 << 20)


@pytest.mark.parametrize("name", PROBES)
def test_the_prepared_network_gives_the_numbers_of_the_plain_one(name: str) -> None:
    (result,) = compare_networks(CPU, [name], repeat=1)
    assert (result.name, result.memory) == (name, 0)
    assert result.equal and result.error < 1e-4 and result.rate > 0
    assert (result.asked_error, result.asked_rate) == (result.error, result.rate)


def test_probes_have_results_that_depend_on_their_inputs() -> None:
    probe = PROBES["parse-s"]
    built = [network.eval() for network in probe.build(True)]
    draws = [
        Draw(2, torch.Generator().manual_seed(seed), torch.device("cpu"), True) for seed in (0, 1)
    ]
    with torch.inference_mode():
        first, second = (probe.call(built, draw) for draw in draws)
    assert len(first) == 2 and not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_another_precision_is_a_column_of_its_own() -> None:
    (result,) = compare_networks(replace(CPU, precision="bf16"), ["parse-s"], repeat=1)
    assert result.equal and result.error < 1e-4 < result.asked_error < 0.2


def test_a_network_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def call(built: Sequence[torch.nn.Module], draw: Draw) -> torch.Tensor:
        calls.append(0)
        return torch.full((draw.batch,), 1 + 0.01 * (len(calls) > 1))

    monkeypatch.setitem(network_probes.PROBES, "odd", Probe(lambda small: (), call))
    (result,) = compare_networks(CPU, ["odd"], repeat=1)
    assert not result.equal and result.error == pytest.approx(0.01, rel=1e-3)
    assert networks.network_table([result])[1][0][-1] == "NO"
    with pytest.raises(DeviceError, match="On cuda odd computed other numbers") as caught:
        require_equal([GOOD, result], "cuda")
    assert caught.value.exit_code == 6


def test_nan_is_not_equal() -> None:
    require_equal([GOOD], "cuda")
    with pytest.raises(DeviceError):
        require_equal([replace(GOOD, error=float("nan"))], "cuda")


def test_the_command_prints_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(networks, "compare_networks", lambda *args, **given: [GOOD])
    words = "bench --device cpu --networks --frames 2 --size 128 --repeat 1 --json"
    assert run(words.split()) in (0, 5)  # 5: without the tracker's weights
    report = json.loads(capsys.readouterr().out)
    if "networks" in report:
        assert report["networks"][0]["equal"] and report["networks"][0]["device_bytes"] == 3 << 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_gpu_is_a_device_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--device", "cuda", "--json"]) == 6
    report = json.loads(capsys.readouterr().out)
    assert report["error"] == "DeviceError" and "cuda" in report["message"]
    assert report["hint"] == "Use --device cpu."


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", PROBES)
def test_a_gpu_gives_the_numbers_of_the_cpu(name: str) -> None:
    (result,) = compare_networks(RunOptions(device="cuda"), [name], repeat=1)
    assert result.equal and result.memory > 0
