"""Tests of the edit file: round trip, refusal of invalid files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from thcli.core.errors import MediaError, OutputError, UsageError
from thcli.core.types import Array32
from thcli.editors import edit_file
from thcli.editors.edit_file import EditFile

STEP: Array32 = np.linspace(-0.3, 0.3, 640).astype(np.float32)
LEARNT = EditFile(
    step=STEP,
    scale=0.7,
    editor="dva-s",
    fingerprint="0123456789abcdef",
    source="a face",
    target="a face with eyeglasses",
    text_model="clip-s",
)


def test_a_learnt_step_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "glasses.edit.safetensors"
    edit_file.save(path, LEARNT)
    found = edit_file.load(path)
    assert found.step is not None
    np.testing.assert_array_equal(found.step, STEP)
    assert (found.scale, found.editor, found.source, found.target) == (
        0.7,
        "dva-s",
        "a face",
        LEARNT.target,
    )
    assert not found.attributes and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_attributes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.edit.safetensors"
    edit_file.save(path, EditFile({"beard": 1.0, "smiling": -0.5}, engine="drawn"))
    assert edit_file.load(path) == EditFile({"beard": 1.0, "smiling": -0.5}, engine="drawn")


def test_another_editors_step_is_refused() -> None:
    path = Path("x.edit.safetensors")
    LEARNT.check("dva-s", "0123456789abcdef", path)
    with pytest.raises(UsageError, match="learnt with the editor dva-s, not with dva"):
        LEARNT.check("dva", "0123456789abcdef", path)
    with pytest.raises(UsageError, match="other weights"):
        LEARNT.check("dva-s", "f" * 16, path)
    EditFile({"beard": 1.0}).check("dva", "f" * 16, path)  # attributes are anybody's


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.edit.safetensors"
    edit_file.save(path, LEARNT)
    with pytest.raises(OutputError, match="exists"):
        edit_file.save(path, EditFile({"beard": 1.0}))
    edit_file.save(path, EditFile({"beard": 1.0}), overwrite=True)
    assert edit_file.load(path).step is None
    with pytest.raises(OutputError):
        edit_file.save(tmp_path / "no" / "b.edit.safetensors", LEARNT)


def file_bytes(step: Array32 | None = None, **words: str) -> bytes:
    """Return the bytes of a file with some metadata or another step in place of its own."""
    valid = edit_file.serialize(LEARNT)
    length = int.from_bytes(valid[:8], "little")
    own = json.loads(valid[8 : 8 + length])["__metadata__"]
    return save({"step": STEP if step is None else step}, {**own, **words})


def half_precision_bytes() -> bytes:
    """Return the bytes of a file whose step has a type that NumPy lacks."""
    content = file_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["step"] |= {"dtype": "BF16", "shape": [1280]}
    coded = json.dumps(header).encode()
    return len(coded).to_bytes(8, "little") + coded + content[8 + length :]


BAD = {
    "not of an edit": file_bytes(format="thcli-motion"),
    "version 7": file_bytes(version="7"),
    "strength is not a number": file_bytes(scale="nan"),
    "too long": file_bytes(target="x" * 2000),
    "not JSON": file_bytes(attributes="{"),
    "not names with strengths": file_bytes(attributes='{"beard": "much"}'),
    "does not name the editor": file_bytes(editor=""),
    "changes nothing": file_bytes(np.zeros(0, np.float32)),
    "step has values": file_bytes(np.full(640, np.inf, np.float32)),
    "one float32 step": file_bytes(STEP.astype(np.float64)),
    "header": b"abc",
    "unknown type": half_precision_bytes(),
    "cut off": file_bytes()[:-9],
}


@pytest.mark.parametrize("why", BAD)
def test_a_defect_is_named(tmp_path: Path, why: str) -> None:
    path = tmp_path / "bad.edit.safetensors"
    path.write_bytes(BAD[why])
    with pytest.raises(MediaError, match=why):
        edit_file.load(path)


def test_no_file_and_a_huge_one(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be read"):
        edit_file.load(tmp_path / "none.edit.safetensors")
    path = tmp_path / "big.edit.safetensors"
    path.write_bytes(bytes(edit_file.MAX_BYTES + 1))
    with pytest.raises(MediaError, match="more than"):
        edit_file.load(path)


@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_breaks_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    """Load raises MediaError or returns a valid edit."""
    content = bytearray(edit_file.serialize(LEARNT))
    content[place % len(content)] = value
    path = tmp_path_factory.mktemp("edit") / "x.edit.safetensors"
    path.write_bytes(bytes(content))
    try:
        found = edit_file.load(path)
    except MediaError:
        return
    assert found.step is None or np.isfinite(found.step).all()
