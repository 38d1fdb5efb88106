"""Motion files: round trip, windows, memory, and invalid files of any kind."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tests.motion import synthetic_motion as synthetic
from thcli.core.errors import MediaError, OutputError
from thcli.core.types import Motion
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter


def write(path: Path, motion: Motion, step: int = 7) -> Path:
    with MotionWriter(path, {"source": "made up"}) as writer:
        for start in range(0, len(motion), step):
            writer.append(motion[start : start + step])
    return path


@pytest.fixture
def valid_file(tmp_path: Path) -> Path:
    return write(
        tmp_path / "a.motion.safetensors", synthetic.with_gaps(synthetic.driver(20), (5, 8))
    )


@pytest.mark.parametrize("step", [1, 7, 100])
def test_motion_is_read_as_written(tmp_path: Path, step: int) -> None:
    motion = synthetic.with_gaps(synthetic.driver(20), (5, 8))
    read = MotionFile(write(tmp_path / "a.motion.safetensors", motion, step))
    assert len(read) == 20 and read.kind == "mesh" and read.time_base == motion.time_base
    assert read.metadata["source"] == "made up"
    for start, stop in ((0, 20), (3, 9), (19, 20), (4, 4), (18, 99), (-5, 2)):
        window, expected = read.window(start, stop), motion[max(start, 0) : stop]
        assert np.array_equal(window.pts, expected.pts) and np.array_equal(
            window.valid, expected.valid
        )
        assert window.arrays.keys() == expected.arrays.keys()
        for name, rows in window.arrays.items():
            assert rows.dtype == expected.arrays[name].dtype and np.array_equal(
                rows, expected.arrays[name]
            )
        for name, value in window.constants.items():
            assert np.array_equal(value, motion.constants[name])


def test_arrays_of_other_engines_are_stored(tmp_path: Path) -> None:
    motion = Motion(
        "fomm",
        np.arange(4),
        Fraction(1, 30),
        np.ones(4, bool),
        {"value": np.ones((4, 10, 2), np.float32), "jacobian": np.zeros((4, 10, 2, 2), np.float16)},
        {"zero": np.zeros((0, 3))},
    )
    read = MotionFile(write(tmp_path / "b.motion.safetensors", motion))
    assert read.kind == "fomm" and read.window(1, 3).arrays["jacobian"].shape == (2, 10, 2, 2)
    assert read.constants["zero"].shape == (0, 3)


def test_the_safetensors_library_reads_it_too(valid_file: Path) -> None:
    tensors = load_file(valid_file)
    assert np.array_equal(tensors["frame/pts"], np.arange(20)) and tensors[
        "constant/neutral"
    ].shape == (468, 3)


def test_an_error_leaves_existing_files_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "a.motion.safetensors"
    with pytest.raises(KeyboardInterrupt), MotionWriter(path) as writer:
        writer.append(synthetic.driver(3))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        MotionWriter(path)
    assert path.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [path]
    with MotionWriter(path, overwrite=True) as writer:
        writer.append(synthetic.driver(3))
    assert len(MotionFile(path)) == 3 and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        MotionWriter(tmp_path / "none" / "a.motion.safetensors")


def test_windows_that_do_not_continue_are_rejected(tmp_path: Path) -> None:
    motion = synthetic.driver(6)
    wrong = {
        "time": (motion[0:3], motion[2:5]),
        "kind": (motion[0:3], replace(motion[3:6], kind="other")),
        "size": (
            motion[0:3],
            replace(motion[3:6], constants={**motion.constants, "size": np.array([1, 2])}),
        ),
        "array": (motion[0:3], replace(motion[3:6], arrays={"pose": motion.arrays["pose"][3:6]})),
        "finite": (replace(motion, arrays={**motion.arrays, "pose": np.full((6, 7), np.nan)}),),
        "dtype": (replace(motion, arrays={**motion.arrays, "pose": np.zeros((6, 7), complex)}),),
        "nothing": (),
    }
    for name, windows in wrong.items():
        path = tmp_path / f"{name}.motion.safetensors"
        with pytest.raises(MediaError), MotionWriter(path) as writer:
            for window in windows:
                writer.append(window)
        assert not path.exists(), name


def split_file(path: Path) -> tuple[dict[str, dict[str, Any]], bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path: Path, header: object, body: bytes) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + body)
    return path


def read_all(path: Path) -> None:
    file = MotionFile(path)
    file.window(0, len(file))


CHANGES = {
    "format": ("__metadata__", "format", "pictures"),
    "version": ("__metadata__", "version", "2"),
    "number as metadata": ("__metadata__", "source", 3),
    "time base": ("__metadata__", "time_base", "1/0"),
    "kind": ("__metadata__", "kind", "../../x"),
    "type": ("frame/pose", "dtype", "BF16"),
    "unhashable type": ("frame/pose", "dtype", ["F64"]),
    "negative": ("frame/pose", "shape", [-20, -7]),
    "huge": ("frame/pose", "shape", [1 << 60, 7]),
    "boolean shape": ("frame/pose", "shape", [True, 140]),
    "fraction": ("frame/pose", "shape", [20.0, 7]),
    "dimensions": ("frame/pose", "shape", [1] * 400 + [20, 7]),
    "too few frames": ("frame/pose", "shape", [140]),
    "offsets": ("frame/pose", "data_offsets", [0, 1120]),
    "backwards": ("frame/pose", "data_offsets", [1120, 0]),
    "three offsets": ("frame/pose", "data_offsets", [0, 1, 2]),
    "pts type": ("frame/pts", "dtype", "F64"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_invalid_header_is_reported(valid_file: Path, change: str) -> None:
    header, body = split_file(valid_file)
    entry, key, value = CHANGES[change]
    header[entry][key] = value
    with pytest.raises(MediaError) as caught:
        read_all(with_header(valid_file, header, body))
    assert caught.value.message.endswith(".") and str(valid_file) in caught.value.message


@pytest.mark.parametrize(
    "name", ["__class__/x", "frame/../../etc", "frame/", "frame/Pose", "pose", "frame/a/b"]
)
def test_invalid_names_are_rejected(valid_file: Path, name: str) -> None:
    header, body = split_file(valid_file)
    header[name] = header.pop("frame/pose")
    with pytest.raises(MediaError):
        read_all(with_header(valid_file, header, body))


@pytest.mark.parametrize(
    "header",
    [b"[" * 100_000, b"{}", b"[]", b"null", b'{"a":', b"\xff\xfe", b'{"a":1,"a":2}', b"NaN"],
)
def test_a_header_that_is_not_an_object_is_rejected(valid_file: Path, header: bytes) -> None:
    with pytest.raises(MediaError):
        read_all(with_header(valid_file, header, b""))


@pytest.mark.parametrize("name", ["frame/pose", "frame/expression", "constant/neutral"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_values_out_of_range_are_rejected(valid_file: Path, name: str, value: float) -> None:
    header, body = split_file(valid_file)
    at, _ = header[name]["data_offsets"]
    code = {"F64": "<f8", "F32": "<f4"}[str(header[name]["dtype"])]
    one = np.array([value], code).tobytes()
    with pytest.raises(MediaError, match="not finite or too large"):
        read_all(with_header(valid_file, header, body[:at] + one + body[at + len(one) :]))


def test_time_stamps_that_do_not_rise_are_rejected(valid_file: Path) -> None:
    header, body = split_file(valid_file)
    at, stop = header["frame/pts"]["data_offsets"]
    with pytest.raises(MediaError, match="do not rise"):
        read_all(with_header(valid_file, header, body[:at] + bytes(stop - at) + body[stop:]))


def test_a_missing_or_truncated_file_is_reported(tmp_path: Path, valid_file: Path) -> None:
    with pytest.raises(MediaError, match=r"no\.motion"):
        MotionFile(tmp_path / "no.motion.safetensors")
    with pytest.raises(MediaError):
        MotionFile(tmp_path)
    data = valid_file.read_bytes()
    for size in (0, 4, 8, 9, 200, len(data) // 2, len(data) - 1):
        valid_file.write_bytes(data[:size])
        with pytest.raises(MediaError):
            read_all(valid_file)
    valid_file.write_bytes(data + b"x")
    with pytest.raises(MediaError):
        read_all(valid_file)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_raise_at_most_a_media_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    path = folder / "f.motion.safetensors"
    path.unlink(missing_ok=True)
    valid = write(path, synthetic.driver(3)).read_bytes()
    json_values: st.SearchStrategy[Any] = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["__metadata__", "dtype", "shape", "data_offsets", "frame/pts"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
    corruption = data.draw(st.sampled_from(["bytes", "flip", "value"]))
    if corruption == "bytes":
        path.write_bytes(data.draw(st.binary(max_size=400)))
    elif corruption == "flip":
        raw = bytearray(valid)
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, min(len(raw), 1500) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw)
    else:
        header, body = split_file(path)
        entry = data.draw(st.sampled_from(sorted(header)))
        if data.draw(st.booleans()):
            header[entry] = data.draw(json_values)
        else:
            header[entry][data.draw(st.sampled_from(sorted(header[entry])))] = data.draw(
                json_values
            )
        with_header(path, header, body)
    try:
        read_all(path)
    except MediaError as error:
        assert str(path) in str(error) or "motion" in str(error)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    motion = synthetic.driver(50)
    stored = {**motion.arrays, "expression": motion.arrays["expression"].astype(np.float32)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with MotionWriter(tmp_path / "long.motion.safetensors") as writer:
        for i in range(200):
            writer.append(replace(motion, arrays=stored, pts=motion.pts + 50 * i))
    read = MotionFile(tmp_path / "long.motion.safetensors")
    for start in range(0, len(read), 50):
        read.window(start, start + 50)
    # kilobytes on Linux; the file has 60 MB
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(read) == 10_000 and growth < 20_000
