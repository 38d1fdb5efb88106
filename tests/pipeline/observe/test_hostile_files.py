"""Motion files, crop files and edit files that somebody changed: done, or one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.motion import synthetic_motion as synthetic
from tests.pipeline.command_line import to_argv
from thcli.cli.app import run
from thcli.core.types import AnyArray, Motion
from thcli.editors import edit_file
from thcli.motion.file.writer import MotionWriter

Clip = Callable[..., Path]
Tensors = dict[str, AnyArray]
LARGEST = (0.0, -1.0, 10.0, -10.0, 1e-300, 1e8, -1e8, np.nan, np.inf)


def read_file(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors and the metadata of a file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return load_file(path), json.loads(content[8 : 8 + length])["__metadata__"]


def write_motion(path: Path, motion: Motion) -> Path:
    """Write a motion file."""
    with MotionWriter(path, overwrite=True) as writer:
        writer.append(motion)
    return path


@st.composite
def changes(draw: st.DrawFn, names: list[str]) -> tuple[str, str, Any]:
    """Draw the array to change, the change and a number for it."""
    change = draw(st.sampled_from(["drop", "shape", "all", "one", "noise"]))
    return draw(st.sampled_from(names)), change, draw(st.sampled_from(LARGEST))


def apply(tensors: Tensors, changed: tuple[str, str, Any]) -> Tensors:
    """Return tensors with one change."""
    name, change, number = changed
    out = dict(tensors)
    value = out.pop(name).copy()
    if change == "drop":
        return out
    if change == "shape":
        return {**out, name: value[..., :-1]}
    with np.errstate(all="ignore"):
        filled = np.asarray(np.clip(number, -1e9, 1e9)) if value.dtype.kind in "iub" else number
        if change == "all":
            value[...] = filled
        elif value.size:
            value.flat[-1 if change == "one" else slice(None, None, 3)] = filled
    return {**out, name: value}


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tensors, dict[str, str]]:
    """Return the content of a valid motion file of three frames."""
    folder = tmp_path_factory.mktemp("motion")
    return read_file(write_motion(folder / "a.motion.safetensors", synthetic.driver(3)))


@pytest.mark.parametrize(
    ("name", "code"),
    [("pose", 3), ("expression", 3), ("gaze", 3), ("pts", 3), ("valid", 3), ("track", 0)],
)
def test_a_motion_file_without_an_array(
    tmp_path: Path,
    portrait: Path,
    motion: tuple[Tensors, dict[str, str]],
    name: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "a.motion.safetensors"
    save_file(apply(motion[0], (f"frame/{name}", "drop", 0)), path, motion[1])
    out = tmp_path / "o.mp4"
    assert run(to_argv("reenact", portrait, path, "-o", out, "-q")) == code
    said = capsys.readouterr().err
    assert out.exists() == (code == 0) and (code == 0 or repr(name) in said), said


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_changed_motion_drives_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    portrait: Path,
    motion: tuple[Tensors, dict[str, str]],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "changed.motion.safetensors"
    mode = data.draw(st.sampled_from(["relative", "absolute"]))
    save_file(apply(motion[0], data.draw(changes(sorted(motion[0])))), path, motion[1])
    options = f"--motion {mode} --overwrite -q -o"
    code = run(to_argv("reenact", portrait, path, options, folder / "o.mp4"))
    assert code in (0, 3, 4, 7)  # 7: weeks between two frames, which mp4 cannot hold


@pytest.fixture(scope="module")
def cropped(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a clip and the crops of it, with their file beside them."""
    frames = clip("hostile.mp4", 5)
    crops = tmp_path_factory.mktemp("crops") / "c.mp4"
    assert run(to_argv("crop", frames, "--size 96 -q -o", crops)) == 0
    return frames, crops


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_changed_crops_are_pasted_or_refused(
    cropped: tuple[Path, Path], data: st.DataObject
) -> None:
    frames, crops = cropped
    tensors, metadata = read_file(crops.with_name("c.crops.safetensors"))
    path = crops.with_name("changed.crops.safetensors")
    save_file(apply(tensors, data.draw(changes(sorted(tensors)))), path, metadata)
    out = crops.with_name("pasted.mp4")
    argv = to_argv("paste", crops, frames, "--overwrite -q --crops", path, "-o", out)
    assert run(argv) in (0, 3, 4)  # 4: the points of a face are on one line


@pytest.mark.parametrize(
    "change",
    [
        ("frame/crop_from_frame", "drop", 0),
        ("frame/crop_from_frame", "all", 0.0),
        ("frame/crop_from_frame", "one", 0.0),
        ("frame/outline", "shape", 0),
        ("constant/frame_size", "all", 0),
        ("constant/size", "drop", 0),
        ("frame/shot", "drop", 0),
    ],
)
def test_crops_that_cannot_be_pasted(
    cropped: tuple[Path, Path], change: tuple[str, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    frames, crops = cropped
    tensors, metadata = read_file(crops.with_name("c.crops.safetensors"))
    path = crops.with_name("broken.crops.safetensors")
    save_file(apply(tensors, change), path, metadata)
    out = crops.with_name("never.mp4")
    assert run(to_argv("paste", crops, frames, "-q --crops", path, "-o", out)) == 3
    said = capsys.readouterr().err
    assert not out.exists() and "thcli crop VIDEO" in " ".join(said.split()), said


@pytest.mark.parametrize("name", ["none", "x" * 300])
def test_a_crop_track_that_is_no_file(
    cropped: tuple[Path, Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, crops = cropped
    out = crops.with_name("never.mp4")
    assert run(to_argv("paste", crops, frames, "-q --crops", name, "-o", out)) == 3
    assert "thcli paste CROPS CLIP" in " ".join(capsys.readouterr().err.split())


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_changed_edit_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.edit.safetensors"
    step = np.ones(8, np.float32)
    learnt = edit_file.EditFile(step=step, editor="dva-s", fingerprint="f" * 16, target="old")
    content = edit_file.serialize(learnt)
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    part = data.draw(st.sampled_from(["__metadata__", "step"]))
    values: st.SearchStrategy[Any] = (
        st.none()
        | st.integers()
        | st.text(max_size=6)
        | st.lists(st.integers(-9, 99), max_size=3)
        | st.sampled_from(["nan", "inf", "1e999", '{"a": NaN}', "[]", '{"a": "b"}', "BF16", "F8"])
    )
    if data.draw(st.booleans()):
        header[part].pop(data.draw(st.sampled_from(sorted(header[part]))))
    else:
        header[part][data.draw(st.sampled_from(sorted(header[part])))] = data.draw(values)
    coded = json.dumps(header).encode()
    path.write_bytes(len(coded).to_bytes(8, "little") + coded + body)
    code = run(to_argv("edit", path.with_name("nowhere.mp4"), "--dry-run -q --edit", path))
    assert code in (2, 3, 5)
