"""Loading without running code: safetensors, checkpoints, malicious pickles, keys."""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import types
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.weights.fake_site import entry, store
from thcli import weights
from thcli.core.errors import UsageError, WeightsError
from thcli.weights.file_checks import sha256_of
from thcli.weights.pickles import read_pickle

NET = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.tensor([1.0, 2.0])}


def save(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


def test_safetensors_load_for_numpy_and_torch(tmp_path: Path) -> None:
    save_file({**NET, "half": torch.ones(2, dtype=torch.float16)}, tmp_path / "a.safetensors")
    arrays = weights.load_tensors(tmp_path / "a.safetensors", "numpy")
    assert isinstance(arrays["conv.weight"], np.ndarray) and arrays["half"].dtype == np.float16
    tensors = weights.load_tensors(tmp_path / "a.safetensors", prefix="conv.")
    assert set(tensors) == {"weight", "bias"} and torch.equal(tensors["weight"], NET["conv.weight"])
    with pytest.raises(WeightsError, match="holds no tensors below 'x"):
        weights.load_tensors(tmp_path / "a.safetensors", prefix="x.")


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "old format"])
def test_a_checkpoint_is_flattened_and_converted_once(tmp_path: Path, zipped: bool) -> None:
    content = {
        "generator": OrderedDict(NET),
        "kp_detector": {"a": torch.ones(1)},
        "optimizer_generator": {"state": {0: {"step": 1, "exp_avg": torch.ones(3)}}},
        "epoch": 99,
    }
    file = save(tmp_path / "own.pth.tar", content, _use_new_zipfile_serialization=zipped)
    row = entry(
        "net", file="net.pth.tar", format="pytorch", sha256=sha256_of(file), key_prefix="generator."
    )
    cache = store(tmp_path, row)
    path = weights.import_file("net", file, store=cache)
    safe = path.with_name("net.pth.tar.safetensors")
    assert safe.is_file()
    assert set(weights.load_tensors("net", store=cache)) == set(NET)
    assert set(weights.load_tensors("net", prefix="", store=cache)) == {
        "generator.conv.weight",
        "generator.conv.bias",
        "kp_detector.a",
    }
    before = safe.stat().st_mtime_ns
    weights.load_tensors("net", store=cache)
    assert safe.stat().st_mtime_ns == before
    safe.write_bytes(b"cut off")
    assert set(weights.load_tensors("net", store=cache)) == set(NET)


def test_views_and_shared_tensors_survive_the_conversion(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    file = save(
        tmp_path / "v.pth",
        {"t": base.T, "same": base, "row": base[1], "p": torch.nn.Parameter(base)},
    )
    cache = store(tmp_path, entry("v", file="v.pth", format="pytorch", sha256=sha256_of(file)))
    weights.import_file("v", file, store=cache)
    loaded = weights.load_tensors("v", store=cache)
    assert (
        torch.equal(loaded["t"], base.T)
        and torch.equal(loaded["row"], base[1])
        and torch.equal(loaded["p"], base)
    )


class MaliciousObject:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("kind", ["new", "old", "plain"])
def test_a_bomb_is_refused_by_name_and_nothing_is_kept(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bomb.pth"
    if kind == "plain":
        file.write_bytes(pickle.dumps({"a": MaliciousObject()}))
    else:
        save(
            file,
            {"a": torch.ones(2), "b": MaliciousObject()},
            _use_new_zipfile_serialization=kind == "new",
        )
    cache = store(tmp_path, entry("net", file="net.pth", format="pytorch"))
    with pytest.raises(WeightsError) as error:
        weights.import_file("net", file, trust=True, store=cache)
    assert "is refused" in error.value.message and (
        kind == "plain" or "system" in error.value.message
    )
    with pytest.raises(WeightsError):
        weights.load_tensors(file)
    assert not (tmp_path / "exploded").exists()
    assert not [p for p in cache.root.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_trainers_baggage_is_dropped_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("pytorch_lightning.callbacks.fake")

    class AttributeDict(dict[str, Any]): ...

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.best = 0.5

    for kind in (AttributeDict, ModelCheckpoint):
        kind.__module__, kind.__qualname__ = module.__name__, kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(
        sys.modules, "pytorch_lightning.callbacks", types.ModuleType("pytorch_lightning.callbacks")
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    content = {
        "state_dict": {"ema_model.w": torch.ones(2)},
        "hyper_parameters": AttributeDict(size=128),
        "callbacks": {"x": ModelCheckpoint()},
        "hparams": argparse.Namespace(lr=1.0),
        "numbers": {"mean": np.float32(0.5), "array": np.ones(3)},
        "global_step": 7,
    }
    file = save(tmp_path / "last.ckpt", content)
    monkeypatch.undo()
    tensors, plain = read_pickle(file)
    assert list(tensors) == ["state_dict.ema_model.w"] and plain["global_step"] == "7"
    assert "pytorch_lightning.callbacks.fake" not in sys.modules


class Scripted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3).half()
        self.layers = torch.nn.ModuleList([torch.nn.BatchNorm1d(2)])
        self.sizes = [1, 2]
        self.register_buffer("row", torch.arange(12.0).reshape(3, 4).T[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.sizes[0]


@pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="torch cannot make TorchScript on this Python; it is read by our own code",
)
def test_torchscript_gives_its_tensors_and_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted: torch.nn.Module = torch.jit.script(Scripted().eval())
        torch.jit.save(scripted, tmp_path / "s.pt")
    tensors = weights.load_tensors(tmp_path / "s.pt")
    assert set(tensors) == set(scripted.state_dict())
    assert all(
        torch.equal(tensors[k], v) and tensors[k].dtype == v.dtype
        for k, v in scripted.state_dict().items()
    )
    cache = store(
        tmp_path, entry("s", file="s.pt", format="torchscript", sha256=sha256_of(tmp_path / "s.pt"))
    )
    weights.import_file("s", tmp_path / "s.pt", store=cache)
    assert set(weights.load_tensors("s", "numpy", store=cache)) == set(tensors)


def test_a_bomb_in_torchscript_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(tmp_path / "s.pt", "w") as archive:
        archive.writestr("s/constants.pkl", b"")
        archive.writestr("s/data.pkl", pickle.dumps({"a": MaliciousObject()}, 2))
    with pytest.raises(WeightsError, match=r"is refused.*asks for (posix|nt)\.system"):
        weights.load_tensors(tmp_path / "s.pt")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a.pth", b"", "is an empty file"),
        ("a.pth", b"<html><title>No</title>", "is an HTML page"),
        ("a.pth", b"\x80\x02garbage", "refused|not a whole"),
        ("a.pth", b"PK\x03\x04garbage", "refused|not a whole"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "is a Git-LFS pointer"),
        ("a.safetensors", b"\x10\0\0\0\0\0\0\0{nonsense", "is not a whole safetensors file"),
        ("a.onnx", b"x", "is not a file of tensors"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, body: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(WeightsError, match=said):
        weights.load_tensors(tmp_path / name)
    with pytest.raises(WeightsError, match="There is no file"):
        weights.load_tensors(tmp_path / f"none-{name}")


@settings(max_examples=25, deadline=None)
@given(cut=st.floats(0, 1), flip=st.integers(0, 10_000))
def test_no_damage_to_a_checkpoint_is_a_bug(
    tmp_path_factory: pytest.TempPathFactory, cut: float, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    body = bytearray(save(folder / "a.pth", {"w": torch.ones(300), "n": {"x": 1}}).read_bytes())
    body = body[: max(1, int(cut * len(body)))]
    body[flip % len(body)] ^= 0xFF
    (folder / "a.pth").write_bytes(body)
    try:
        assert "w" in weights.load_tensors(folder / "a.pth")
    except WeightsError as error:
        assert str(folder / "a.pth") in error.message


def test_a_users_own_weights_may_replace_the_published_ones_only_with_trust(tmp_path: Path) -> None:
    cache = store(tmp_path, entry("net", file="net.pth", format="pytorch", sha256="0" * 64))
    file = save(tmp_path / "mine.pth", NET)
    with pytest.raises(WeightsError, match="the hash is wrong") as error:
        weights.import_file("net", file, store=cache)
    assert "--trust" in error.value.hint and weights.cached_path("net", store=cache) is None
    weights.import_file("net", file, trust=True, store=cache)
    assert cache.is_own(cache.entries["net"]) and weights.is_ready("net", store=cache)
    assert set(weights.load_tensors("net", store=cache)) == set(NET)
    weights.locate("net", store=cache).write_bytes(b"changed")
    with pytest.raises(WeightsError, match="has been altered"):
        weights.locate("net", store=cache)
    assert weights.remove("net", store=cache) and not cache.is_own(cache.entries["net"])


def test_safetensors_may_be_imported_for_a_checkpoint(tmp_path: Path) -> None:
    cache = store(tmp_path, entry("net", file="net.pth", format="pytorch"))
    save_file(NET, tmp_path / "mine.safetensors")
    weights.import_file("net", tmp_path / "mine.safetensors", trust=True, store=cache)
    assert set(weights.load_tensors("net", "numpy", store=cache)) == set(NET)


def test_a_member_of_an_archive_is_loaded_by_name(tmp_path: Path) -> None:
    save(tmp_path / "m.pth", {"state_dict": NET})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "m.pth", "top/m.pth")
    row = entry("pack", file="a.zip", format="zip", members={"m.pth": ""}, key_prefix="state_dict.")
    cache = store(tmp_path, row)
    weights.import_file("pack", tmp_path / "a.zip", trust=True, store=cache)
    assert set(weights.load_tensors("pack", member="m.pth", store=cache)) == set(NET)
    with pytest.raises(UsageError, match="no member 'x'"):
        weights.load_tensors("pack", member="x", store=cache)


def test_keys_and_shapes_must_agree() -> None:
    weights.require_keys(NET, NET, "net")
    weights.require_keys(
        {**NET, "bn.num_batches_tracked": torch.ones(())}, NET, "net", ["num_batches_tracked"]
    )
    wanted = {**NET, **{f"extra.{i}": torch.ones(1) for i in range(5)}}
    with pytest.raises(WeightsError, match=r"5 missing \(extra\.0, extra\.1, extra\.2, …\)"):
        weights.require_keys(NET, wanted, "net")
    found = {"conv.weight": torch.ones(3, 2), "conv.bias": NET["conv.bias"], "odd": torch.ones(1)}
    with pytest.raises(
        WeightsError,
        match=r"1 unexpected \(odd\), 1 of another shape \(conv.weight is \(3, 2\) instead",
    ):
        weights.require_keys(found, NET, "net")


def deflated_checkpoint(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """Write a checkpoint and compress its members, which torch never does."""
    stored = path.with_suffix(".stored")
    torch.save(state, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, "w", 8) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    stored.unlink()
    return path


def test_a_checkpoint_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    bomb = deflated_checkpoint(tmp_path / "bomb.pth", {"w": torch.zeros(20_000_000)})
    with pytest.raises(WeightsError, match="would unpack to"):
        weights.load_tensors(bomb)


def test_an_expanded_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "expanded.pth"
    torch.save({"w": torch.zeros(1).expand(1 << 38)}, path)
    with pytest.raises(WeightsError, match="its tensor w is implausibly large"):
        weights.load_tensors(path)
