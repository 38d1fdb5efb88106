"""Plain pickles of arrays: harmless ones are read, others are refused by name."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thcli.core.errors import WeightsError
from thcli.weights.pickle_scan import scan_pickle
from thcli.weights.pickles import read_arrays


class MaliciousObject:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo should never run",)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_come_back_by_name(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    content = {
        "mean": np.arange(3, dtype=np.float32),
        "inner": {"std": np.ones((2, 2))},
        "note": "text",
        "one": 1.5,
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    arrays = read_arrays(path)
    assert sorted(arrays) == ["inner.std", "mean"]
    np.testing.assert_array_equal(arrays["mean"], [0, 1, 2])


@pytest.mark.parametrize(
    "content",
    [
        MaliciousObject(),
        {"a": np.ones(2), "b": MaliciousObject()},
        {"a": Path("x")},
        {"a": OrderedDict(b=1)},
    ],
)
def test_anything_else_is_refused_and_not_run(
    content: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match="asks for"):
        read_arrays(path)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x03}q",
        b"not a pickle at all",
        pickle.dumps({"a": 1}),
        pickle.dumps({"a": np.array([None])}),
    ],
)
def test_broken_or_empty_files_are_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"x\.pkl"):
        read_arrays(path)


@pytest.mark.parametrize("depth", [1000, 200_000])
def test_values_nested_too_deeply_are_refused(depth: int, tmp_path: Path) -> None:
    """A deep tuple as a key of a dictionary overflows the C stack of any reader."""
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x02}(" + b")" + b"\x85" * depth + b"K\x01u.")
    with pytest.raises(WeightsError, match="nested more than"):
        read_arrays(path)


def test_an_escape_in_a_string_gives_no_warning() -> None:
    scan_pickle(io.BytesIO(b"S'a\\zb'\n."), 9)
