"""Arrays of each kind of motion: what is dropped, reshaped or poisoned is named on opening."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from thcli.core.errors import MediaError, ThcliError
from thcli.core.types import AnyArray, Motion
from thcli.motion.file.kinds import KINDS, ArraySpec, row_shapes
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter

FRAMES = 5
CODES = {"f": "float32", "i": "int64", "b": "bool"}


def ones(spec: ArraySpec, *frames: int) -> AnyArray:
    """Return an array of a kind, of ones."""
    return np.ones(
        (*frames, *(6 if side is None else side for side in spec.shape)), CODES[spec.type]
    )


def tensors(kind: str) -> dict[str, AnyArray]:
    """Return all tensors of a valid file of a kind."""
    spec = KINDS[kind]
    return {
        "frame/pts": np.arange(FRAMES),
        "frame/valid": np.ones(FRAMES, bool),
        **{f"frame/{name}": ones(array, FRAMES) for name, array in spec.rows.items()},
        **{f"constant/{name}": ones(array) for name, array in spec.constants.items()},
    }


def store(path: Path, kind: str, found: dict[str, AnyArray], time_base: str = "1/25") -> Path:
    """Write a file without any check."""
    metadata = {"format": "thcli-motion", "version": "1", "kind": kind, "time_base": time_base}
    save_file({n: np.ascontiguousarray(v) for n, v in found.items()}, path, metadata)
    return path


def spec_of(kind: str, name: str) -> ArraySpec | None:
    """Return the type of an array by its full name."""
    group, _, short = name.partition("/")
    return (KINDS[kind].rows if group == "frame" else KINDS[kind].constants).get(short)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(tmp_path: Path, kind: str) -> None:
    path = store(tmp_path / "a.safetensors", kind, tensors(kind))
    assert MotionFile(path).kind == kind
    needed = {
        name: value
        for name, value in tensors(kind).items()
        if (spec := spec_of(kind, name)) is None or not spec.optional
    }
    assert len(MotionFile(store(path, kind, {**needed, "frame/more": np.ones((FRAMES, 2))}))) == 5


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in tensors(kind)]
)
def test_every_array_is_checked(tmp_path: Path, kind: str, name: str) -> None:
    path, spec = tmp_path / "a.safetensors", spec_of(kind, name)
    found = tensors(kind)
    own = found.pop(name)
    short = name.partition("/")[2]
    if spec is None or not spec.optional:
        with pytest.raises(MediaError, match=f"no .*{short}"):
            MotionFile(store(path, kind, found))
    wrong: list[AnyArray] = [own[..., None], own.astype(np.uint8)]
    if own.ndim > 1 and (spec is None or None not in spec.shape):
        wrong += [own[..., :-1], own.reshape(-1), np.concatenate([own, own], -1)]
    for value in wrong:
        with pytest.raises(MediaError, match=short):
            MotionFile(store(path, kind, {**found, name: value}))
    if spec is not None and spec.type == "f":
        for number in (np.nan, np.inf, -np.inf, 1e9, spec.most * 1.01, spec.least * 1.01):
            value = own.copy()
            value.flat[-1] = number
            with pytest.raises(MediaError, match=rf"'{short}' has values"):
                MotionFile(store(path, kind, {**found, name: value}))


@pytest.mark.parametrize(
    ("pts", "time_base", "words"),
    [
        ([0, 1, 1, 2, 3], "1/25", "do not rise"),
        ([4, 3, 2, 1, 0], "1/25", "do not rise"),
        ([-(2**63), 0, 1, 2, 2**63 - 1], "1/25", "lasts longer"),
        ([0, 1, 2, 3, 2**40], "1/25", "lasts longer"),
        ([], "1/25", "no frames"),
    ],
)
def test_time_stamps(tmp_path: Path, pts: list[int], time_base: str, words: str) -> None:
    found = {name: v[: len(pts)] for name, v in tensors("fomm").items()}
    found["frame/pts"] = np.array(pts, np.int64)
    with pytest.raises(MediaError, match=words):
        MotionFile(store(tmp_path / "a.safetensors", "fomm", found, time_base))


def test_time_stamps_may_begin_anywhere(tmp_path: Path) -> None:
    found = {**tensors("fomm"), "frame/pts": np.arange(FRAMES) * 512 + 2**40}
    assert len(MotionFile(store(tmp_path / "a.safetensors", "fomm", found, "1/12800"))) == FRAMES


def test_stamps_rise_from_window_to_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thcli.motion.file.reader._CHECKED_BYTES", 2 * 4 * 128)
    found = {**tensors("x2face"), "frame/pts": np.array([0, 5, 3, 6, 7])}
    del found["frame/landmarks"]
    with pytest.raises(MediaError, match="do not rise"):
        MotionFile(store(tmp_path / "a.safetensors", "x2face", found))


def test_a_kind_of_another_package_may_have_any_arrays(tmp_path: Path) -> None:
    found = {"frame/pts": np.arange(2), "frame/valid": np.ones(2, bool), "frame/x": np.ones((2, 9))}
    assert MotionFile(store(tmp_path / "a.safetensors", "other", found)).kind == "other"


def test_the_writer_refuses_what_the_reader_would(tmp_path: Path) -> None:
    rows = {name: np.ones((3, *shape), np.float32) for name, shape in row_shapes("fomm").items()}
    whole = Motion("fomm", np.arange(3), Fraction(1, 25), np.ones(3, bool), rows)
    with MotionWriter(tmp_path / "a.motion.safetensors") as writer:
        writer.append(whole)
    for name in rows:
        less = replace(whole, arrays={n: v for n, v in rows.items() if n != name})
        with (
            pytest.raises(MediaError, match=f"has no array '{name}'"),
            MotionWriter(tmp_path / "b.motion.safetensors") as writer,
        ):
            writer.append(less)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_change_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    found = tensors(kind)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(found)))
        change = data.draw(st.sampled_from(["drop", "reshape", "retype", "poison", "rename"]))
        value: Any = found.pop(name)
        if change == "reshape":
            sides = data.draw(st.lists(st.integers(0, 5), max_size=4))
            found[name] = np.ones(sides, value.dtype)
        elif change == "retype":
            found[name] = np.ones(value.shape, data.draw(st.sampled_from("?bBhilefd")))
        elif change == "poison" and value.dtype.kind != "b" and value.size:
            bits = np.frombuffer(data.draw(st.binary(min_size=8, max_size=8)), value.dtype)
            found[name] = value.copy()
            found[name].flat[data.draw(st.integers(0, value.size - 1))] = bits[0]
        elif change == "rename":
            found[data.draw(st.sampled_from(["frame/x", "constant/x", "x", "frame/pts"]))] = value
        if not found:
            break
    path = tmp_path_factory.getbasetemp() / "changed.motion.safetensors"
    try:
        file = MotionFile(store(path, kind, found))
        motion = file.window(0, len(file))
    except ThcliError as error:
        assert str(path) in str(error)
    else:
        for name, shape in row_shapes(kind).items():
            assert motion.arrays[name].ndim == 1 + len(shape)
            assert np.isfinite(motion.arrays[name]).all()
